//! How ranges are cut into chunks. Boundaries lie on a grid that depends on the timeframe alone, never on
//! where a range starts, so that a run that resumes with other ends cuts alike.

mod adaptive;
mod calendar;
mod fixed;

pub use adaptive::AdaptiveChunkStrategy;
pub use calendar::CalendarChunkStrategy;
pub use fixed::FixedChunkStrategy;

use crate::ports::{ChunkStrategy, Page};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// Number of the bar that opens at or before `at`, counted from the first Monday of 1970, so that cells of
/// seven days are weeks; months from January 1970.
fn bar_number(timeframe: Timeframe, at: Millis) -> i64 {
    let epoch = if timeframe == Timeframe::Month { 0 } else { Timeframe::Week.ceil(0) };
    let open = timeframe.floor(at);
    if open >= epoch { timeframe.count(epoch, open) as i64 } else { -(timeframe.count(open, epoch) as i64) }
}

/// The part of `range` up to the next boundary of cells of `bars` bars, each halved `halvings` times
/// but never below one bar.
fn first_cell(range: TimeRange, timeframe: Timeframe, bars: u32, halvings: u32) -> TimeRange {
    let inside = bar_number(timeframe, range.start()).rem_euclid(i64::from(bars)) as u32;
    let (mut from, mut to) = (0, bars);
    for _ in 0..halvings.min(u32::BITS) {
        let middle = from + (to - from).div_ceil(2);
        if inside < middle {
            to = middle;
        } else {
            from = middle;
        }
    }
    let boundary = timeframe.step(timeframe.floor(range.start()), to - inside);
    TimeRange::non_empty(range.start(), boundary.min(range.end())).unwrap_or(range)
}

/// Every chunk of `ranges` in order, cut one at a time as `strategy` says then.
pub fn chunks(
    ranges: Vec<TimeRange>,
    timeframe: Timeframe,
    page: Page,
    strategy: &dyn ChunkStrategy,
) -> impl Iterator<Item = TimeRange> {
    cut(ranges, move |range| strategy.first_chunk(range, timeframe, page))
}

/// Every chunk of `ranges` in order, where `first` says the first one of a range.
pub fn cut(
    ranges: Vec<TimeRange>,
    first: impl Fn(TimeRange) -> TimeRange,
) -> impl Iterator<Item = TimeRange> {
    let mut ranges = ranges.into_iter();
    let mut rest = ranges.next();
    std::iter::from_fn(move || {
        let range = rest?;
        let chunk = first(range);
        rest = TimeRange::non_empty(chunk.end(), range.end()).or_else(|| ranges.next());
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    use crate::ports::{Observation, Prices};

    const MINUTE: Timeframe = Timeframe::Minutes(1);

    fn any_timeframe() -> impl Strategy<Value = Timeframe> {
        prop::sample::select(vec!["1m", "5m", "1h", "4h", "1d", "1w", "1M"])
            .prop_map(|name| name.parse().unwrap())
    }

    /// A strategy by how it came to be.
    #[derive(Debug, Clone)]
    enum Cut {
        Fixed(u32),
        AfterFastAnswers(u64),
    }

    impl Cut {
        fn strategy(&self) -> Box<dyn ChunkStrategy> {
            match self {
                Self::Fixed(bars) => Box::new(FixedChunkStrategy::new(*bars)),
                Self::AfterFastAnswers(count) => {
                    let strategy = AdaptiveChunkStrategy::default();
                    (0..*count).for_each(|_| strategy.observe(&observation(MINUTE, 1, false)));
                    Box::new(strategy)
                }
            }
        }
    }

    fn any_cut() -> impl Strategy<Value = Cut> {
        prop_oneof![(1..3000_u32).prop_map(Cut::Fixed), (0..40_u64).prop_map(Cut::AfterFastAnswers)]
    }

    fn observation(timeframe: Timeframe, seconds: u64, truncated: bool) -> Observation {
        let elapsed = Duration::from_secs(seconds).saturating_sub(Duration::from_millis(500));
        Observation { timeframe, bars: 1, rows: 1, elapsed, truncated }
    }

    proptest! {
        #[test]
        fn chunks_are_ordered_disjoint_short_and_cover_exactly_what_is_missing(
            timeframe in any_timeframe(), cut in any_cut(), max_bars in 1..2000_u32,
            spans in prop::collection::vec((1..900_u32, 1..900_u32), 1..4), start in 0..1_700_000_000_000_i64,
        ) {
            let strategy = cut.strategy();
            let mut cursor = timeframe.ceil(start);
            let mut missing = Vec::new();
            for (skip, length) in spans {
                let from = timeframe.step(cursor, skip);
                cursor = timeframe.step(from, length);
                missing.push(TimeRange::new(from, cursor).unwrap());
            }
            let mut expected = missing.iter();
            let mut open = *expected.next().unwrap();
            let cut: Vec<TimeRange> = chunks(missing.clone(), timeframe, Page::up_to(max_bars), &*strategy).collect();
            let mut at = open.start();
            for chunk in cut {
                prop_assert_eq!(chunk.start(), at);
                prop_assert!(timeframe.count(chunk.start(), chunk.end()) <= u64::from(max_bars));
                prop_assert!(timeframe.is_aligned(chunk.end()) && chunk.end() <= open.end());
                at = chunk.end();
                if at == open.end() && let Some(next) = expected.next() {
                    open = *next;
                    at = open.start();
                }
            }
            prop_assert_eq!(at, missing.last().unwrap().end());
        }

        #[test]
        fn boundaries_do_not_depend_on_where_a_range_starts(
            timeframe in any_timeframe(), cut in any_cut(), start in 0..1_700_000_000_000_i64, later in 1..500_u32,
        ) {
            let strategy = cut.strategy();
            let start = timeframe.ceil(start);
            let end = timeframe.step(start, 3000);
            let ends = |from: Millis| -> Vec<Millis> {
                let range = TimeRange::new(from, end).unwrap();
                chunks(vec![range], timeframe, Page::up_to(1000), &*strategy).map(TimeRange::end).collect()
            };
            let shifted = timeframe.step(start, later);
            let expected: Vec<Millis> = ends(start).into_iter().filter(|end| *end > shifted).collect();
            prop_assert_eq!(ends(shifted), expected);
        }
    }

    #[test]
    fn every_cell_is_the_union_of_two_of_the_next_smaller_size() {
        for (timeframe, bars) in
            [("1m", 1440), ("5m", 499), ("1h", 168), ("4h", 1000), ("1d", 30), ("1w", 4), ("1M", 12)]
        {
            let timeframe: Timeframe = timeframe.parse().unwrap();
            let start = timeframe.ceil(1_600_000_000_000);
            let range = TimeRange::new(start, timeframe.step(start, 3000)).unwrap();
            let ends = |halvings| -> Vec<Millis> {
                let mut rest = Some(range);
                let cells = std::iter::from_fn(|| {
                    let cell = first_cell(rest?, timeframe, bars, halvings);
                    rest = TimeRange::non_empty(cell.end(), range.end());
                    Some(cell.end())
                });
                cells.collect()
            };
            let mut coarse = ends(0);
            for halvings in 1..=11 {
                let fine = ends(halvings);
                assert!(coarse.iter().all(|end| fine.binary_search(end).is_ok()), "{timeframe} {halvings}");
                let parts =
                    |pair: &[Millis]| fine.iter().filter(|at| pair[0] < **at && **at <= pair[1]).count();
                assert!(coarse.windows(2).all(|pair| parts(pair) <= 2), "{timeframe} {halvings}");
                coarse = fine;
            }
            assert_eq!(coarse.len(), 3000, "down to one bar");
        }
    }

    #[test]
    fn a_page_that_gives_most_rows_for_its_weight_is_filled_and_one_that_is_too_short_for_a_day_too() {
        let strategy = AdaptiveChunkStrategy::default();
        let bars = |page: Page, timeframe: Timeframe| {
            let start = Timeframe::Week.ceil(0) + 499 * 1000 * timeframe.shortest();
            let range = TimeRange::new(start, start + 3000 * timeframe.shortest()).unwrap();
            timeframe.count(start, strategy.first_chunk(range, timeframe, page).end())
        };
        let futures = Prices::new(&[(99, 1), (499, 2), (1000, 5), (1500, 10)]).unwrap();
        assert_eq!(futures.page(), Page { most: 1500, best: 499 });
        assert_eq!([1, 99, 100, 499, 500, 1500].map(|rows| futures.weight(rows)), [1, 1, 2, 2, 5, 10]);
        for timeframe in [MINUTE, Timeframe::Minutes(60)] {
            assert_eq!(bars(futures.page(), timeframe), 499);
            assert_eq!(bars(Page::up_to(100), timeframe), 100, "whole pages where a day does not fit");
        }
        (0..30).for_each(|_| strategy.observe(&observation(MINUTE, 1, false)));
        assert_eq!(bars(futures.page(), MINUTE), 499, "more rows would cost more each");
        strategy.observe(&observation(MINUTE, 1, true));
        assert_eq!(bars(futures.page(), MINUTE), 250);
        for wrong in [vec![], vec![(0, 1)], vec![(5, 1), (5, 2)], vec![(5, 2), (9, 1)]] {
            assert!(Prices::new(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn weeks_are_cut_by_fours_and_months_by_calendar_years() {
        let cut = |timeframe, max_bars| -> Vec<String> {
            let range = TimeRange::new(1_704_067_200_000, 1_767_225_600_000).unwrap(); // 2024 and 2025
            let range = TimeRange::new(range.start(), Timeframe::floor(timeframe, range.end())).unwrap();
            let strategy = AdaptiveChunkStrategy::default();
            let cut = chunks(vec![range], timeframe, Page::up_to(max_bars), &strategy);
            cut.map(|chunk| crate::time_range::iso(chunk.end())[..10].to_owned()).take(3).collect()
        };
        assert_eq!(cut(Timeframe::Month, 1000), ["2025-01-01", "2026-01-01"]);
        assert_eq!(cut(Timeframe::Month, 6), ["2024-07-01", "2025-01-01", "2025-07-01"]);
        assert_eq!(cut(Timeframe::Week, 1000), ["2024-01-22", "2024-02-19", "2024-03-18"]);
    }

    #[test]
    fn a_duration_is_cut_into_whole_bars() {
        let range = TimeRange::new(0, 100 * 86_400_000).unwrap();
        let bars = |length, timeframe: Timeframe| {
            let chunk = FixedChunkStrategy::from_duration(length).first_chunk(
                range,
                timeframe,
                Page::up_to(1_000_000),
            );
            timeframe.count(chunk.start(), chunk.end())
        };
        assert_eq!(bars(86_400_000, MINUTE), 1440);
        assert_eq!(bars(86_400_000, Timeframe::Minutes(60)), 24);
        assert_eq!(bars(1, MINUTE), 1);
        assert_eq!(bars(-1, MINUTE), 1);
    }

    #[test]
    fn a_level_does_not_run_away_above_the_rows_per_request() {
        let strategy = AdaptiveChunkStrategy::default();
        let range = TimeRange::new(0, 100 * 86_400_000).unwrap();
        let bars = || MINUTE.count(0, strategy.first_chunk(range, MINUTE, Page::up_to(2000)).end());
        for _ in 0..100 {
            assert_eq!(bars(), 1440);
            strategy.observe(&observation(MINUTE, 1, false));
        }
        strategy.observe(&observation(MINUTE, 1, true));
        assert_eq!(bars(), 720, "one cut answer shrinks at once");
    }

    #[test]
    fn a_day_of_minutes_is_one_chunk_and_ten_years_of_a_thousand_series_are_never_listed() {
        let strategy = AdaptiveChunkStrategy::default();
        let decade = TimeRange::new(1_388_534_400_000, 1_704_067_200_000).unwrap();
        let one: Vec<TimeRange> =
            chunks(vec![decade], MINUTE, Page::up_to(2000), &strategy).take(2).collect();
        assert_eq!(one.iter().map(|chunk| chunk.length()).collect::<Vec<_>>(), [86_400_000; 2]);
        let all: usize =
            (0..1000).map(|_| chunks(vec![decade], MINUTE, Page::up_to(2000), &strategy).count()).sum();
        assert_eq!(all, 3652 * 1000);
    }

    #[test]
    fn answers_move_the_cell_both_ways_within_bounds() {
        let strategy = AdaptiveChunkStrategy::default();
        let range = TimeRange::new(0, 100 * 86_400_000).unwrap();
        let bars = |max| MINUTE.count(0, strategy.first_chunk(range, MINUTE, Page::up_to(max)).end());
        assert_eq!(bars(10_000), 1440);
        strategy.observe(&observation(MINUTE, 9, false));
        assert_eq!(bars(10_000), 720, "slow shrinks");
        strategy.observe(&observation(MINUTE, 1, true));
        assert_eq!(bars(10_000), 360, "truncated shrinks");
        (0..9).for_each(|_| strategy.observe(&observation(MINUTE, 1, false)));
        assert_eq!(bars(10_000), 2880, "three fast answers grow once");
        assert_eq!(bars(2000), 1440, "never above rows per request");
    }
}
