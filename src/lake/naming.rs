//! Where a chunk lies: hive folders for its series, and a file name made of its range alone.

use chrono::{DateTime, NaiveDateTime};

use crate::series::{Series, decode_segment, encode_segment};
use crate::time_range::{Millis, TimeRange};

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
