use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rate_limit::{Alignment, Limits};

const SECOND: Micros = 1_000_000;
const START: Micros = 1_700_000_040 * SECOND;
const MINUTE: Duration = Duration::from_secs(60);

fn scope(windows: &[Window]) -> Scope {
    let limits = Limits::new(windows.to_vec(), None);
    Scope::new(limits.budget(START, hold))
}

fn of(worker: u64) -> News {
    News { worker, ..News::default() }
}

fn demand(worker: u64, weights: &[u32]) -> Demand {
    Demand { weights: weights.to_vec(), news: of(worker), ..Demand::default() }
}

/// One move of one of three workers.
#[derive(Debug, Clone)]
enum Move {
    /// Time goes by, milliseconds.
    Pause(u64),
    /// Asks for some weights; uses what it gets so much later (part of the hold), or is killed before.
    Ask { worker: u64, weights: Vec<u32>, late: f64, is_killed: bool },
    /// Ends well.
    Leave(u64),
    /// The state is written and read again.
    Store,
    /// The source refuses, for so many seconds.
    Refuse(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let ask = (0..3_u64, prop::collection::vec(1..5_u32, 1..6), 0.0..1.0_f64, prop::bool::weighted(0.1))
        .prop_map(|(worker, weights, late, is_killed)| Move::Ask { worker, weights, late, is_killed });
    let one = prop_oneof![
        4 => (0..4000_u64).prop_map(Move::Pause),
        8 => ask,
        1 => (0..3_u64).prop_map(Move::Leave),
        1 => Just(Move::Store),
        1 => (1..20_u64).prop_map(Move::Refuse),
    ];
    prop::collection::vec(one, 1..150)
}

proptest! {
    /// Leases used late, lost with their worker, states stored and read: the server never counts too much.
    #[test]
    fn no_window_is_ever_exceeded_by_all_workers_together(
        weight in 5..40_u32, seconds in 2..20_u64, is_fixed in any::<bool>(), moves in moves(),
    ) {
        let period = Duration::from_secs(seconds);
        let window = Window { weight, period, alignment: if is_fixed { Alignment::Fixed } else { Alignment::Rolling } };
        let mut scope = scope(&[window]);
        let (mut now, mut blocked) = (START, 0);
        let mut sent: Vec<(Micros, u32)> = Vec::new();
        for step in moves {
            match step {
                Move::Pause(millis) => now += millis * 1000,
                Move::Leave(worker) => scope.leave(now, &of(worker)),
                Move::Store => scope = Scope::parse(&scope.text().unwrap()).unwrap(),
                Move::Refuse(seconds) => {
                    let refused = vec![(scope.budget.epoch(), 1, Some(Duration::from_secs(seconds)))];
                    scope.hear(now, &News { refused, factor: 2.0, ..News::default() });
                    blocked = blocked.max(now + seconds * SECOND);
                }
                Move::Ask { worker, weights, late, is_killed } => {
                    let lease = scope.lease(now, &demand(worker, &weights));
                    prop_assert!(lease.weight == 0 || now >= blocked, "nothing while the source refuses");
                    if lease.weight > 0 && !is_killed {
                        let late = hold(&window).mul_f64(late).as_micros() as Micros;
                        sent.push((now + late, lease.weight));
                        let answered = Some((lease.epoch, 1));
                        scope.hear(now, &News { answered, ..News::default() });
                    }
                }
            }
        }
        let period = period.as_micros() as Micros;
        for (at, _) in &sent {
            let start = if is_fixed { at / period * period } else { *at };
            let inside = sent.iter().filter(|(other, _)| (start..start + period).contains(other));
            let most: u32 = inside.map(|(_, weight)| weight).sum();
            prop_assert!(most <= weight, "{most} of {weight}");
        }
    }

    /// Everybody who asks again when told to is served, in about the order of coming.
    #[test]
    fn nobody_starves(workers in 2..40_u64, weight in 1..10_u32) {
        let window = Window::rolling(10, Duration::from_secs(10));
        let mut scope = scope(&[window]);
        // All want more than there is, for ever; odd ones ask for much at once.
        let mut due: BTreeMap<(Micros, u64), Option<Micros>> =
            (0..workers).map(|worker| ((START + worker, worker), None)).collect();
        let mut served: BTreeMap<u64, u64> = BTreeMap::new();
        while let Some(((now, worker), rank)) = due.pop_first() {
            if now > START + 400 * workers * SECOND / 10 {
                break;
            }
            let weights = vec![if worker % 2 == 0 { 1 } else { weight }; if worker % 2 == 0 { 8 } else { 1 }];
            let lease = scope.lease(now, &Demand { rank, ..demand(worker, &weights) });
            *served.entry(worker).or_default() += u64::from(lease.weight > 0);
            let waits = !lease.again.is_zero();
            let again = if waits { lease.again.as_micros() as Micros } else { 1000 };
            due.insert((now + again, worker), waits.then_some(lease.rank));
        }
        let (least, most) = (served.values().min().unwrap(), served.values().max().unwrap());
        prop_assert!(*least > 0 && most / least <= 4, "{served:?}");
    }
}

#[test]
fn who_was_told_to_come_back_goes_first_and_live_before_backfill() {
    let mut scope = scope(&[Window::rolling(2, MINUTE)]);
    assert_eq!(scope.lease(START, &demand(1, &[2])).weight, 2);
    let second = scope.lease(START, &demand(2, &[1]));
    assert_eq!(
        (second.weight, second.again),
        (0, Duration::from_secs(10) + Duration::from_micros(2)),
        "looks again"
    );
    let wait = second.wait.as_secs_f64();
    assert!((60.75..60.81).contains(&wait), "{wait}");
    let third = scope.lease(START + SECOND, &demand(3, &[2]));
    assert!(third.wait > second.wait, "after the second");
    let live = Demand { priority: Priority::Live, ..demand(4, &[1]) };
    assert!(scope.lease(START + 2 * SECOND, &live).wait < second.wait);
    // The window is free again; all come within the grace.
    let free = START + 61 * SECOND;
    let rank = |lease: Lease| Some(lease.rank);
    for at in (10..61).step_by(9) {
        scope.lease(START + at * SECOND, &Demand { rank: rank(second), ..demand(2, &[1]) });
        scope.lease(START + at * SECOND, &Demand { rank: rank(third), ..demand(3, &[2]) });
        scope.lease(START + at * SECOND, &live);
    }
    assert_eq!(
        scope.lease(free, &Demand { rank: rank(third), ..demand(3, &[2]) }).weight,
        0,
        "others are first"
    );
    assert_eq!(scope.lease(free, &live).weight, 1);
    assert_eq!(scope.lease(free, &Demand { rank: rank(second), ..demand(2, &[1]) }).weight, 1);
}

#[test]
fn a_refusal_stops_all_and_one_probe_goes_first() {
    let mut scope = scope(&[Window::rolling(40, MINUTE)]);
    let lease = scope.lease(START, &demand(1, &[1]));
    let refused = vec![(lease.epoch, 1, Some(Duration::from_secs(30)))];
    scope.hear(START, &News { refused: refused.clone(), factor: 2.0, ..News::default() });
    let stopped = scope.lease(START + SECOND, &demand(2, &[1]));
    assert_eq!((stopped.weight, stopped.wait), (0, Duration::from_secs(29)));
    // One that was sent before the refusal is refused as well: nothing new, but the later end counts.
    scope.hear(START + SECOND, &News { refused, factor: 2.0, ..News::default() });
    let probe = scope.lease(START + 31 * SECOND, &demand(2, &[1, 1, 1]));
    assert_eq!(probe.weight, 1, "one, whatever waits");
    let other = scope.lease(START + 31 * SECOND, &demand(1, &[1]));
    assert_eq!(other.weight, 0);
    assert!(other.again <= Duration::from_secs(2), "asks again soon");
    scope.hear(START + 32 * SECOND, &News { failed: Some(probe.epoch), ..News::default() });
    let probe = scope.lease(START + 32 * SECOND, &demand(1, &[1, 1, 1]));
    assert_eq!(probe.weight, 1, "the first one failed");
    scope.hear(START + 32 * SECOND, &News { answered: Some((probe.epoch, 1)), ..News::default() });
    assert_eq!(scope.lease(START + 33 * SECOND, &demand(1, &[1, 1])).weight, 2);
}

#[test]
fn a_silent_worker_keeps_its_share_until_its_term_is_over_or_it_says_goodbye() {
    let mut held = scope(&[Window::rolling(40, MINUTE)]);
    held.lease(START, &demand(1, &[1]));
    held.lease(START, &demand(2, &[1]));
    let later = START + 2 * held.quarantine();
    let mut gone = held.clone();
    assert_eq!(held.lease(later, &demand(2, &[1; 40])).weight, 20, "the other half may be in use");
    gone.leave(START + SECOND, &of(1));
    assert_eq!(gone.lease(later, &demand(2, &[1; 40])).weight, 40);
    let over = START + held.term() + held.quarantine() + SECOND;
    assert_eq!(held.lease(over, &demand(2, &[1; 40])).weight, 40, "it may not use it any more");
}

#[test]
fn who_waits_is_not_silent() {
    let mut scope = scope(&[Window::rolling(40, MINUTE)]);
    scope.lease(START, &demand(1, &[1; 40]));
    let mut at = START;
    let mut rank = None;
    for _ in 0..30 {
        at += 9 * SECOND;
        let lease = scope.lease(at, &Demand { rank, ..demand(2, &[40]) });
        rank = (!lease.again.is_zero()).then_some(lease.rank);
        scope.lease(at, &demand(1, &[1]));
    }
    assert_eq!(scope.reserved(at, 1), 0);
}

#[test]
fn a_clock_that_was_set_back_makes_the_past_unknown() {
    let mut scope = scope(&[Window::rolling(40, MINUTE)]);
    scope.lease(START + 3600 * SECOND, &demand(1, &[1; 40]));
    let lease = scope.lease(START, &demand(1, &[1]));
    assert_eq!(lease.weight, 0);
    assert!(lease.wait <= Duration::from_secs(62), "{:?}: a window, not an hour", lease.wait);
    let jitter = scope.lease(START - SECOND, &demand(1, &[1]));
    assert!(jitter.wait <= Duration::from_secs(62));
}

#[test]
fn other_windows_and_newer_formats_are_refused() {
    let mut scope = scope(&[Window::rolling(40, MINUTE)]);
    scope.lease(START, &demand(1, &[1]));
    let budget = |weight| Limits::new(vec![Window::rolling(weight, MINUTE)], None).budget(START, hold);
    let error = scope.admit(START, 2, &budget(80)).unwrap_err().to_string();
    assert!(error.contains("40/60s") && error.contains("80/60s"), "{error}");
    assert!(scope.admit(START, 2, &budget(40)).is_ok());
    let newer = scope.text().unwrap().replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(Scope::parse(&newer).unwrap_err().kind(), crate::error::Kind::Invalid);
    assert_eq!(Scope::parse("{").unwrap_err().kind(), crate::error::Kind::Data);
    assert_eq!(Scope::parse(&scope.text().unwrap()).unwrap(), scope);
}

#[test]
fn the_only_worker_may_change_the_windows_and_keeps_what_was_spent() {
    let mut scope = scope(&[Window::rolling(40, MINUTE)]);
    scope.lease(START, &demand(1, &[1; 30]));
    let hour = Window::rolling(1000, 60 * MINUTE);
    let limits = Limits::new(vec![Window::rolling(35, MINUTE), hour], None);
    scope.admit(START + SECOND, 1, &limits.budget(START, hold)).unwrap();
    let used: Vec<u32> = scope.budget.meters().iter().map(|meter| meter.used(START + SECOND)).collect();
    assert_eq!(used, [30, 1000], "what is not known of a new window counts as spent");
    let over = START + scope.term() + 2 * SECOND;
    assert!(scope.admit(over, 2, &Limits::new(vec![hour], None).budget(START, hold)).is_ok(), "it is gone");
}
