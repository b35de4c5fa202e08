//! Chunks by the calendar, for sources of files.

use crate::ports::{ChunkStrategy, Page};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// Cuts at months below one hour and else at years, as files and silver objects are cut, whatever a page holds.
#[derive(Debug, Clone, Copy)]
pub struct CalendarChunkStrategy;

/// The first bar that opens in the period after the one in which `at` lies.
fn end(timeframe: Timeframe, at: Millis) -> Millis {
    let month = Timeframe::Month.next(Timeframe::Month.floor(at));
    if matches!(timeframe, Timeframe::Minutes(minutes) if minutes < 60) {
        return timeframe.ceil(month);
    }
    let since_january = |at: Millis| Timeframe::Month.count(0, at) % 12;
    timeframe.ceil(Timeframe::Month.step(month, ((12 - since_january(month)) % 12) as u32))
}

impl ChunkStrategy for CalendarChunkStrategy {
    fn first_chunk(&self, range: TimeRange, timeframe: Timeframe, _page: Page) -> TimeRange {
        let boundary = end(timeframe, range.start());
        TimeRange::non_empty(range.start(), boundary.min(range.end())).unwrap_or(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::chunks;
    use crate::time_range::iso;

    fn ends(timeframe: &str, from: &str, to: &str) -> Vec<String> {
        let at = |day: &str| {
            chrono::DateTime::parse_from_rfc3339(&format!("{day}T00:00:00Z")).unwrap().timestamp_millis()
        };
        let (timeframe, range) = (timeframe.parse().unwrap(), TimeRange::new(at(from), at(to)).unwrap());
        let cut = chunks(vec![range], timeframe, Page::up_to(1), &CalendarChunkStrategy);
        cut.map(|chunk| iso(chunk.end())[..10].to_owned()).collect()
    }

    #[test]
    fn minutes_are_cut_by_months_and_hours_by_years_wherever_a_range_starts() {
        assert_eq!(
            ends("1m", "2023-12-31", "2024-03-02"),
            ["2024-01-01", "2024-02-01", "2024-03-01", "2024-03-02"]
        );
        assert_eq!(ends("30m", "2024-02-10", "2024-03-01"), ["2024-03-01"]);
        for timeframe in ["1h", "1d", "1M"] {
            assert_eq!(
                ends(timeframe, "2022-05-01", "2024-02-01"),
                ["2023-01-01", "2024-01-01", "2024-02-01"]
            );
            assert_eq!(ends(timeframe, "2023-01-01", "2024-01-01"), ["2024-01-01"], "{timeframe}");
        }
        assert_eq!(ends("1m", "1969-11-30", "1970-01-02"), ["1969-12-01", "1970-01-01", "1970-01-02"]);
    }

    #[test]
    fn a_week_is_never_cut() {
        // 2024-12-30 is a Monday: its week belongs to the year in which it opens.
        assert_eq!(ends("1w", "2024-12-23", "2025-02-03"), ["2025-01-06", "2025-02-03"]);
    }
}
