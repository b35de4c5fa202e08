//! Where rows lie: hive folders for their series, and a file name made of their range alone.

use chrono::{DateTime, Datelike, NaiveDateTime};

use crate::series::{Series, decode_segment, encode_segment};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

const SECONDS: &str = "%Y%m%dT%H%M%SZ";
const ENDING: &str = ".parquet";
const CELL: &str = ".cell";

/// One object of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its rows open inside.
    pub range: TimeRange,
    /// A cell grows as rows come, and not all of its range need be settled. Else it is a chunk, written at once.
    pub is_cell: bool,
}

impl Object {
    /// The chunk that spans `range`.
    pub const fn chunk(range: TimeRange) -> Self {
        Self { range, is_cell: false }
    }

    /// The cell that spans `range`.
    pub const fn cell(range: TimeRange) -> Self {
        Self { range, is_cell: true }
    }
}

/// The folder of `series`, ending in a slash.
pub(super) fn folder(series: &Series) -> String {
    let (source, symbol) = (encode_segment(&series.source), encode_segment(&series.symbol));
    format!("source={source}/dataset={}/symbol={symbol}/timeframe={}/", series.data_type, series.timeframe)
}

/// The key of `object` of `series` (whole seconds).
pub(super) fn key(series: &Series, object: Object) -> String {
    let stamp =
        |at: Millis| DateTime::from_timestamp_millis(at).unwrap_or_default().format(SECONDS).to_string();
    let (start, end) = (stamp(object.range.start()), stamp(object.range.end()));
    format!("{}{start}-{end}{}{ENDING}", folder(series), if object.is_cell { CELL } else { "" })
}

/// The cell that the bar of `at` lies in: a day below 1h, a month below 1d, else a year.
pub fn cell(timeframe: Timeframe, at: Millis) -> Option<TimeRange> {
    let (start, end) = match timeframe {
        Timeframe::Minutes(minutes) if minutes < 60 => {
            let day = Timeframe::Minutes(1440);
            (day.floor(at), day.next(day.floor(at)))
        }
        Timeframe::Minutes(minutes) if minutes < 1440 => {
            let month = Timeframe::Month.floor(at);
            (month, Timeframe::Month.next(month))
        }
        _ => {
            let month = Timeframe::Month.floor(at);
            let time = DateTime::from_timestamp_millis(month).unwrap_or_default();
            let year = Timeframe::Month.back(month, time.month0());
            (year, Timeframe::Month.step(year, 12))
        }
    };
    TimeRange::non_empty(start, end)
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

/// The object that a key names; `None` where the name is not one of ours.
pub(super) fn object(key: &str) -> Option<Object> {
    let name = key.rsplit('/').next()?.strip_suffix(ENDING)?;
    let (name, is_cell) = name.strip_suffix(CELL).map_or((name, false), |name| (name, true));
    let (start, end) = name.split_once('-')?;
    let moment =
        |text: &str| Some(NaiveDateTime::parse_from_str(text, SECONDS).ok()?.and_utc().timestamp_millis());
    Some(Object { range: TimeRange::non_empty(moment(start)?, moment(end)?)?, is_cell })
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
    fn cells_are_days_months_and_years() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        let noon = at("2024-02-29T12:34:00Z");
        for (timeframe, start, end) in [
            ("1m", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("1h", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("1d", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("1w", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ] {
            let whole = TimeRange::new(at(start), at(end)).unwrap();
            assert_eq!(cell(timeframe.parse().unwrap(), noon), Some(whole));
        }
    }

    #[test]
    fn names_come_from_series_and_range_alone_and_read_back() {
        let series: Series = "coinalyze/ohlcv/BTC%2FUSDT%3AUSDT/1m".parse().unwrap();
        let day = TimeRange::new(1_704_067_200_000, 1_704_153_600_000).unwrap();
        let name = key(&series, Object::chunk(day));
        assert_eq!(
            name,
            "source=coinalyze/dataset=ohlcv/symbol=BTC%2FUSDT%3AUSDT/timeframe=1m/20240101T000000Z-20240102T000000Z.parquet"
        );
        assert_eq!(object(&name), Some(Object::chunk(day)));
        let grown = key(&series, Object::cell(day));
        assert!(grown.ends_with("/20240101T000000Z-20240102T000000Z.cell.parquet"), "{grown}");
        assert_eq!(object(&grown), Some(Object::cell(day)));
        assert_eq!(self::series(&name), Some(series));
        assert_eq!(self::series("part-0.parquet"), None);
        assert_eq!(object("part-0.parquet"), None);
    }
}
