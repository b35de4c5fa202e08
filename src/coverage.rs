//! What is known of a series: for each moment unknown, `empty` (the source was asked and had
//! nothing) or `data` (rows are durably written), ordered `unknown < empty < data`.
//! Two coverages merge by the pointwise maximum: commutative, associative, idempotent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::time_range::{Millis, TimeRange};

/// What is known of a range. The order is that of the merge: `Empty < Data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The source was asked and had no row.
    Empty,
    /// Rows are durably written.
    Data,
}

/// A set of disjoint ranges, each in one [`State`]; touching ranges of one state are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "Listed")]
pub struct Coverage {
    /// By start: end and state.
    segments: BTreeMap<Millis, (Millis, State)>,
}

impl Coverage {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Number of disjoint segments.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Raises `range` to at least `state`.
    pub fn insert(&mut self, range: TimeRange, state: State) {
        let touched = self.take_touching(range);
        let mut pieces = Pieces::default();
        let mut cursor = range.start();
        for (start, end, held) in touched {
            pieces.push(start, end.min(range.start()), held);
            pieces.push(cursor, start.min(range.end()), state);
            pieces.push(start.max(range.start()), end.min(range.end()), held.max(state));
            cursor = cursor.max(end);
            if end > range.end() {
                pieces.push(cursor.min(range.end()), range.end(), state);
                pieces.push(start.max(range.end()), end, held);
            }
        }
        if cursor < range.end() {
            pieces.push_before_tail(cursor, range.end(), state);
        }
        for (start, end, state) in pieces.0 {
            self.segments.insert(start, (end, state));
        }
    }

    /// Removes and returns, in order, the segments that overlap or touch `range`.
    fn take_touching(&mut self, range: TimeRange) -> Vec<(Millis, Millis, State)> {
        let before = self.segments.range(..range.start()).next_back();
        let first =
            before.filter(|(_, (end, _))| *end >= range.start()).map_or(range.start(), |(start, _)| *start);
        let starts: Vec<Millis> = self.segments.range(first..=range.end()).map(|(start, _)| *start).collect();
        let take = |start: Millis| self.segments.remove(&start).map(|(end, state)| (start, end, state));
        starts.into_iter().filter_map(take).collect()
    }

    /// The pointwise maximum with `other`.
    pub fn merge(&mut self, other: &Self) {
        for (range, state) in other.iter() {
            self.insert(range, state);
        }
    }

    /// Every segment in order.
    pub fn iter(&self) -> impl Iterator<Item = (TimeRange, State)> + '_ {
        let segment = |(start, (end, state)): (&Millis, &(Millis, State))| {
            TimeRange::non_empty(*start, *end).map(|range| (range, *state))
        };
        self.segments.iter().filter_map(segment)
    }

    /// The ranges in `state`, in order.
    pub fn ranges(&self, state: State) -> Vec<TimeRange> {
        self.iter().filter(|(_, held)| *held == state).map(|(range, _)| range).collect()
    }

    /// The parts of `asked` in any state, in order.
    pub fn covered(&self, asked: TimeRange) -> Vec<(TimeRange, State)> {
        let from =
            self.segments.range(..=asked.start()).next_back().map_or(asked.start(), |(start, _)| *start);
        let clip = |(start, (end, state)): (&Millis, &(Millis, State))| {
            let range = TimeRange::non_empty(*start, *end)?.intersect(asked)?;
            Some((range, *state))
        };
        self.segments.range(from..asked.end()).filter_map(clip).collect()
    }

    /// The parts of `asked` of which nothing is known, in order.
    pub fn missing(&self, asked: TimeRange) -> Vec<TimeRange> {
        let mut missing = Vec::new();
        let mut cursor = asked.start();
        for (range, _) in self.covered(asked) {
            missing.extend(TimeRange::non_empty(cursor, range.start()));
            cursor = range.end();
        }
        missing.extend(TimeRange::non_empty(cursor, asked.end()));
        missing
    }

    /// The end of the unbroken coverage that starts at the first known moment.
    pub fn watermark(&self) -> Option<Millis> {
        let mut watermark = None;
        for (range, _) in self.iter() {
            if watermark.is_some_and(|end| end != range.start()) {
                break;
            }
            watermark = Some(range.end());
        }
        watermark
    }
}

impl FromIterator<(TimeRange, State)> for Coverage {
    fn from_iter<I: IntoIterator<Item = (TimeRange, State)>>(ranges: I) -> Self {
        let mut coverage = Self::new();
        for (range, state) in ranges {
            coverage.insert(range, state);
        }
        coverage
    }
}

/// Adjacent pieces in order; equal neighbours are joined as they are pushed.
#[derive(Default)]
struct Pieces(Vec<(Millis, Millis, State)>);

impl Pieces {
    fn push(&mut self, start: Millis, end: Millis, state: State) {
        if start >= end {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.1 == start && last.2 == state => last.1 = end,
            _ => self.0.push((start, end, state)),
        }
    }

    /// Pushes where the last piece may already lie behind (a segment that only touches the end).
    fn push_before_tail(&mut self, start: Millis, end: Millis, state: State) {
        let tail = self.0.pop_if(|last| last.0 >= end);
        self.push(start, end, state);
        if let Some((start, end, state)) = tail {
            self.push(start, end, state);
        }
    }
}

/// The stored form: two sorted lists of `[start, end)` in milliseconds UTC.
#[derive(Serialize, Deserialize)]
struct Listed {
    data: Vec<TimeRange>,
    empty: Vec<TimeRange>,
}

impl From<Coverage> for Listed {
    fn from(coverage: Coverage) -> Self {
        Self { data: coverage.ranges(State::Data), empty: coverage.ranges(State::Empty) }
    }
}

impl TryFrom<Listed> for Coverage {
    type Error = Error;
    fn try_from(listed: Listed) -> Result<Self, Error> {
        let data = listed.data.into_iter().map(|range| (range, State::Data));
        Ok(data.chain(listed.empty.into_iter().map(|range| (range, State::Empty))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: i64 = 60;

    fn ranges() -> impl Strategy<Value = Vec<(TimeRange, State)>> {
        let one = (0..SPAN, 1..15_i64, any::<bool>()).prop_map(|(start, length, data)| {
            let state = if data { State::Data } else { State::Empty };
            (TimeRange::new(start, start + length).unwrap(), state)
        });
        prop::collection::vec(one, 0..12)
    }

    /// The definition: the greatest state of any range that holds the moment.
    fn model(ranges: &[(TimeRange, State)], at: i64) -> Option<State> {
        ranges.iter().filter(|(range, _)| range.contains(at)).map(|(_, state)| *state).max()
    }

    fn state_at(coverage: &Coverage, at: i64) -> Option<State> {
        coverage.iter().find(|(range, _)| range.contains(at)).map(|(_, state)| state)
    }

    fn of(ranges: &[(TimeRange, State)]) -> Coverage {
        ranges.iter().copied().collect()
    }

    fn merged(a: &Coverage, b: &Coverage) -> Coverage {
        let mut merged = a.clone();
        merged.merge(b);
        merged
    }

    proptest! {
        #[test]
        fn equals_the_pointwise_maximum_in_fewest_segments(ranges in ranges()) {
            let coverage = of(&ranges);
            for at in -1..SPAN + 20 {
                prop_assert_eq!(state_at(&coverage, at), model(&ranges, at), "at {}", at);
            }
            let segments: Vec<_> = coverage.iter().collect();
            for pair in segments.windows(2) {
                prop_assert!(pair[0].0.end() < pair[1].0.start() || (pair[0].0.end() == pair[1].0.start() && pair[0].1 != pair[1].1));
            }
        }

        #[test]
        fn merge_laws(a in ranges(), b in ranges(), c in ranges()) {
            let (a, b, c) = (of(&a), of(&b), of(&c));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }

        #[test]
        fn missing_and_covered_partition_what_was_asked(ranges in ranges(), start in 0..SPAN, length in 1..SPAN) {
            let asked = TimeRange::new(start, start + length).unwrap();
            let coverage = of(&ranges);
            let mut parts: Vec<TimeRange> = coverage.covered(asked).into_iter().map(|(range, _)| range).collect();
            for gap in coverage.missing(asked) {
                prop_assert!((gap.start()..gap.end()).all(|at| model(&ranges, at).is_none()));
                parts.push(gap);
            }
            parts.sort();
            let mut cursor = asked.start();
            for part in parts {
                prop_assert_eq!(part.start(), cursor);
                cursor = part.end();
            }
            prop_assert_eq!(cursor, asked.end());
        }

        #[test]
        fn the_stored_form_round_trips(ranges in ranges()) {
            let coverage = of(&ranges);
            let text = serde_json::to_string(&coverage).unwrap();
            prop_assert_eq!(serde_json::from_str::<Coverage>(&text).unwrap(), coverage);
        }
    }

    #[test]
    fn the_watermark_ends_at_the_first_hole() {
        let range = |start, end| TimeRange::new(start, end).unwrap();
        let coverage =
            of(&[(range(0, 5), State::Data), (range(5, 7), State::Empty), (range(9, 10), State::Data)]);
        assert_eq!(coverage.watermark(), Some(7));
        assert_eq!(Coverage::new().watermark(), None);
    }
}
