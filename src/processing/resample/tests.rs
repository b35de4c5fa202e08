use arrow_array::{Float64Array, Int64Array};
use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::processing::latest;

const MINUTE: Timeframe = Timeframe::Minutes(1);
const FIVE: Timeframe = Timeframe::Minutes(5);

fn floats(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

fn counts(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

/// Bars whose values follow from their time alone, whole numbers, so that sums are exact.
fn bars(minutes: &[i64]) -> Batch {
    let of = |f: &dyn Fn(i64) -> i64| floats(minutes.iter().map(|at| Some(f(*at) as f64)).collect());
    let trades = minutes.iter().map(|at| Some(at % 5)).collect();
    let columns = vec![
        of(&|at| 100 + at % 7),
        of(&|at| 110 + at * 13 % 11),
        of(&|at| 90 - at * 5 % 9),
        of(&|at| 100 + at % 3),
        of(&|at| at % 17),
        floats(vec![None; minutes.len()]),
        counts(trades),
        counts(vec![None; minutes.len()]),
    ];
    Batch::new(DataType::Ohlcv, minutes.iter().map(|at| at * 60_000).collect(), columns).unwrap()
}

fn liquidations(minutes: &[i64]) -> Batch {
    let ones = || floats(vec![Some(1.0); minutes.len()]);
    Batch::new(DataType::Liquidations, minutes.iter().map(|at| at * 60_000).collect(), vec![ones(), ones()])
        .unwrap()
}

fn minutes(start: i64, end: i64) -> TimeRange {
    TimeRange::new(start * 60_000, end * 60_000).unwrap()
}

fn five(batch: &Batch, covered: &[TimeRange], keep: bool) -> Resampled {
    resample(batch, MINUTE, FIVE, covered, keep).unwrap()
}

fn values(batch: &Batch, name: &str) -> Vec<Option<f64>> {
    batch.rows().column_by_name(name).unwrap().as_primitive::<Float64Type>().iter().collect()
}

fn incomplete(minute: i64, known: u64) -> Incomplete {
    Incomplete { open: minute * 60_000, known, expected: 5 }
}

#[test]
fn each_column_follows_its_rule() {
    let rows = |values: [[f64; 4]; 5]| {
        let column = |index: usize| floats(values.iter().map(|row| Some(row[index])).collect());
        (0..4).map(column).collect::<Vec<_>>()
    };
    let prices = [
        [5.0, 9.0, 4.0, 6.0],
        [6.0, 7.0, 5.0, 7.0],
        [7.0, 8.0, 1.0, 2.0],
        [2.0, 3.0, 2.0, 3.0],
        [3.0, 4.0, 2.0, 4.0],
    ];
    let ts: Vec<Millis> = (0..5).map(|at| at * 60_000).collect();
    for data_type in [DataType::OpenInterest, DataType::FundingRate] {
        let bar = five(&Batch::new(data_type, ts.clone(), rows(prices)).unwrap(), &[], false).batch;
        let found: Vec<f64> =
            bar.rows().columns()[1..].iter().map(|c| c.as_primitive::<Float64Type>().value(0)).collect();
        assert_eq!(found, [5.0, 9.0, 1.0, 4.0], "{data_type}");
    }
    let mut columns = rows(prices);
    columns.extend([floats((1..6).map(|at| Some(f64::from(at))).collect()), floats(vec![Some(0.5); 5])]);
    columns.extend([counts(vec![Some(2); 5]), counts(vec![Some(1); 5])]);
    let bar = five(&Batch::new(DataType::Ohlcv, ts.clone(), columns).unwrap(), &[], false).batch;
    assert_eq!(
        (values(&bar, "volume"), values(&bar, "taker_buy_volume")),
        (vec![Some(15.0)], vec![Some(2.5)])
    );
    let count = |name: &str| bar.rows().column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!((count("trade_count"), count("taker_buy_trades")), (10, 5));
    let ratio = Batch::new(DataType::LongShortRatio, ts, rows(prices)[..3].to_vec()).unwrap();
    let bar = five(&ratio, &[], false).batch;
    assert_eq!((values(&bar, "ratio"), values(&bar, "short_share")), (vec![Some(3.0)], vec![Some(2.0)]));
    let bar = five(&liquidations(&[1, 3]), &[minutes(0, 5)], false).batch;
    assert_eq!((bar.ts(), values(&bar, "long_volume")), (&[0][..], vec![Some(2.0)]));
}

#[test]
fn a_null_that_matters_makes_the_result_null_and_never_zero() {
    let ts: Vec<Millis> = (0..5).map(|at| at * 60_000).collect();
    let with = |at: usize| {
        let mut column = vec![Some(2.0); 5];
        column[at] = None;
        floats(column)
    };
    let full = floats(vec![Some(2.0); 5]);
    for (at, wanted) in [(0, [None, None, None]), (2, [Some(2.0), None, None]), (4, [Some(2.0), None, None])]
    {
        let rows =
            Batch::new(DataType::OpenInterest, ts.clone(), vec![with(at), with(at), with(at), full.clone()])
                .unwrap();
        let bar = five(&rows, &[], false).batch;
        assert_eq!(
            ["oi_open", "oi_high", "oi_low"].map(|name| values(&bar, name)[0]),
            wanted,
            "null at {at}"
        );
    }
    assert_eq!(values(&five(&bars(&[0, 1, 2, 3, 4]), &[], false).batch, "taker_buy_volume"), [None]);
}

#[test]
fn incomplete_bars_are_named_and_left_out_and_gaps_are_never_filled() {
    let batch = bars(&[3, 4, 5, 6, 7, 8, 9, 12, 25, 26, 27, 28, 29]);
    let found = five(&batch, &[], false);
    assert_eq!(found.batch.ts(), [300_000, 1_500_000]);
    assert_eq!(found.incomplete, [incomplete(0, 2), incomplete(10, 1)]);
    assert_eq!(found.gaps, [minutes(15, 25)]);
    let kept = five(&batch, &[], true);
    assert_eq!(kept.batch.ts(), [0, 300_000, 600_000, 1_500_000]);
    assert_eq!((&kept.incomplete, &kept.gaps), (&found.incomplete, &found.gaps));
}

#[test]
fn a_bar_that_the_source_did_not_have_is_known() {
    let batch = bars(&[0, 1, 2, 4, 12]);
    let found = five(&batch, &[minutes(3, 4), minutes(5, 12)], false);
    assert_eq!(found.batch.ts(), [0]);
    assert_eq!((found.incomplete, found.gaps), (vec![incomplete(10, 3)], vec![]));
    // Half a source bar covered is not a source bar covered.
    let half = [TimeRange::new(181_000, 240_000).unwrap()];
    assert_eq!(five(&batch, &half, false).incomplete[0], incomplete(0, 4));
}

#[test]
fn sparse_rows_say_nothing_about_what_was_asked() {
    let rows = liquidations(&[1, 8]);
    let error = resample(&rows, MINUTE, FIVE, &[], true).unwrap_err();
    assert!(error.kind() == Kind::Invalid && error.to_string().contains("pass covered"), "{error}");
    let found = five(&rows, &[minutes(0, 7), minutes(20, 30)], false);
    assert_eq!(found.batch.ts(), [0], "a bar without liquidations stays no row");
    assert_eq!((found.incomplete, found.gaps), (vec![incomplete(5, 3)], vec![minutes(10, 20)]));
}

#[test]
fn weeks_open_on_monday_and_months_on_the_first() {
    let day = Timeframe::Minutes(1440);
    let start = day.floor(1_703_980_800_000); // Sunday 2023-12-31
    let ts: Vec<Millis> = (0..40).map(|at| start + at * 86_400_000).collect();
    let none = || floats(vec![None; 40]);
    let close = floats((0..40).map(|at| Some(f64::from(at))).collect());
    let rows = Batch::new(DataType::FundingRate, ts, vec![none(), none(), none(), close]).unwrap();
    let weeks = resample(&rows, day, Timeframe::Week, &[], false).unwrap();
    assert_eq!(weeks.batch.ts()[0], 1_704_067_200_000);
    assert_eq!(values(&weeks.batch, "funding_close"), [7.0, 14.0, 21.0, 28.0, 35.0].map(Some));
    assert_eq!(
        weeks.incomplete.iter().map(|bar| (bar.known, bar.expected)).collect::<Vec<_>>(),
        [(1, 7), (4, 7)]
    );
    let months = resample(&rows, day, Timeframe::Month, &[], false).unwrap();
    assert_eq!(
        (months.batch.ts(), values(&months.batch, "funding_close")),
        (&[1_704_067_200_000][..], vec![Some(31.0)])
    );
    assert_eq!(
        months.incomplete.iter().map(|bar| (bar.known, bar.expected)).collect::<Vec<_>>(),
        [(1, 31), (8, 29)]
    );
}

#[test]
fn bars_that_do_not_nest_are_refused() {
    for (from, to) in
        [("1h", "1m"), ("1h", "1h"), ("3m", "5m"), ("6h", "8h"), ("1w", "1M"), ("1M", "1w"), ("1w", "1w")]
    {
        let error = check_nesting(from.parse().unwrap(), to.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(error.to_string(), format!("{to} bars are not made of whole {from} bars"));
    }
    for to in ["5m", "8h", "1d", "1w", "1M"] {
        assert!(check_nesting(MINUTE, to.parse().unwrap()).is_ok());
    }
}

#[test]
fn rows_that_cannot_be_are_refused_by_name() {
    let said = |batch: &Batch| {
        let error = resample(batch, MINUTE, FIVE, &[], true).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        error.to_string()
    };
    assert!(said(&bars(&[1, 0])).contains("1970-01-01T00:00:00Z comes after that of 1970-01-01T00:01:00Z"));
    assert!(said(&bars(&[0, 1, 1])).contains("1970-01-01T00:01:00Z comes twice"));
    let off =
        Batch::new(DataType::Ohlcv, vec![0, 60_001], bars(&[0, 1]).rows().columns()[1..].to_vec()).unwrap();
    assert!(said(&off).contains("no 1m bar opens at 1970-01-01T00:01:00.001Z"));
    for ts in [i64::MIN, i64::MAX - 60_000, i64::MAX] {
        let far = Batch::new(DataType::Ohlcv, vec![ts], bars(&[0]).rows().columns()[1..].to_vec()).unwrap();
        assert!(said(&far).contains("is no time"), "{}", said(&far));
    }
    let far = i64::MAX - i64::MAX % 60_000;
    let hidden =
        Batch::new(DataType::Ohlcv, vec![0, far, 60_000], bars(&[0, 1, 2]).rows().columns()[1..].to_vec());
    assert!(said(&hidden.unwrap()).contains("is no time"));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut columns = bars(&[0, 1]).rows().columns()[1..].to_vec();
        columns[4] = floats(vec![Some(1.0), Some(value)]);
        let odd = Batch::new(DataType::Ohlcv, vec![0, 60_000], columns).unwrap();
        assert!(said(&odd).contains("volume of the bar of 1970-01-01T00:01:00Z is"), "{}", said(&odd));
    }
}

#[test]
fn a_sum_that_is_too_great_is_refused() {
    let mut columns = bars(&[0, 1]).rows().columns()[1..].to_vec();
    columns[4] = floats(vec![Some(f64::MAX); 2]);
    let error = resample(
        &Batch::new(DataType::Ohlcv, vec![0, 60_000], columns.clone()).unwrap(),
        MINUTE,
        FIVE,
        &[],
        true,
    );
    assert!(
        error.unwrap_err().to_string().contains("volume of the bar of 1970-01-01T00:00:00Z is too great")
    );
    columns[4] = floats(vec![Some(1.0); 2]);
    columns[6] = counts(vec![Some(i64::MAX); 2]);
    let error =
        resample(&Batch::new(DataType::Ohlcv, vec![0, 60_000], columns).unwrap(), MINUTE, FIVE, &[], true);
    assert!(error.unwrap_err().to_string().contains("trade_count of the bar"));
}

#[test]
fn no_rows_are_no_bars() {
    let none = five(&Batch::empty(DataType::Ohlcv), &[], false);
    assert_eq!(none, Resampled { batch: Batch::empty(DataType::Ohlcv), incomplete: vec![], gaps: vec![] });
    let asked = five(&Batch::empty(DataType::Liquidations), &[minutes(0, 12)], false);
    assert_eq!((asked.batch.len(), asked.incomplete, asked.gaps), (0, vec![incomplete(10, 2)], vec![]));
}

#[test]
fn of_each_bar_the_last_row_is_the_latest() {
    let parts = [bars(&[2, 3]), liquidations(&[0])];
    let twice = arrow_select::concat::concat_batches(
        &parts[0].rows().schema(),
        [bars(&[2, 3]).rows(), bars(&[0, 2]).rows()],
    );
    let found = latest(&Batch::from_record_batch(DataType::Ohlcv, &twice.unwrap()).unwrap()).unwrap();
    assert_eq!(found, bars(&[0, 2, 3]));
    assert_eq!(latest(&parts[1]).unwrap(), parts[1]);
}

/// Whole bars with their minutes, bars known in part, and bars of which nothing is known.
type Pencilled = (Vec<(i64, Vec<i64>)>, Vec<(i64, u64)>, Vec<i64>);

/// What a reader would do with a pencil: every target bar from the minutes it holds.
fn model(held: &[i64], covered: &[TimeRange], length: i64) -> Pencilled {
    let is_known =
        |minute: i64| held.contains(&minute) || covered.iter().any(|range| range.contains(minute * 60_000));
    let known: Vec<i64> = (-10..200).filter(|minute| is_known(*minute)).collect();
    let (mut whole, mut part, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let Some((first, last)) = known.first().zip(known.last()) else { return (whole, part, gaps) };
    for bar in first.div_euclid(length)..=last.div_euclid(length) {
        let inside = |minute: &&i64| minute.div_euclid(length) == bar;
        let (rows, seen) =
            (held.iter().filter(inside).copied().collect::<Vec<_>>(), known.iter().filter(inside).count());
        match seen as i64 {
            0 => gaps.push(bar * length),
            seen if seen < length => part.push((bar * length, seen as u64)),
            _ if rows.is_empty() => {}
            _ => whole.push((bar * length, rows)),
        }
    }
    (whole, part, gaps)
}

proptest! {
    #[test]
    fn it_is_what_a_pencil_says(
        held in prop::collection::btree_set(-5..90_i64, 0..90), covered in prop::collection::vec((-8..90_i64, 1..20_i64), 0..4),
        length in prop::sample::select(vec![3_i64, 5, 15, 30]),
    ) {
        let held: Vec<i64> = held.into_iter().collect();
        let covered: Vec<TimeRange> = covered.into_iter().map(|(at, length)| minutes(at, at + length)).collect();
        let found = resample(&bars(&held), MINUTE, Timeframe::Minutes(length as u16), &covered, false).unwrap();
        let (whole, part, gaps) = model(&held, &covered, length);
        let opens: Vec<i64> = whole.iter().map(|(open, _)| open * 60_000).collect();
        prop_assert_eq!(found.batch.ts(), &opens[..]);
        let told: Vec<(i64, u64)> = found.incomplete.iter().map(|bar| (bar.open / 60_000, bar.known)).collect();
        prop_assert_eq!(told, part);
        prop_assert!(found.incomplete.iter().all(|bar| bar.expected == length as u64));
        let told: Vec<i64> = found.gaps.iter().flat_map(|gap| (gap.start()..gap.end()).step_by(length as usize * 60_000)).collect();
        prop_assert_eq!(told.iter().map(|at| at / 60_000).collect::<Vec<_>>(), gaps);
        prop_assert!(found.gaps.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        for (index, (_, rows)) in whole.iter().enumerate() {
            let own = bars(rows);
            let best = |name: &str, f: fn(f64, f64) -> f64| values(&own, name).into_iter().flatten().reduce(f);
            prop_assert_eq!(values(&found.batch, "open")[index], values(&own, "open")[0]);
            prop_assert_eq!(values(&found.batch, "high")[index], best("high", f64::max));
            prop_assert_eq!(values(&found.batch, "low")[index], best("low", f64::min));
            prop_assert_eq!(values(&found.batch, "close")[index], *values(&own, "close").last().unwrap());
            prop_assert_eq!(values(&found.batch, "volume")[index], best("volume", |a, b| a + b));
        }
    }

    #[test]
    fn runs_are_as_long_as_they_can_be(parts in prop::collection::vec((1..4_i64, 1..300_i64), 0..6)) {
        let (mut at, mut minutes, mut wanted) = (0, Vec::new(), Vec::new());
        for (hole, length) in parts {
            at += hole;
            wanted.push(minutes.len()..minutes.len() + length as usize);
            minutes.extend(at..at + length);
            at += length;
        }
        prop_assert_eq!(check_rows(&bars(&minutes), MINUTE).unwrap(), wanted);
    }

    #[test]
    fn by_way_of_another_timeframe_is_the_same(start in -3000..3000_i64, length in 0..3000_i64, middle in 0..6_usize) {
        let names = ["5m", "15m", "30m", "1h", "2h", "4h"];
        let rows = bars(&(start..start + length).collect::<Vec<_>>());
        let (middle, day) = (names[middle].parse().unwrap(), Timeframe::Minutes(1440));
        let direct = resample(&rows, MINUTE, day, &[], false).unwrap();
        let between = resample(&rows, MINUTE, middle, &[], false).unwrap();
        let stepwise = resample(&between.batch, middle, day, &[], false).unwrap();
        prop_assert_eq!(direct.batch, stepwise.batch);
    }

    #[test]
    fn every_row_is_counted_once_where_nothing_is_left_out(held in prop::collection::btree_set(-200..200_i64, 0..100)) {
        let rows = bars(&held.into_iter().collect::<Vec<_>>());
        let sum = |batch: &Batch| values(batch, "volume").into_iter().flatten().sum::<f64>();
        let all = resample(&rows, MINUTE, Timeframe::Week, &[], true).unwrap();
        prop_assert!((sum(&all.batch) - sum(&rows)).abs() < 1e-9);
    }
}

#[test]
fn the_model_has_every_case() {
    let (whole, part, gaps) = model(&[0, 1, 2, 9], &[], 3);
    assert_eq!((whole, part, gaps), (vec![(0, vec![0, 1, 2])], vec![(9, 1)], vec![3, 6]));
}
