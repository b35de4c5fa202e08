//! Where a chunk lies: hive folders for its series, and a file name made of its range alone.

use chrono::{DateTime, Datelike, NaiveDateTime};

use crate::series::{Series, decode_segment, encode_segment};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

const SECONDS: &str = "%Y%m%dT%H%M%SZ";
const ENDING: &str = ".parquet";

/// The folder of `series`, ending in a slash.
pub(super) fn folder(series: &Series) -> String {
    let (source, symbol) = (encode_segment(&series.source), encode_segment(&series.symbol));
    format!("source={source}/dataset={}/symbol={symbol}/timeframe={}/", series.data_type, series.timeframe)
}

/// The key of the chunk of `series` that spans `range` (whole seconds).
pub(super) fn key(series: &Series, range: TimeRange) -> String {
    let stamp =
        |at: Millis| DateTime::from_timestamp_millis(at).unwrap_or_default().format(SECONDS).to_string();
    format!("{}{}-{}{ENDING}", folder(series), stamp(range.start()), stamp(range.end()))
}

/// The period of silver that `at` lies in, a month below 1h and else a year, and the name of its object.
pub(super) fn period(timeframe: Timeframe, at: Millis) -> Option<(String, TimeRange)> {
    let month = Timeframe::Month.floor(at);
    let is_short = matches!(timeframe, Timeframe::Minutes(minutes) if minutes < 60);
    let time = DateTime::from_timestamp_millis(month).unwrap_or_default();
    let (start, months, name) = if is_short {
        (month, 1, time.format("%Y-%m").to_string())
    } else {
        (Timeframe::Month.back(month, time.month0()), 12, time.format("%Y").to_string())
    };
    let end = Timeframe::Month.step(start, months);
    Some((format!("{name}{ENDING}"), TimeRange::non_empty(start, end)?))
}

/// The range in a key's file name; `None` where the name is not one of ours.
pub(super) fn range(key: &str) -> Option<TimeRange> {
    let name = key.rsplit('/').next()?.strip_suffix(ENDING)?;
    let (start, end) = name.split_once('-')?;
    let moment =
        |text: &str| Some(NaiveDateTime::parse_from_str(text, SECONDS).ok()?.and_utc().timestamp_millis());
    TimeRange::non_empty(moment(start)?, moment(end)?)
}

/// The series in a key's folders; `None` where they are not ours.
pub(super) fn series(key: &str) -> Option<Series> {
    let folders: Vec<&str> = key.split('/').collect();
    let [source, dataset, symbol, timeframe, _] = folders[..] else { return None };
    let part = |folder: &str, name: &str| decode_segment(folder.strip_prefix(name)?).ok();
    Some(Series {
        source: part(source, "source=")?,
        data_type: dataset.strip_prefix("dataset=")?.parse().ok()?,
        symbol: part(symbol, "symbol=")?,
        timeframe: timeframe.strip_prefix("timeframe=")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_months_below_an_hour_and_else_years() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        let (minute, hour): (Timeframe, Timeframe) = ("1m".parse().unwrap(), "1h".parse().unwrap());
        let month = TimeRange::non_empty(at("2024-02-01T00:00:00Z"), at("2024-03-01T00:00:00Z")).unwrap();
        let last = at("2024-02-29T23:59:00Z");
        assert_eq!(period(minute, last), Some(("2024-02.parquet".to_owned(), month)));
        let year = TimeRange::non_empty(at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z")).unwrap();
        assert_eq!(period(hour, last), Some(("2024.parquet".to_owned(), year)));
        assert_eq!(period(Timeframe::Month, year.start()), Some(("2024.parquet".to_owned(), year)));
    }

    #[test]
    fn names_come_from_series_and_range_alone_and_read_back() {
        let series: Series = "coinalyze/ohlcv/BTC%2FUSDT%3AUSDT/1m".parse().unwrap();
        let day = TimeRange::new(1_704_067_200_000, 1_704_153_600_000).unwrap();
        let name = key(&series, day);
        assert_eq!(
            name,
            "source=coinalyze/dataset=ohlcv/symbol=BTC%2FUSDT%3AUSDT/timeframe=1m/20240101T000000Z-20240102T000000Z.parquet"
        );
        assert_eq!(range(&name), Some(day));
        assert_eq!(self::series(&name), Some(series));
        assert_eq!(self::series("part-0.parquet"), None);
        assert_eq!(range("part-0.parquet"), None);
    }
}
