//! What files say, by hand and against naive models.

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::files::{self, Market, Period};
use super::{csv, table, unzip};
use crate::error::Kind;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

const HEADER: &str = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n";
const METRICS: &str =
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio\n";
/// 2024-01-01.
const JANUARY: Millis = 1_704_067_200_000;

fn at(text: &str) -> Millis {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}

fn series(key: &str) -> Series {
    key.parse().unwrap()
}

fn row(time: i64, price: &str) -> String {
    format!("{time},{price},{price},{price},{price},2.50000000,{time},9.1,7,1.25000000,3.3,0\n")
}

fn zipped(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, body) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(body).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn files_are_named_as_in_the_archive() {
    let minutes = series("binance/ohlcv/BTCUSDT/1m");
    let path = |market, series: &Series, period| files::path(market, series, period);
    assert_eq!(
        path(Market::Spot, &minutes, Period::Month(JANUARY)),
        "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"
    );
    assert_eq!(
        path(Market::UsdM, &minutes, Period::Day(JANUARY)),
        "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip"
    );
    let months = series("binance/ohlcv/BTCUSDT/1M");
    assert!(path(Market::Spot, &months, Period::Month(JANUARY)).ends_with("/1mo/BTCUSDT-1mo-2024-01.zip"));
    assert_eq!(
        path(Market::UsdM, &series("binance_usdm/open_interest/BTCUSDT/5m"), Period::Day(JANUARY)),
        "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip"
    );
}

#[test]
fn ranges_are_cut_into_the_months_and_days_that_hold_them() {
    let range = |from, to| TimeRange::new(at(from), at(to)).unwrap();
    let months = files::months(range("2023-12-31T23:00:00Z", "2024-02-01T00:01:00Z"));
    let starts: Vec<_> = months.iter().map(|month| month.start()).collect();
    assert_eq!(starts, [at("2023-12-31T23:00:00Z"), JANUARY, at("2024-02-01T00:00:00Z")]);
    let gaps = [
        range("2024-01-01T05:00:00Z", "2024-01-01T06:00:00Z"),
        range("2024-01-01T08:00:00Z", "2024-01-02T00:00:00Z"),
        range("2024-01-04T23:59:00Z", "2024-01-05T00:01:00Z"),
    ];
    let days: Vec<_> = files::days(&gaps).iter().map(|day| (day - JANUARY) / 86_400_000).collect();
    assert_eq!(days, [0, 3, 4]);
}

#[test]
fn both_units_and_any_header_are_read_and_what_comes_after_the_taker_volume_is_not() {
    let micros = row(JANUARY * 1000 + 60_000_000, "42283.58000001");
    let body = format!("{HEADER}{}{micros}", row(JANUARY, "42283.58000000"));
    for body in
        [body.clone(), body.replace(HEADER, ""), body.replace('\n', "\r\n"), body.trim_end().to_owned()]
    {
        let rows = csv::klines(body.as_bytes()).unwrap();
        assert_eq!(rows.ts, [JANUARY, JANUARY + 60_000], "{body:?}");
        assert_eq!(rows.values[3], [42283.58, 42_283.580_000_01]);
        assert_eq!((rows.trade_count, rows.taker_buy_volume), (vec![7, 7], vec![1.25, 1.25]));
    }
    assert_eq!(csv::klines(b"").unwrap(), csv::Klines::default());
    assert_eq!(csv::klines(HEADER.as_bytes()).unwrap(), csv::Klines::default());
}

#[test]
fn garbage_is_refused_with_its_line() {
    let fine = row(JANUARY, "1.5");
    for (bad, said) in [
        (row(JANUARY / 1000, "1.5"), "open time"),
        (row(JANUARY * 1_000_000, "1.5"), "open time"),
        (row(JANUARY, ""), "decimal number"),
        (row(JANUARY, "nan"), "decimal number"),
        (row(JANUARY, "inf"), "decimal number"),
        (row(JANUARY, "1e999"), "decimal number"),
        (row(JANUARY, "1.5.2"), "decimal number"),
        (row(JANUARY, "1,5"), "12 fields"),
        (format!("{JANUARY},1,2\n"), "a field and a comma"),
        (fine.replace(",0\n", ",0,0\n"), "12 fields"),
        (fine.replace(",7,", ",,"), "whole number"),
        (format!("{JANUARY}"), "whole number"),
        ("\n".to_owned(), "whole number"),
        (HEADER.to_owned(), "whole number"),
    ] {
        let error = csv::klines(format!("{fine}{bad}").as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        let text = error.to_string();
        assert!(text.contains(said) && text.contains("line 2"), "{bad:?}: {text}");
    }
    let error = csv::klines(b"time,price\n").unwrap_err().to_string();
    assert!(error.contains("header") && error.contains("line 1"), "{error}");
}

proptest! {
    #[test]
    fn numbers_are_the_nearest_ones_whatever_their_digits(
        digits in "[0-9]{1,25}(\\.[0-9]{0,25})?", whole in 0..i64::MAX, exponent in -400..400_i32,
    ) {
        for text in [digits.clone(), format!("-{digits}"), format!("{digits}e{exponent}")] {
            let line = format!("{JANUARY},{text},1,1,1,1,0,0,{whole},1,0,0\n");
            let expected: f64 = text.parse().unwrap();
            match csv::klines(line.as_bytes()) {
                Ok(rows) => {
                    prop_assert_eq!(rows.values[0][0].to_bits(), expected.to_bits(), "{}", text);
                    prop_assert_eq!(rows.trade_count[0], whole);
                }
                Err(_) => prop_assert!(expected.is_infinite(), "{}", text),
            }
        }
    }

    #[test]
    fn rows_are_what_a_naive_reader_says(
        bars in prop::collection::vec((0..500_000_i64, prop::array::uniform5(0..9_000_000_000_000_u64), 0..9_999_i64), 0..40),
        header: bool, micros: bool, break_at in any::<prop::sample::Index>(),
    ) {
        let unit = if micros { 1000 } else { 1 };
        let number = |value: u64| format!("{}.{:08}", value / 100_000_000, value % 100_000_000);
        let mut body = if header { HEADER.to_owned() } else { String::new() };
        for (minute, values, trades) in &bars {
            let fields = values.map(number).join(",");
            let time = (JANUARY + minute * 60_000) * unit;
            writeln!(body, "{time},{fields},{time},1.0,{trades},{},0.5,0", number(values[0] / 2)).unwrap();
        }
        let rows = csv::klines(body.as_bytes()).unwrap();
        let lines: Vec<Vec<&str>> = body.lines().skip(usize::from(header)).map(|line| line.split(',').collect()).collect();
        prop_assert_eq!(rows.ts.len(), lines.len());
        for (index, line) in lines.iter().enumerate() {
            prop_assert_eq!(rows.ts[index], line[0].parse::<i64>().unwrap() / unit);
            for (column, values) in rows.values.iter().enumerate() {
                prop_assert_eq!(values[index].to_bits(), line[1 + column].parse::<f64>().unwrap().to_bits());
            }
            prop_assert_eq!(rows.trade_count[index], line[8].parse::<i64>().unwrap());
            prop_assert_eq!(rows.taker_buy_volume[index].to_bits(), line[9].parse::<f64>().unwrap().to_bits());
        }
        // Cut anywhere, it is refused or a prefix; never something else, never a panic.
        let cut = break_at.index(body.len() + 1);
        if let Ok(part) = csv::klines(&body.as_bytes()[..cut]) {
            prop_assert_eq!(&part.ts[..], &rows.ts[..part.ts.len()]);
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[0-9.,:\\-\n eBTCUSD]{0,200}") {
        for body in [&bytes[..], text.as_bytes()] {
            let _ = csv::klines(body);
            let _ = csv::metrics(body, "BTCUSDT");
            let _ = unzip::csv("BTCUSDT-1m-2024-01.zip", body, &mut Vec::new());
        }
    }

    #[test]
    fn a_damaged_zip_is_refused_or_whole(at in any::<prop::sample::Index>(), bit in 0..8_u32, cut: bool) {
        let body = row(JANUARY, "42283.58000000").repeat(50);
        let mut zip = zipped(&[("X-1m-2024-01.csv", body.as_bytes())], CompressionMethod::Deflated);
        let place = at.index(zip.len());
        if cut { zip.truncate(place) } else { zip[place] ^= 1 << bit }
        let mut found = b"what was there before".to_vec();
        if unzip::csv("X-1m-2024-01.zip", &zip, &mut found).is_ok() {
            prop_assert_eq!(found, body.into_bytes());
        }
    }
}

#[test]
fn only_a_sound_zip_of_the_one_expected_file_is_unpacked() {
    let unpacked = |zip: &[u8]| {
        let mut body = Vec::new();
        unzip::csv("X-1m-2024-01.zip", zip, &mut body).map(|()| body)
    };
    let name = "X-1m-2024-01.csv";
    for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
        assert_eq!(unpacked(&zipped(&[(name, b"a,b\n")], method)).unwrap(), b"a,b\n");
    }
    let bomb = zipped(&[(name, &vec![b'1'; 129 << 20])], CompressionMethod::Deflated);
    assert!(bomb.len() < 1 << 20);
    let mut liar = zipped(&[(name, &[b'1'; 4000])], CompressionMethod::Deflated);
    // The size in the central directory, 24 bytes after its signature.
    let directory = liar.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    liar[directory + 24..directory + 28].copy_from_slice(&10_u32.to_le_bytes());
    for (zip, said) in [
        (&b"  <!DOCTYPE html><html></html>"[..], "web page"),
        (b"", "not a sound zip"),
        (b"PK\x03\x04 and so on", "not a sound zip"),
        (&zipped(&[], CompressionMethod::Stored), "holds 0 files"),
        (&zipped(&[(name, b""), ("b", b"")], CompressionMethod::Stored), "holds 2 files"),
        (&zipped(&[("../../evil.csv", b"")], CompressionMethod::Stored), "evil.csv"),
        (
            &zipped(&[("X-1m-2024-02.csv", b"")], CompressionMethod::Stored),
            "where X-1m-2024-01.csv should be",
        ),
        (&bomb, "135266304 bytes"),
        (&liar, "not a sound zip"),
    ] {
        let error = unpacked(zip).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn bars_off_the_grid_stand_at_their_start_and_are_named() {
    // Binance's clock was 14 s off on these days: binance-public-data issues 14 and 77.
    let hours = series("binance/ohlcv/BTCUSDT/1h");
    let february = Period::Month(at("2018-02-01T00:00:00Z"));
    let body = [1_518_048_000_000, 1_518_168_494_789, 1_518_319_694_789, 1_518_321_600_000]
        .map(|time| row(time, "1.5"))
        .concat();
    let found = table::table(&hours, february, body.as_bytes()).unwrap();
    let expected =
        ["2018-02-08T00:00:00Z", "2018-02-09T09:00:00Z", "2018-02-11T03:00:00Z", "2018-02-11T04:00:00Z"];
    assert_eq!(found.rows.ts(), expected.map(at));
    assert_eq!(
        found.notes,
        ["2 rows off the grid, the first of 2018-02-09T09:28:14.789Z, stand at their bar's start"]
    );
    // Where a bar has a row already, that one stays.
    let body = [(1_518_166_800_000, "1.5"), (1_518_168_494_789, "9.5")]
        .map(|(time, price)| row(time, price))
        .concat();
    let found = table::table(&hours, february, body.as_bytes()).unwrap();
    assert_eq!(found.rows.len(), 1);
    assert!(found.notes[1].contains("1 rows of bars that have another row left out"), "{:?}", found.notes);
}

#[test]
fn a_file_of_another_time_is_refused_and_a_stray_row_left_out() {
    let minutes = series("binance/ohlcv/BTCUSDT/1m");
    let body = [JANUARY, JANUARY + 86_400_000].map(|time| row(time, "1.5")).concat();
    let day = table::table(&minutes, Period::Day(JANUARY), body.as_bytes()).unwrap();
    assert_eq!((day.rows.ts(), day.notes.len()), (&[JANUARY][..], 1));
    let error = table::table(&minutes, Period::Day(JANUARY - 86_400_000), body.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("2024-01-01T00:00:00Z, outside its own"), "{error}");
}

#[test]
fn open_interest_is_stamped_by_the_start_of_its_five_minutes_whatever_the_labels() {
    let five = series("binance_usdm/open_interest/BTCUSDT/5m");
    let opens = |day: &str, labels: &[&str]| -> Vec<Millis> {
        let rows: String =
            labels.iter().map(|label| [label, ",BTCUSDT,77082.018,1.5,0.8\n"].concat()).collect();
        let period = Period::Day(at(day));
        let with = table::table(&five, period, format!("{METRICS}{rows}").as_bytes()).unwrap();
        let without = table::table(&five, period, rows.as_bytes()).unwrap();
        assert_eq!(with.rows, without.rows);
        with.rows.ts().iter().map(|at| (at - period.range().unwrap().start()) / 60_000).collect()
    };
    // Labels of ends until 2026-06-24 (binance-public-data issue 491).
    assert_eq!(opens("2024-01-15T00:00:00Z", &["2024-01-15 00:05:00", "2024-01-16 00:00:00"]), [0, 1435]);
    assert_eq!(
        opens("2024-01-15T00:00:00Z", &["2024-01-15 00:00:00", "2024-01-15 00:05:00"]),
        [0],
        "the day before has the first"
    );
    assert_eq!(opens("2026-06-24T00:00:00Z", &["2026-06-24 00:05:00"]), [0]);
    // Of starts since, unless the file itself says otherwise.
    assert_eq!(opens("2026-06-25T00:00:00Z", &["2026-06-25 00:00:00", "2026-06-25 23:55:00"]), [0, 1435]);
    assert_eq!(opens("2026-07-01T00:00:00Z", &["2026-07-01 00:05:00", "2026-07-02 00:00:00"]), [0, 1435]);
    // Repeated, blank and unordered rows are in the archive: issues 484 and 498.
    assert_eq!(
        opens("2024-01-15T00:00:00Z", &["2024-01-15 00:10:00", "2024-01-15 00:05:00", "2024-01-15 00:05:00"]),
        [0, 5]
    );
    let body = "2024-01-15 00:05:00,BTCUSDT,5.5,1\n2024-01-15 00:10:00,BTCUSDT,,1\n";
    let found = table::table(&five, Period::Day(at("2024-01-15T00:00:00Z")), body.as_bytes()).unwrap();
    assert_eq!((found.rows.len(), found.notes.len()), (1, 1));
    for bad in [
        "2024-01-15 00:05,BTCUSDT,5.5,1\n",
        "2024-01-15 00:05:00,ETHUSDT,5.5,1\n",
        "2024-01-15 00:05:00,BTCUSDT,x,1\n",
    ] {
        assert_eq!(
            table::table(&five, Period::Day(at("2024-01-15T00:00:00Z")), bad.as_bytes()).unwrap_err().kind(),
            Kind::Data,
            "{bad}"
        );
    }
}
