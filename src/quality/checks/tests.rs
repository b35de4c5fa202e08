use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use proptest::prelude::*;

use super::*;
use crate::coverage::{Coverage, State};
use crate::error::Kind;
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

const MINUTE: Millis = 60_000;

/// A bar: minute, open, high, low, close, volume.
type Row = (i64, [f64; 5]);

fn bars(rows: &[Row]) -> Batch {
    counted(rows, &vec![None; rows.len()])
}

fn counted(rows: &[Row], trades: &[Option<i64>]) -> Batch {
    let column =
        |at: usize| Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1[at]))) as ArrayRef;
    let none = || Arc::new(Int64Array::from(vec![None::<i64>; rows.len()])) as ArrayRef;
    let mut values: Vec<ArrayRef> = (0..5).map(column).collect();
    values.push(Arc::new(Float64Array::from(vec![None::<f64>; rows.len()])));
    values.push(Arc::new(Int64Array::from(trades.to_vec())));
    values.push(none());
    let ts = rows.iter().map(|row| (row.0 as f64 * MINUTE as f64) as Millis).collect();
    Batch::new(DataType::Ohlcv, ts, values).unwrap()
}

fn flat(minute: i64) -> Row {
    (minute, [2.0, 2.0, 1.0, 1.5, 3.0])
}

/// A bar whose close is `close`, of a market that moves a little.
fn quiet(minute: i64, close: f64) -> Row {
    (minute, [close, close * 1.0005, close * 0.9995, close, 1.0])
}

fn series(timeframe: &str) -> Series {
    format!("x/ohlcv/BTC/{timeframe}").parse().unwrap()
}

fn minutes(from: i64, to: i64) -> TimeRange {
    TimeRange::new(from * MINUTE, to * MINUTE).unwrap()
}

fn checker(to: i64, now: i64, thresholds: Thresholds, coverage: Option<Coverage>) -> Checker {
    Checker::new(&series("1m"), minutes(0, to), now * MINUTE, thresholds, Selection::default(), coverage)
}

fn look(mut checker: Checker, rows: &Batch, object: TimeRange) -> Validation {
    let ordered =
        checker.stored(&Stored { range: object, is_cell: false, rows: rows.clone(), said: None }).unwrap();
    checker.look(&ordered);
    checker.finish()
}

fn found(validation: &Validation) -> Vec<(&'static str, u64)> {
    validation.findings.iter().map(|found| (found.check, found.count)).collect()
}

fn plainly(rows: &[Row], to: i64, now: i64) -> Validation {
    look(checker(to, now, Thresholds::default(), None), &bars(rows), minutes(0, to))
}

#[test]
fn the_table_is_in_the_order_of_the_checks_and_names_are_unique() {
    for (place, rule) in RULES.iter().enumerate() {
        assert_eq!(rule.check as usize, place);
        assert_eq!(rule.check.rule().id, rule.id);
        assert_eq!(RULES.iter().filter(|other| other.id == rule.id).count(), 1);
    }
}

#[test]
fn whole_rows_have_no_finding() {
    let rows: Vec<Row> = (0..10).map(flat).collect();
    let validation = plainly(&rows, 10, 10);
    assert_eq!((validation.ok, validation.rows, validation.bars), (true, 10, 10));
    assert_eq!((found(&validation), validation.checks_version), (vec![], CHECKS_VERSION));
}

#[test]
fn everything_about_times_is_found_at_once_and_counted() {
    let low = (5, [2.0, 1.0, 1.0, 1.5, 3.0]);
    let other = (1, [2.0, 3.0, 1.0, 1.5, 3.0]);
    let rows = [flat(1), flat(1), other, flat(0), low, flat(13), flat(8), flat(10), flat(12)];
    let validation = look(checker(20, 11, Thresholds::default(), None), &bars(&rows), minutes(0, 13));
    let wanted = [
        ("outside", 1),
        ("conflicting", 1),
        ("values", 1),
        ("order", 2),
        ("repeated", 1),
        ("forming", 1),
        ("missing", 6),
    ];
    assert_eq!(found(&validation), wanted);
    assert!(!validation.ok);
    assert_eq!(validation.findings[0].first, "1970-01-01T00:13:00Z");
    let gaps: Vec<_> = validation.gaps.iter().map(|gap| gap.bars).collect();
    assert_eq!(gaps, [3, 2, 1], "2 to 4, 6 and 7, 9; what comes after has not closed");
    assert_eq!(found(&plainly(&[flat(0), flat(13)], 20, 1)), [("future", 1)]);
}

#[test]
fn values_are_told_apart() {
    let nan = f64::NAN;
    for (row, id) in [
        ([nan, 2.0, 1.0, 1.5, 3.0], "finite"),
        ([2.0, f64::INFINITY, 1.0, 1.5, 3.0], "finite"),
        ([2.0, 2.0, 1.0, 1.5, nan], "finite"),
        ([2.0, 2.0, 0.0, 1.5, 3.0], "values"),
        ([2.0, 1.9, 1.0, 1.5, 3.0], "values"),
        ([2.0, 2.0, 1.6, 1.5, 3.0], "values"),
        ([2.0, 2.0, 1.0, 1.5, -1.0], "volume"),
        ([2.0, 2.0, 1.0, 1.5, 0.0], "still"),
    ] {
        assert_eq!(found(&plainly(&[flat(0), (1, row), flat(2)], 3, 3)), [(id, 1)], "{row:?}");
    }
    let idle = (1, [1.5, 1.5, 1.5, 1.5, 0.0]);
    assert_eq!(found(&plainly(&[flat(0), idle], 2, 2)), []);
    let trades = counted(&[flat(0), idle, flat(2)], &[Some(0), Some(3), Some(1)]);
    let validation = look(checker(3, 3, Thresholds::default(), None), &trades, minutes(0, 3));
    assert_eq!(found(&validation), [("trades", 2)]);
}

#[test]
fn a_gap_is_empty_unknown_or_lost() {
    let known = [(minutes(0, 2), State::Data), (minutes(2, 4), State::Empty), (minutes(6, 7), State::Data)];
    let coverage: Coverage = known.into_iter().collect();
    let rows = bars(&[flat(0), flat(1), flat(7)]);
    let validation = look(checker(8, 8, Thresholds::default(), Some(coverage)), &rows, minutes(0, 8));
    assert_eq!(found(&validation), [("lost", 1), ("missing", 2), ("empty", 2)]);
    let kinds: Vec<_> = validation.gaps.iter().map(|gap| (gap.kind, gap.bars)).collect();
    assert_eq!(kinds, [("empty", 2), ("unknown", 2), ("lost", 1)]);
}

#[test]
fn old_gaps_may_be_errors() {
    let old = Thresholds::of([("gap_error_seconds", 120.0)]).unwrap();
    let rows = bars(&[flat(0), flat(2), flat(3)]);
    assert!(!look(checker(4, 4, old.clone(), None), &rows, minutes(0, 4)).ok);
    let young = Thresholds::of([("gap_error_seconds", 121.0)]).unwrap();
    assert!(look(checker(4, 4, young, None), &rows, minutes(0, 4)).ok);
}

#[test]
fn being_late_is_told_where_the_range_reaches_now() {
    let rows = [flat(0), flat(1)];
    assert_eq!(found(&plainly(&rows, 100, 12)), [("missing", 10)]);
    assert_eq!(found(&plainly(&rows, 100, 14)), [("missing", 12), ("late", 12)]);
    assert_eq!(found(&plainly(&rows, 10, 14)), [("missing", 8)], "what is past is not late");
    let validation = plainly(&rows, 9000, 1500);
    assert_eq!((found(&validation)[0], validation.ok), (("late", 1498), false), "a day is an error");
}

#[test]
fn objects_are_looked_at_by_themselves() {
    let known: Coverage = [(minutes(0, 4), State::Data)].into_iter().collect();
    let mut checker = checker(8, 8, Thresholds::default(), Some(known));
    let parts = [(minutes(0, 4), 0..4, Some(5)), (minutes(3, 6), 4..6, Some(2)), (minutes(6, 8), 6..8, None)];
    for (range, held, said) in parts {
        let rows = bars(&held.map(flat).collect::<Vec<_>>());
        let ordered = checker.stored(&Stored { range, is_cell: false, rows, said }).unwrap();
        checker.look(&ordered);
    }
    assert_eq!(found(&checker.finish()), [("lineage", 1), ("overlap", 1), ("orphan", 1)]);
}

#[test]
fn a_lone_wrong_price_is_a_spike_and_a_market_that_moves_is_none() {
    let mut rows: Vec<Row> =
        (0..1500).map(|minute| quiet(minute, 100.0 + 0.01 * (minute % 7) as f64)).collect();
    assert_eq!(found(&plainly(&rows, 1500, 1500)), []);
    rows[700] = quiet(700, 130.0);
    rows[1499] = quiet(1499, 130.0);
    let validation = plainly(&rows, 1500, 1500);
    assert_eq!(found(&validation)[0], ("spike", 1), "nobody knows whether the last one comes back");
    assert_eq!(validation.findings[0].first, "1970-01-01T11:40:00Z");
    for row in &mut rows[800..] {
        row.1 = quiet(0, 50.0).1;
    }
    rows[700] = quiet(700, 100.0);
    let split = found(&plainly(&rows, 1500, 1500));
    assert_eq!(split, [("split", 1), ("jump", 1)]);
}

#[test]
fn runs_are_told_from_their_threshold_on() {
    let low = Thresholds::of([("frozen_bars", 5.0), ("idle_bars", 3.0)]).unwrap();
    let still = |minute: i64, volume: f64| (minute, [2.0, 2.0, 2.0, 2.0, volume]);
    let mut rows: Vec<Row> = (0..40).map(flat).collect();
    for (minute, row) in rows.iter_mut().enumerate() {
        let minute = minute as i64;
        match minute {
            // The first of them moved; five that did not are no finding, six are.
            4..=9 | 12..=18 => *row = still(minute, 1.0),
            20..=22 | 30..=33 => *row = still(minute, 0.0),
            _ => {}
        }
    }
    let runs = Selection::of(["P3"]).unwrap();
    let checker = Checker::new(&series("1m"), minutes(0, 40), 40 * MINUTE, low, runs, None);
    let validation = look(checker, &bars(&rows), minutes(0, 40));
    assert_eq!(found(&validation), [("frozen", 6), ("idle", 4)]);
    assert_eq!(validation.findings[0].first, "1970-01-01T00:13:00Z");
}

#[test]
fn thresholds_and_checks_have_names() {
    let error = Thresholds::of([("spike_facter", 3.0)]).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("did you mean \"spike_factor\"?"), "{error}");
    for (name, value) in [("spike_window", 3.0), ("spike_factor", f64::NAN), ("run_quantile", 1.5)] {
        assert!(Thresholds::of([(name, value)]).is_err(), "{name}");
    }
    assert_eq!(Thresholds::of([("spike_factor", 3.0)]).unwrap().named()[5], ("spike_factor", 3.0));
    let error = Selection::of(["spikes"]).unwrap_err();
    assert!(error.to_string().contains("did you mean \"spike\"?"), "{error}");
    let some = Selection::of(["P2", "grid"]).unwrap();
    let held: Vec<_> = RULES.iter().filter(|rule| some.holds(rule.check)).map(|rule| rule.id).collect();
    assert_eq!(held, ["grid", "volume", "still", "trades", "taker"]);
}

#[test]
fn other_data_types_are_told_what_fits_them() {
    let column = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let values = vec![column(&[1.0, -1.0, f64::NAN]), column(&[1.0, 1.0, 1.0])];
    let rows = Batch::new(DataType::Liquidations, vec![0, MINUTE, 5 * MINUTE], values).unwrap();
    let sparse: Series = "x/liquidations/BTC/1m".parse().unwrap();
    let known: Coverage = [(minutes(0, 6), State::Data), (minutes(8, 9), State::Data)].into_iter().collect();
    let none = (Thresholds::default(), Selection::default());
    let checker = Checker::new(&sparse, minutes(0, 10), 10 * MINUTE, none.0, none.1, Some(known));
    let validation = look(checker, &rows, minutes(0, 6));
    assert_eq!(found(&validation), [("finite", 1), ("volume", 1), ("lost", 1)], "a missing row means zero");
    assert_eq!(validation.gaps, []);
}

fn rolled(fine: &[Row], hours: &[Row]) -> (u64, Vec<(&'static str, u64)>) {
    let hourly = series("1h");
    let mut sums = RollUp::new(&hourly, Timeframe::Minutes(1), 1e-6).unwrap();
    sums.look(&bars(fine), &bars(hours));
    let none = (Thresholds::default(), Selection::default());
    let mut checker = Checker::new(&hourly, minutes(0, 60), 0, none.0, none.1, None);
    sums.tell(&mut checker);
    (sums.compared, found(&checker.finish()))
}

#[test]
fn minutes_add_up_to_hours_where_they_are_whole() {
    let fine: Vec<Row> = (0..180).map(|minute| quiet(minute, 10.0 + minute as f64)).collect();
    let hour = |at: i64| {
        let inside = &fine[at as usize * 60..at as usize * 60 + 60];
        let high = inside.iter().map(|row| row.1[1]).fold(f64::MIN, f64::max);
        let low = inside.iter().map(|row| row.1[2]).fold(f64::MAX, f64::min);
        (at * 60, [inside[0].1[0], high, low, inside[59].1[3], 60.0])
    };
    let hours = [hour(0), hour(1), hour(2)];
    assert_eq!(rolled(&fine, &hours), (3, vec![]));
    assert_eq!(rolled(&fine[1..], &hours), (2, vec![]), "an hour that is not whole says nothing");
    for column in 0..5 {
        let mut wrong = hours;
        wrong[1].1[column] *= 1.001;
        assert_eq!(rolled(&fine, &wrong), (3, vec![("roll_up", 1)]));
    }
    for (coarse, fine) in [("1h", "1h"), ("15m", "1h"), ("1M", "1w"), ("3m", "2h")] {
        assert!(RollUp::new(&series(coarse), fine.parse().unwrap(), 0.0).is_err(), "{coarse} of {fine}");
    }
    assert!(RollUp::new(&series("1M"), Timeframe::Minutes(1440), 0.0).is_ok());
}

#[test]
fn restated_bars_are_counted() {
    let older = bars(&[flat(0), flat(1), flat(2), flat(3)]);
    let newer = bars(&[flat(5), (2, [2.0, 2.5, 1.0, 1.5, 3.0]), flat(3), flat(3)]);
    let said = restated(&older, &newer).unwrap();
    let first = Some("1970-01-01T00:02:00Z".to_owned());
    assert_eq!(said, Restatement { shared: 2, restated: 1, first, withdrawn: 2, added: 1 });
}

#[test]
fn only_what_passes_goes_on_and_the_last_true_row_of_a_bar_counts() {
    let (odd, other) = ((1, [2.0, 1.0, 1.0, 1.5, 3.0]), (2, [2.0, 5.0, 1.0, 1.5, 3.0]));
    let rows = bars(&[flat(0), flat(0), flat(1), odd, flat(2), other, flat(2)]);
    let sifted = sift(&rows, Timeframe::Minutes(1)).unwrap();
    assert_eq!(sifted.passed, bars(&[flat(0), flat(1), flat(2)]));
    assert_eq!(sifted.rejected, [(3, Check::Values), (5, Check::Conflicting)]);
    assert_eq!((sifted.repeated, sifted.replaced), (2, 1));
    let ts = vec![30_000, 60_000];
    let columns = bars(&[flat(0), flat(1)]).rows().columns()[1..].to_vec();
    let off = Batch::new(DataType::Ohlcv, ts, columns).unwrap();
    assert_eq!(sift(&off, Timeframe::Minutes(1)).unwrap().rejected, [(0, Check::Grid)]);
}

/// Rows with everything that can be wrong with some of them, one number saying what.
fn damaged(fates: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (minute, fate) in fates.iter().enumerate() {
        let minute = minute as i64;
        let price = 100.0 + f64::from(fate % 5) * 0.01;
        let row = quiet(minute, price);
        match fate {
            0..=3 => {}
            4 => rows.extend([row, row]),
            5 => rows.extend([row, quiet(minute, price + 1.0)]),
            6 => rows.push(quiet(minute, 150.0)),
            7 => rows.push((minute, [1.0, f64::NAN, 1.0, 1.0, 1.0])),
            8 => rows.push((minute, [1.0, 0.5, 1.0, 1.0, 1.0])),
            9 => rows.push((minute, [1.0, 1.0, 1.0, 1.0, -1.0])),
            10..=14 => rows.push((minute, [100.0, 100.0, 100.0, 100.0, 0.0])),
            15..=19 => rows.push((minute, [100.0, 100.0, 100.0, 100.0, 1.0])),
            20 => rows.push((minute, [200.0, 201.0, 199.0, 200.0, 1.0])),
            _ => rows.push(row),
        }
    }
    rows
}

/// What a naive reader says of the same rows: one row after the other, nothing clever.
fn model(rows: &[Row], bars: i64, limit: u64) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut add = |check: &'static str, count: u64| *counts.entry(check).or_default() += count;
    let fault = |row: &[f64; 5]| {
        let [open, high, low, close, volume] = *row;
        if row.iter().any(|value| !value.is_finite()) {
            Some("finite")
        } else if low <= 0.0 || low > open.min(close) || high < open.max(close) {
            Some("values")
        } else {
            (volume < 0.0).then_some("volume")
        }
    };
    let mut first: BTreeMap<i64, [f64; 5]> = BTreeMap::new();
    for (place, (minute, row)) in rows.iter().enumerate() {
        if let Some(check) = fault(row) {
            add(check, 1);
        }
        if row[4] == 0.0 && row[1] != row[2] {
            add("still", 1);
        }
        if place > 0 && rows[place - 1].0 == *minute {
            let same = rows[place - 1].1.map(f64::to_bits) == row.map(f64::to_bits);
            add(if same { "repeated" } else { "conflicting" }, 1);
        }
        if fault(row).is_none() {
            first.entry(*minute).or_insert(*row);
        }
    }
    let present: std::collections::BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
    let missing = (0..bars).filter(|minute| !present.contains(minute)).count() as u64;
    if missing > 0 {
        add("missing", missing);
    }
    // The range reaches up to now: one bar and ten minutes may be missing at its end.
    let behind = bars - rows.last().map_or(0, |row| row.0 + 1);
    if behind > 11 {
        add("late", behind as u64);
    }
    for idle in [true, false] {
        let is_in = |minute: i64| {
            let Some(row) = first.get(&minute) else { return false };
            let before = first.get(&(minute - 1));
            let is_unmoved = row[1] == row[2] && before.is_some_and(|before| before[3] == row[3]);
            if idle { row[4] == 0.0 } else { row[4] != 0.0 && is_unmoved }
        };
        let mut run = 0;
        for minute in 0..=bars {
            if is_in(minute) {
                run += 1;
            } else {
                if run > limit {
                    add(if idle { "idle" } else { "frozen" }, run);
                }
                run = 0;
            }
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn findings_are_what_a_naive_reader_says_wherever_rows_are_cut(
        fates in prop::collection::vec(0..60_u8, 1..700),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        block in any::<bool>(),
    ) {
        // Long runs of one fate, so that runs and whole blocks come up.
        let fates: Vec<u8> = if block { fates.iter().flat_map(|fate| [*fate; 9]).collect() } else { fates };
        let rows = damaged(&fates);
        let to = fates.len() as i64;
        let thresholds = Thresholds::of([("frozen_bars", 3.0), ("idle_bars", 3.0), ("run_quantile", 0.0), ("spike_window", 40.0)]).unwrap();
        let whole = look(checker(to, to, thresholds.clone(), None), &bars(&rows), minutes(0, to));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut pieces = checker(to, to, thresholds, None);
        for pair in cuts.windows(2) {
            pieces.look(&bars(&rows[pair[0]..pair[1]]));
        }
        let pieces = pieces.finish();
        prop_assert_eq!(&whole.findings, &pieces.findings);
        prop_assert_eq!(&whole.gaps, &pieces.gaps);
        let counted: BTreeMap<_, _> = found(&whole).into_iter().filter(|(check, _)| !["spike", "split", "jump"].contains(check)).collect();
        prop_assert_eq!(counted, model(&rows, to, 3));
    }

    #[test]
    fn sifted_rows_are_what_a_map_says(fates in prop::collection::vec(0..30_u8, 1..80)) {
        let rows = damaged(&fates);
        let sifted = sift(&bars(&rows), Timeframe::Minutes(1)).unwrap();
        let mut kept: BTreeMap<i64, [u64; 5]> = BTreeMap::new();
        let fine = |row: &[f64; 5]| row.iter().all(|value| value.is_finite()) && row[2] <= row[1] && row[0].max(row[3]) <= row[1] && row[4] >= 0.0;
        rows.iter().filter(|row| fine(&row.1)).for_each(|row| { kept.insert(row.0, row.1.map(f64::to_bits)); });
        prop_assert_eq!(sifted.passed.ts().iter().map(|at| at / MINUTE).collect::<Vec<_>>(), kept.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(sifted.passed.len() + sifted.rejected.len() + sifted.repeated as usize, rows.len());
        for (row, check) in &sifted.rejected {
            let contradicted = kept.get(&rows[*row].0).is_some_and(|kept| *kept != rows[*row].1.map(f64::to_bits));
            prop_assert!(*check != Check::Conflicting || contradicted);
        }
    }
}
