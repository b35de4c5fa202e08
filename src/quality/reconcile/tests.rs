use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use proptest::prelude::*;

use super::*;

const MINUTE: Timeframe = Timeframe::Minutes(1);

fn funding(rows: &[(Millis, f64)]) -> Batch {
    let none = || Arc::new(Float64Array::from(vec![None::<f64>; rows.len()])) as ArrayRef;
    let close = Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let ts = rows.iter().map(|row| row.0 * 60_000).collect();
    Batch::new(DataType::FundingRate, ts, vec![none(), none(), none(), close]).unwrap()
}

fn compare(left: &[(Millis, f64)], right: &[(Millis, f64)]) -> Reconciliation {
    let tolerance = Tolerance { value: 0.01, volume: None };
    reconcile(&funding(left), &funding(right), MINUTE, tolerance).unwrap()
}

#[test]
fn each_side_and_each_difference_is_named() {
    let found = compare(
        &[(0, 1.0), (1, 1.0), (2, 1.0), (5, 1.0), (6, 0.0)],
        &[(2, 1.005), (3, 1.0), (5, 1.1), (6, 0.0)],
    );
    assert_eq!(found.shared, 3);
    assert!(!found.agrees());
    let minutes =
        |from: u32, to: u32| (format!("1970-01-01T00:{from:02}:00Z"), format!("1970-01-01T00:{to:02}:00Z"));
    assert_eq!((found.only_left.bars, found.only_left.ranges), (2, vec![minutes(0, 2)]));
    assert_eq!((found.only_right.bars, found.only_right.ranges), (1, vec![minutes(3, 4)]));
    assert_eq!((found.value.bars, found.value.first.as_deref()), (1, Some("1970-01-01T00:05:00Z")));
    assert!((found.value.worst - 0.1 / 1.1).abs() < 1e-9);
    assert!(compare(&[(0, 1.0)], &[(0, 1.009)]).agrees());
}

proptest! {
    #[test]
    fn it_says_what_a_naive_model_says(
        left in prop::collection::btree_map(0..40_i64, 1..4_u8, 0..30),
        right in prop::collection::btree_map(0..40_i64, 1..4_u8, 0..30),
    ) {
        let rows = |side: &BTreeMap<i64, u8>| side.iter().map(|(at, value)| (*at, f64::from(*value))).collect::<Vec<_>>();
        let found = compare(&rows(&left), &rows(&right));
        let shared: Vec<_> = left.keys().filter(|at| right.contains_key(at)).collect();
        prop_assert_eq!(found.shared as usize, shared.len());
        prop_assert_eq!(found.only_left.bars as usize, left.len() - shared.len());
        prop_assert_eq!(found.only_right.bars as usize, right.len() - shared.len());
        prop_assert_eq!(found.value.bars as usize, shared.iter().filter(|at| left[at] != right[at]).count());
        prop_assert_eq!(found.agrees(), left == right);
    }
}

fn walk(bars: usize, seed: u64) -> Vec<(Millis, f64)> {
    let mut state = seed;
    let mut level = 0.0;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        level += (state >> 33) as f64 / f64::from(1_u32 << 31) - 0.5;
        level
    };
    (0..bars).map(step).enumerate().map(|(at, level)| (at as Millis, level)).collect()
}

#[test]
fn a_shifted_stamp_is_found_with_its_direction() {
    let left = walk(400, 7);
    for shift in -2..=2_i64 {
        let right: Vec<_> = left.iter().map(|(at, value)| (at + shift, *value)).collect();
        let lag = compare(&left, &right).lag.unwrap();
        assert_eq!((i64::from(lag.bars), lag.is_shifted), (shift, shift != 0));
        assert!(lag.correlation.unwrap() > 0.999);
    }
    let holes: Vec<_> =
        left.iter().filter(|(at, _)| at % 9 > 1).map(|(at, value)| (at + 1, *value)).collect();
    assert_eq!(compare(&left, &holes).lag.unwrap().bars, 1, "holes do not hide it");
    let lag = compare(&left, &walk(400, 99)).lag.unwrap();
    assert!(!lag.is_shifted, "two strangers are not shifted: {lag:?}");
    assert_eq!(compare(&left[..20], &left[..20]).lag, Some(Lag::default()), "too little to say");
}

#[test]
fn what_is_cut_into_pieces_is_what_is_whole() {
    let (left, right) = (walk(300, 3), walk(300, 4));
    let range = TimeRange::new(0, 300 * 60_000).unwrap();
    let tolerance = Tolerance { value: 0.01, volume: None };
    let of = |step: usize| {
        let mut reconciler = Reconciler::new(DataType::FundingRate, MINUTE, tolerance, range);
        for (left, right) in left.chunks(step).zip(right.chunks(step)) {
            reconciler.look(&funding(left), &funding(right)).unwrap();
        }
        reconciler.finish()
    };
    let (whole, details) = of(300);
    assert_eq!(of(7).0, whole);
    assert_eq!(of(7).1.listed, details.listed);
    assert_eq!(details.listed.len() as u64, whole.value.bars);
    assert_eq!(details.histogram.iter().sum::<u64>(), whole.shared);
}
