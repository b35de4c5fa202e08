use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOUR: Millis = 3_600_000;

fn range(start: Millis, end: Millis) -> TimeRange {
    TimeRange::new(start * HOUR, end * HOUR).unwrap()
}

fn coverage(data: &[(Millis, Millis)], empty: &[(Millis, Millis)]) -> Coverage {
    let of = |ranges: &[(Millis, Millis)], state| {
        ranges.iter().map(move |(start, end)| (range(*start, *end), state)).collect::<Vec<_>>()
    };
    of(data, State::Data).into_iter().chain(of(empty, State::Empty)).collect()
}

fn evidence<'a>(coverage: &'a Coverage, others: &'a [Coverage], now: Millis) -> Evidence<'a> {
    Evidence { coverage, others, cutoff: Millis::MIN, attempts: 3, now: now * HOUR }
}

fn told(ledger: &Ledger) -> Vec<(Millis, Millis, &'static str, u32)> {
    let hours = |at: Millis| at / HOUR;
    ledger
        .holes
        .iter()
        .map(|it| (hours(it.range.start()), hours(it.range.end()), it.kind.name(), it.attempts))
        .collect()
}

#[test]
fn a_hole_is_asked_for_again_a_few_times_with_longer_pauses_and_then_settled() {
    let held = coverage(&[(0, 5), (7, 10)], &[(5, 7)]);
    let (whole, patience) = (range(0, 10), Patience::default());
    let mut ledger = Ledger::default();
    ledger.update(whole, &evidence(&held, &[], 20));
    assert_eq!(told(&ledger), [(5, 7, "unresolved", 1)]);
    let mut asked_at = Vec::new();
    for now in 20..60 {
        let due = ledger.due(whole, patience, now * HOUR);
        if !due.is_empty() {
            assert_eq!(due, [range(5, 7)]);
            asked_at.push(now);
            ledger.asked(&due.iter().map(|range| (*range, State::Empty)).collect(), now * HOUR);
            ledger.update(whole, &evidence(&held, &[], now));
        }
    }
    assert_eq!(asked_at, [20, 21], "the run that found it was the first");
    assert_eq!(told(&ledger), [(5, 7, "no_trade", 3)]);
    let longer = Patience { attempts: 6, ..patience };
    let mut ledger = Ledger::default();
    ledger.update(whole, &evidence(&held, &[], 20));
    let mut asked_at = Vec::new();
    for now in 20..60 {
        if !ledger.due(whole, longer, now * HOUR).is_empty() {
            asked_at.push(now);
            ledger.asked(&[(range(5, 7), State::Empty)].into_iter().collect(), now * HOUR);
        }
    }
    assert_eq!(asked_at, [20, 21, 23, 27, 35]);
    let forced = Patience { is_forced: true, ..patience };
    assert_eq!(ledger.due(whole, forced, 35 * HOUR), [range(5, 7)]);
}

#[test]
fn kinds_follow_from_what_is_known() {
    let kinds = |held: &Coverage, others: &[Coverage], now, cutoff: Millis| {
        let mut ledger = Ledger::default();
        ledger.update(range(0, 500), &Evidence { cutoff: cutoff * HOUR, ..evidence(held, others, now) });
        told(&ledger).into_iter().map(|(start, end, kind, _)| (start, end, kind)).collect::<Vec<_>>()
    };
    let held = coverage(&[(10, 20), (22, 30)], &[(0, 10), (20, 22), (30, 40)]);
    let usual = [(0, 10, "not_listed"), (20, 22, "unresolved"), (30, 40, "unresolved")];
    assert_eq!(kinds(&held, &[], 50, -1), usual);
    let silent = coverage(&[(0, 20), (22, 60)], &[(20, 22)]);
    let trading = coverage(&[(0, 60)], &[]);
    let late = coverage(&[(25, 60)], &[(0, 25)]);
    let unknown = coverage(&[(0, 19), (23, 60)], &[]);
    let outage = [(0, 10, "not_listed"), (20, 22, "outage"), (30, 40, "unresolved")];
    assert_eq!(kinds(&held, &[silent.clone(), silent.clone()], 50, -1), outage);
    assert_eq!(
        kinds(&held, &[silent.clone(), silent.clone(), late, unknown], 50, -1),
        outage,
        "no witnesses"
    );
    assert_eq!(kinds(&held, &[silent.clone(), silent.clone(), trading], 50, -1), usual, "somebody traded");
    assert_eq!(kinds(&held, &[silent], 50, -1), usual, "one is not enough");
    assert_eq!(kinds(&coverage(&[(10, 20)], &[]), &[], 50, 5), [(0, 5, "beyond_retention")]);
    assert_eq!(kinds(&held, &[], 50, 12)[0], (0, 10, "beyond_retention"));
    assert_eq!(kinds(&coverage(&[], &[(0, 4)]), &[], 50, -1), [(0, 4, "unresolved")]);
    let mut delisted = Ledger::default();
    delisted.update(range(0, 500), &evidence(&held, &[], 30 + 7 * 24));
    for _ in 0..2 {
        delisted.asked(&coverage(&[], &[(30, 40)]), 0);
    }
    delisted.update(range(0, 500), &evidence(&held, &[], 30 + 7 * 24));
    assert_eq!(told(&delisted)[2], (30, 40, "not_listed", 3));
}

#[test]
fn what_was_found_is_forgotten_and_the_rest_keeps_its_history() {
    let mut ledger = Ledger::default();
    ledger.update(range(0, 20), &evidence(&coverage(&[(0, 5), (15, 20)], &[(5, 15)]), &[], 30));
    ledger.asked(&coverage(&[], &[(5, 10)]), 40 * HOUR);
    assert_eq!(told(&ledger), [(5, 10, "unresolved", 2), (10, 15, "unresolved", 1)]);
    ledger.update(range(0, 20), &evidence(&coverage(&[(0, 7), (12, 20)], &[(7, 12)]), &[], 50));
    assert_eq!(told(&ledger), [(7, 10, "unresolved", 2), (10, 12, "unresolved", 1)]);
    let seen = ledger.holes.iter().map(|hole| hole.first_seen / HOUR).collect::<Vec<_>>();
    assert_eq!(seen, [30, 30]);
    ledger.update(range(9, 11), &evidence(&coverage(&[(0, 20)], &[]), &[], 60));
    assert_eq!(
        told(&ledger),
        [(7, 9, "unresolved", 2), (11, 12, "unresolved", 1)],
        "only where it was looked"
    );
}

#[test]
fn what_is_beyond_retention_stays_so_for_those_who_do_not_know_the_source() {
    let held = coverage(&[(10, 20)], &[]);
    let mut ledger = Ledger::default();
    ledger.update(range(0, 20), &Evidence { cutoff: 8 * HOUR, ..evidence(&held, &[], 30) });
    ledger.update(range(0, 20), &evidence(&held, &[], 40));
    assert_eq!(told(&ledger), [(0, 8, "beyond_retention", 0)]);
    assert_eq!(ledger.due(range(0, 20), Patience { is_forced: true, ..Patience::default() }, 0), []);
}

#[test]
fn the_stored_form_is_read_for_ever_and_a_newer_one_refused() {
    let text = r#"{"format":1,"holes":[{"range":[0,3600000],"kind":"no_trade","attempts":3,"first_seen":5,"last_checked":7},{"range":[7200000,10800000],"kind":"unresolved","attempts":1,"first_seen":5,"last_checked":null}]}"#;
    let ledger = Ledger::parse(text).unwrap();
    assert_eq!(told(&ledger), [(0, 1, "no_trade", 3), (2, 3, "unresolved", 1)]);
    assert_eq!(ledger.text().unwrap(), text);
    assert!(Ledger::parse(r#"{"format":2,"holes":[]}"#).unwrap_err().message().contains("format 2"));
    assert_eq!(Ledger::parse("{").unwrap_err().kind(), crate::error::Kind::Data);
}

proptest! {
    /// Per hour: the ledger knows exactly the empty ones, with as many attempts as a count per hour says.
    #[test]
    fn histories_are_those_of_a_count_per_hour(
        steps in prop::collection::vec((0..30_i64, 1..12_i64, 0..4_u8), 1..12),
    ) {
        let whole = range(0, 42);
        let (mut held, mut ledger, mut model) = (Coverage::new(), Ledger::default(), BTreeMap::<i64, u32>::new());
        for (now, (start, length, step)) in steps.into_iter().enumerate() {
            let (at, hours) = (range(start, start + length), start..start + length);
            match step {
                0 => held.insert(at, State::Empty),
                1 => held.insert(at, State::Data),
                _ => {
                    ledger.asked(&[(at, State::Empty)].into_iter().collect(), now as i64);
                    hours.for_each(|hour| { model.entry(hour).and_modify(|count| *count += 1); });
                }
            }
            ledger.update(whole, &evidence(&held, &[], 50 + now as i64));
            let empty = |hour: i64| held.covered(range(hour, hour + 1)).first().is_some_and(|(_, state)| *state == State::Empty);
            model.retain(|hour, _| empty(*hour));
            (0..42).filter(|hour| empty(*hour)).for_each(|hour| { model.entry(hour).or_insert(1); });
            let told: BTreeMap<i64, u32> = ledger.holes.iter().flat_map(|hole| {
                (hole.range.start() / HOUR..hole.range.end() / HOUR).map(|hour| (hour, hole.attempts))
            }).collect();
            prop_assert_eq!(&told, &model);
            prop_assert!(ledger.holes.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
        }
    }
}
