//! What a run asks for: what is missing, and in an incremental run the last bars before the newest of it once more,
//! because a source restates them. Pure.

use crate::coverage::Coverage;
use crate::lake::cell;
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// Ranges to ask for, and which of them go into cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asks {
    /// In order, disjoint; no chunk spans two of them.
    pub(super) ranges: Vec<TimeRange>,
    /// Those of them whose rows are merged into what is there; the others are written as chunks.
    pub(super) merged: Vec<TimeRange>,
    /// The part that is known already.
    pub(super) again: Option<TimeRange>,
}

impl Asks {
    /// Everything that is missing, as chunks.
    pub(super) const fn chunks(missing: Vec<TimeRange>) -> Self {
        Self { ranges: missing, merged: Vec::new(), again: None }
    }

    /// Known `holes` again, those together that one request of up to `most` bars can span, and what is `missing`.
    pub(super) fn repair(
        missing: &[TimeRange],
        holes: &[TimeRange],
        timeframe: Timeframe,
        most: u32,
    ) -> Self {
        let mut merged: Vec<TimeRange> = Vec::new();
        for hole in holes {
            let spans = |last: &TimeRange| TimeRange::non_empty(last.start(), hole.end());
            let fits = |both: &TimeRange| timeframe.count(both.start(), both.end()) <= u64::from(most);
            let is_known = |both: &TimeRange| missing.iter().all(|range| range.intersect(*both).is_none());
            let both = merged.last().and_then(spans).filter(|both| fits(both) && is_known(both));
            if both.is_some() {
                merged.pop();
            }
            merged.push(both.unwrap_or(*hole));
        }
        let mut ranges: Vec<TimeRange> = merged.iter().chain(missing).copied().collect();
        ranges.sort();
        Self { ranges, merged, again: None }
    }

    /// What is missing; where that is the newest bars up to `end`, with up to `overlap` bars before them that are
    /// `known`. The newest rows are merged: into the cells from the one that holds the last known bar on where that is
    /// the newest or the one before; after a longer absence into the newest one, and what lies before goes into chunks.
    pub(super) fn incremental(
        missing: &[TimeRange],
        known: &Coverage,
        timeframe: Timeframe,
        end: Millis,
        overlap: u32,
    ) -> Self {
        let Some((tail, holes)) = missing.split_last().filter(|(tail, _)| tail.end() >= end) else {
            return Self::chunks(missing.to_vec());
        };
        let again = known_before(known, timeframe, tail.start(), overlap);
        let mut asks = Self { again, ..Self::chunks(holes.to_vec()) };
        let newest = cell(timeframe, tail.end() - 1).map_or(tail.start(), TimeRange::start);
        let own = cell(timeframe, tail.start());
        let is_near = own.is_some_and(|own| own.end() >= newest);
        let whole = again.map_or(tail.start(), TimeRange::start);
        if is_near {
            asks.add_merged(TimeRange::non_empty(whole, tail.end()));
        } else {
            asks.add_merged(again);
            asks.ranges.extend(TimeRange::non_empty(tail.start(), newest));
            asks.add_merged(TimeRange::non_empty(newest, tail.end()));
        }
        asks
    }

    fn add_merged(&mut self, range: Option<TimeRange>) {
        self.ranges.extend(range);
        self.merged.extend(range);
    }

    /// Whether the rows of a chunk that opens at `at` are merged.
    pub(super) fn merges(&self, at: Millis) -> bool {
        self.merged.iter().any(|range| range.contains(at))
    }
}

/// The unbroken known stretch of up to `bars` bars that ends at `end`.
fn known_before(known: &Coverage, timeframe: Timeframe, end: Millis, bars: u32) -> Option<TimeRange> {
    let whole = TimeRange::non_empty(timeframe.back(end, bars), end)?;
    let unbroken = known.missing(whole).last().map_or(whole.start(), |hole| hole.end());
    TimeRange::non_empty(unbroken, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::State;

    const MINUTE: Timeframe = Timeframe::Minutes(1);
    const DAY: i64 = 1440;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(start * 60_000, end * 60_000).unwrap()
    }

    fn asks(known: &[TimeRange], end: i64, overlap: u32) -> (Vec<TimeRange>, Vec<TimeRange>) {
        let known: Coverage = known.iter().map(|range| (*range, State::Data)).collect();
        let missing = known.missing(range(0, end));
        let asks = Asks::incremental(&missing, &known, MINUTE, end * 60_000, overlap);
        (asks.ranges, asks.merged)
    }

    #[test]
    fn the_newest_bars_are_asked_for_with_the_last_known_ones_before_them() {
        let (ranges, merged) = asks(&[range(0, 100)], 105, 3);
        assert_eq!((&ranges[..], &merged[..]), (&[range(97, 105)][..], &[range(97, 105)][..]));
        assert_eq!(asks(&[range(0, 100)], 100, 3).0, [], "nothing new, nothing asked");
        assert_eq!(asks(&[range(98, 100)], 105, 3).0, [range(0, 98), range(98, 105)], "holes come first");
        assert_eq!(asks(&[range(0, 100)], 105, 0).0, [range(100, 105)]);
    }

    #[test]
    fn holes_that_one_request_can_span_are_asked_for_together() {
        let holes = [range(1, 2), range(5, 6), range(30, 33), range(40, 41)];
        let repair = |missing: &[TimeRange], most| Asks::repair(missing, &holes, MINUTE, most);
        assert_eq!(repair(&[], 5).merged, [range(1, 6), range(30, 33), range(40, 41)]);
        assert_eq!(repair(&[], 11).merged, [range(1, 6), range(30, 41)]);
        let asks = repair(&[range(34, 38)], 11);
        assert_eq!(asks.merged, [range(1, 6), range(30, 33), range(40, 41)]);
        assert_eq!(asks.ranges, [range(1, 6), range(30, 33), range(34, 38), range(40, 41)]);
        assert!(!asks.merges(34 * 60_000) && asks.merges(5 * 60_000));
    }

    #[test]
    fn the_cell_before_goes_on_and_older_rows_go_into_chunks() {
        let yesterday = asks(&[range(0, DAY - 1)], DAY + 1, 2);
        assert_eq!(yesterday.0, [range(DAY - 3, DAY + 1)]);
        assert_eq!(yesterday.1, yesterday.0);
        let (ranges, merged) = asks(&[range(0, 100)], 3 * DAY + 5, 2);
        assert_eq!(ranges, [range(98, 100), range(100, 3 * DAY), range(3 * DAY, 3 * DAY + 5)]);
        assert_eq!(merged, [range(98, 100), range(3 * DAY, 3 * DAY + 5)]);
        let (ranges, merged) = asks(&[], 5 * DAY, 2);
        assert_eq!(ranges, [range(0, 4 * DAY), range(4 * DAY, 5 * DAY)], "the first run");
        assert_eq!(merged, [range(4 * DAY, 5 * DAY)]);
    }
}
