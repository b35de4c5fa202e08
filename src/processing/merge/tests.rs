use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array};
use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::series::DataType;

const MINUTE: Timeframe = Timeframe::Minutes(1);
/// Of one source: minute, close, and an open that not every source gives.
type Rows = BTreeMap<i64, (u8, Option<u8>)>;

fn batch(rows: &Rows) -> Batch {
    let floats = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let none = || floats(vec![None; rows.len()]);
    let open = floats(rows.values().map(|row| row.1.map(f64::from)).collect());
    let close = floats(rows.values().map(|row| Some(f64::from(row.0))).collect());
    let ts = rows.keys().map(|at| at * 60_000).collect();
    Batch::new(DataType::FundingRate, ts, vec![open, none(), none(), close]).unwrap()
}

fn rows(held: &[(i64, u8, Option<u8>)]) -> Rows {
    held.iter().map(|(at, close, open)| (*at, (*close, *open))).collect()
}

#[test]
fn the_first_that_has_a_bar_gives_all_of_it() {
    let first = batch(&rows(&[(1, 10, None), (3, 30, Some(3))]));
    let second = batch(&rows(&[(0, 9, Some(9)), (1, 99, Some(99)), (2, 20, None)]));
    let merged = merge(&[first, second], MINUTE).unwrap();
    // The null of the first source stays null although the second one has a value.
    let wanted = rows(&[(0, 9, Some(9)), (1, 10, None), (2, 20, None), (3, 30, Some(3))]);
    assert_eq!(merged.batch, batch(&wanted));
    assert_eq!((merged.sources, merged.taken), (vec![1, 0, 1, 0], vec![2, 2]));
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let said = |sources: &[Batch], kind: Kind| {
        let error = merge(sources, MINUTE).unwrap_err();
        assert_eq!(error.kind(), kind);
        error.to_string()
    };
    assert!(said(&[], Kind::Invalid).contains("nothing to merge"));
    let sparse = [Batch::empty(DataType::Liquidations)];
    assert!(said(&sparse, Kind::Invalid).contains("cannot be merged by their rows"));
    let (funding, other) = (batch(&rows(&[(0, 1, None)])), Batch::empty(DataType::Ohlcv));
    assert_eq!(said(&[funding.clone(), other], Kind::Invalid), "source 1 holds ohlcv, source 0 funding_rate");
    let twice = arrow_select::concat::concat_batches(&funding.rows().schema(), [funding.rows(); 2]).unwrap();
    let twice = Batch::from_record_batch(DataType::FundingRate, &twice).unwrap();
    assert!(
        said(&[funding.clone(), twice], Kind::Data)
            .starts_with("source 1: the bar of 1970-01-01T00:00:00Z comes twice")
    );
    let error = merge(&[batch(&rows(&[(1, 1, None)]))], Timeframe::Minutes(5)).unwrap_err();
    assert_eq!(error.to_string(), "source 0: no 5m bar opens at 1970-01-01T00:01:00Z");
}

proptest! {
    #[test]
    fn it_is_the_first_map_that_has_the_key(
        sources in prop::collection::vec(prop::collection::btree_map(0..30_i64, (0..9_u8, prop::option::of(0..9_u8)), 0..25), 1..5),
    ) {
        let merged = merge(&sources.iter().map(batch).collect::<Vec<_>>(), MINUTE).unwrap();
        let mut model: BTreeMap<i64, (usize, (u8, Option<u8>))> = BTreeMap::new();
        for (index, source) in sources.iter().enumerate() {
            for (at, row) in source {
                model.entry(*at).or_insert((index, *row));
            }
        }
        let wanted: Rows = model.iter().map(|(at, (_, row))| (*at, *row)).collect();
        prop_assert_eq!(&merged.batch, &batch(&wanted));
        prop_assert_eq!(&merged.sources, &model.values().map(|(index, _)| *index).collect::<Vec<_>>());
        for (index, taken) in merged.taken.iter().enumerate() {
            prop_assert_eq!(*taken as usize, model.values().filter(|(source, _)| *source == index).count());
        }
        let opens = merged.batch.rows().column(1).as_primitive::<Float64Type>();
        prop_assert_eq!(opens.null_count(), wanted.values().filter(|row| row.1.is_none()).count());
    }
}
