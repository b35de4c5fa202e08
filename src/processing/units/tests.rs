use arrow_array::Int64Array;
use proptest::prelude::*;

use super::*;
use crate::error::Kind;

const UNITS: [OpenInterestUnit; 4] =
    [OpenInterestUnit::Base, OpenInterestUnit::Quote, OpenInterestUnit::Contracts, OpenInterestUnit::Usd];

fn floats(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

/// Rows of minutes: open, high, low and close are the value, 2 more, 1 less and 1 more.
fn interest(rows: &[(i64, f64)]) -> Batch {
    let column = |add: f64| floats(rows.iter().map(|row| Some(row.1 + add)).collect());
    let ts = rows.iter().map(|row| row.0 * 60_000).collect();
    Batch::new(DataType::OpenInterest, ts, vec![column(0.0), column(2.0), column(-1.0), column(1.0)]).unwrap()
}

fn candles(rows: &[(i64, f64, f64)]) -> Batch {
    let column = |f: &dyn Fn(&(i64, f64, f64)) -> f64| floats(rows.iter().map(|row| Some(f(row))).collect());
    let none = || Arc::new(Int64Array::new_null(rows.len())) as ArrayRef;
    let high = column(&|row| row.1.max(row.2));
    let low = column(&|row| row.1.min(row.2));
    let columns = vec![
        column(&|row| row.1),
        high,
        low,
        column(&|row| row.2),
        column(&|_| 1.0),
        floats(vec![None; rows.len()]),
        none(),
        none(),
    ];
    Batch::new(DataType::Ohlcv, rows.iter().map(|row| row.0 * 60_000).collect(), columns).unwrap()
}

fn conversion(from: OpenInterestUnit, to: OpenInterestUnit) -> Conversion {
    Conversion { from, to, price: None, contract: None, usd_per_quote: None }
}

fn values(batch: &Batch, index: usize) -> Vec<Option<f64>> {
    column(batch, index).iter().collect()
}

#[test]
fn with_a_fixed_price_every_column_is_converted() {
    let rows = interest(&[(0, 4.0), (1, 8.0)]);
    let price = Some(Price::Fixed(10.0));
    let linear = Some(Contract { size: 0.5, unit: OpenInterestUnit::Base });
    let inverse = Some(Contract { size: 100.0, unit: OpenInterestUnit::Quote });
    for (from, to, contract, wanted) in [
        (0, 1, None, 40.0),
        (1, 0, None, 0.4),
        (0, 3, None, 80.0),
        (3, 0, None, 0.2),
        (1, 3, None, 8.0),
        (0, 2, linear, 8.0),
        (2, 0, linear, 2.0),
        (2, 1, linear, 20.0),
        (2, 0, inverse, 40.0),
        (2, 1, inverse, 400.0),
        (2, 3, inverse, 800.0),
        (0, 0, None, 4.0),
    ] {
        let usd_per_quote = Some(2.0);
        let asked = Conversion {
            price: price.clone(),
            contract,
            usd_per_quote,
            ..conversion(UNITS[from], UNITS[to])
        };
        let found = convert_open_interest(&rows, &asked).unwrap();
        let open = values(&found.batch, 1)[0].unwrap();
        assert!((open - wanted).abs() < 1e-12, "{:?} -> {:?}: {open}", UNITS[from], UNITS[to]);
        let ratio = values(&found.batch, 2)[0].unwrap() / open;
        assert!((ratio - 1.5).abs() < 1e-12 && found.unpriced.is_empty());
    }
}

#[test]
fn candles_price_the_open_and_the_close_and_what_has_none_is_named() {
    let asked = Conversion {
        price: Some(Price::Bars(candles(&[(-1, 9.0, 9.0), (0, 10.0, 20.0), (2, 30.0, 40.0), (7, 9.0, 9.0)]))),
        ..conversion(OpenInterestUnit::Base, OpenInterestUnit::Quote)
    };
    let found = convert_open_interest(&interest(&[(0, 1.0), (1, 1.0), (2, 2.0), (3, 1.0)]), &asked).unwrap();
    assert_eq!((found.batch.ts(), found.unpriced), (&[0, 120_000][..], vec![60_000, 180_000]));
    assert_eq!(
        (values(&found.batch, 1), values(&found.batch, 4)),
        (vec![Some(10.0), Some(60.0)], vec![Some(40.0), Some(120.0)])
    );
    assert_eq!((values(&found.batch, 2), values(&found.batch, 3)), (vec![None, None], vec![None, None]));
}

#[test]
fn candles_are_not_looked_at_where_no_price_is_needed() {
    let asked = Conversion {
        price: Some(Price::Bars(candles(&[]))),
        usd_per_quote: Some(1.0),
        ..conversion(OpenInterestUnit::Quote, OpenInterestUnit::Usd)
    };
    let rows = interest(&[(0, 1.0)]);
    assert_eq!(convert_open_interest(&rows, &asked).unwrap(), Converted { batch: rows, unpriced: vec![] });
}

#[test]
fn a_null_stays_null() {
    let (none, close) = (floats(vec![None]), floats(vec![Some(3.0)]));
    let rows =
        Batch::new(DataType::OpenInterest, vec![0], vec![none.clone(), none.clone(), none, close]).unwrap();
    for price in [Price::Fixed(2.0), Price::Bars(candles(&[(0, 2.0, 2.0)]))] {
        let asked =
            Conversion { price: Some(price), ..conversion(OpenInterestUnit::Base, OpenInterestUnit::Quote) };
        let found = convert_open_interest(&rows, &asked).unwrap().batch;
        assert_eq!([1, 2, 3, 4].map(|index| values(&found, index)[0]), [None, None, None, Some(6.0)]);
    }
}

#[test]
fn what_is_missing_or_cannot_be_is_refused() {
    use OpenInterestUnit::{Base, Contracts, Quote, Usd};
    let rows = interest(&[(0, 1.0)]);
    let said = |asked: &Conversion| {
        let error = convert_open_interest(&rows, asked).unwrap_err();
        (error.kind(), error.to_string())
    };
    let invalid = |asked: &Conversion, text: &str| {
        let (kind, shown) = said(asked);
        assert!(kind == Kind::Invalid && shown.contains(text), "{shown}");
    };
    invalid(&conversion(Base, Quote), "price is missing");
    invalid(&conversion(Base, Usd), "usd_per_quote is missing");
    invalid(&conversion(Contracts, Base), "contract's size is missing");
    for price in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        invalid(
            &Conversion { price: Some(Price::Fixed(price)), ..conversion(Base, Quote) },
            "price must be a number above 0",
        );
        invalid(
            &Conversion { usd_per_quote: Some(price), ..conversion(Quote, Usd) },
            "usd_per_quote must be",
        );
        let contract = Some(Contract { size: price, unit: Base });
        invalid(&Conversion { contract, ..conversion(Contracts, Base) }, "contract_size must be");
    }
    let contract = Some(Contract { size: 1.0, unit: Usd });
    invalid(&Conversion { contract, ..conversion(Contracts, Base) }, "in base or quote units");
    invalid(
        &Conversion { price: Some(Price::Bars(rows.clone())), ..conversion(Base, Quote) },
        "price must be ohlcv",
    );
    let zero = Some(Price::Bars(candles(&[(0, 0.0, 1.0)])));
    assert_eq!(said(&Conversion { price: zero, ..conversion(Base, Quote) }).0, Kind::Data);
    let twice = Some(Price::Bars(candles(&[(0, 1.0, 1.0), (0, 1.0, 1.0)])));
    let (kind, shown) = said(&Conversion { price: twice, ..conversion(Base, Quote) });
    assert!(kind == Kind::Data && shown.starts_with("price: the bar of"), "{shown}");
    let error = convert_open_interest(&candles(&[]), &conversion(Base, Base)).unwrap_err();
    assert_eq!(error.to_string(), "open interest is converted, not ohlcv");
    let error = "btc".parse::<OpenInterestUnit>().unwrap_err();
    assert!(error.to_string().contains("use base, quote, contracts or usd"));
    let great = Conversion { price: Some(Price::Fixed(f64::MAX)), ..conversion(Base, Quote) };
    assert_eq!(convert_open_interest(&interest(&[(0, 10.0)]), &great).unwrap_err().kind(), Kind::Data);
}

#[test]
fn units_are_called_what_sources_call_them() {
    for (text, unit) in [("BASE_ASSET", 0), ("QUOTE_ASSET", 1), ("CONTRACTS", 2), ("base", 0), ("usd", 3)] {
        assert_eq!(text.parse::<OpenInterestUnit>().unwrap(), UNITS[unit]);
    }
}

proptest! {
    #[test]
    fn there_and_back_is_where_it_began(
        values_held in prop::collection::vec(1.0..1e9_f64, 1..20), from in 0..4_usize, to in 0..4_usize, price in 1e-6..1e6_f64,
        size in 1e-3..1e3_f64, linear in any::<bool>(), rate in 0.1..10.0_f64,
    ) {
        let rows = interest(&values_held.iter().enumerate().map(|(at, value)| (at as i64, *value)).collect::<Vec<_>>());
        let unit = if linear { OpenInterestUnit::Base } else { OpenInterestUnit::Quote };
        let asked = |from, to| Conversion {
            from, to, price: Some(Price::Fixed(price)), contract: Some(Contract { size, unit }), usd_per_quote: Some(rate),
        };
        let there = convert_open_interest(&rows, &asked(UNITS[from], UNITS[to])).unwrap().batch;
        let back = convert_open_interest(&there, &asked(UNITS[to], UNITS[from])).unwrap().batch;
        for index in 1..5 {
            for (held, found) in values(&rows, index).into_iter().zip(values(&back, index)) {
                let (held, found) = (held.unwrap(), found.unwrap());
                prop_assert!((held - found).abs() <= held.abs() * 1e-12);
            }
        }
    }

    #[test]
    fn every_row_is_either_converted_or_named(
        held in prop::collection::btree_set(0..40_i64, 0..30), priced in prop::collection::btree_set(0..40_i64, 0..30),
    ) {
        let rows = interest(&held.iter().map(|at| (*at, 1.0)).collect::<Vec<_>>());
        let prices = candles(&priced.iter().map(|at| (*at, 2.0, 3.0)).collect::<Vec<_>>());
        let asked = Conversion { price: Some(Price::Bars(prices)), ..conversion(OpenInterestUnit::Base, OpenInterestUnit::Quote) };
        let found = convert_open_interest(&rows, &asked).unwrap();
        let minutes = |ts: &[Millis]| ts.iter().map(|at| at / 60_000).collect::<Vec<_>>();
        prop_assert_eq!(minutes(found.batch.ts()), held.intersection(&priced).copied().collect::<Vec<_>>());
        prop_assert_eq!(minutes(&found.unpriced), held.difference(&priced).copied().collect::<Vec<_>>());
    }
}
