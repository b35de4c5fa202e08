//! What is known of a series: for each moment unknown, `empty` (the source was asked and had
//! nothing) or `data` (rows are durably written), ordered `unknown < empty < data`.
//! Two coverages merge by the pointwise maximum: commutative, associative, idempotent.

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

/// One range in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    start: Millis,
    end: Millis,
    state: State,
}

/// A set of disjoint ranges, each in one [`State`]; touching ranges of one state are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "Listed")]
pub struct Coverage {
    /// In order. A vector, because coverage grows at its end, is read whole, and merges in one sweep.
    segments: Vec<Segment>,
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
        let added = [Segment { start: range.start(), end: range.end(), state }];
        let first = self.segments.partition_point(|held| held.end < range.start());
        let last = first + self.segments[first..].partition_point(|held| held.start <= range.end());
        let joined = maximum(&self.segments[first..last], &added);
        self.segments.splice(first..last, joined);
    }

    /// The pointwise maximum with `other`.
    pub fn merge(&mut self, other: &Self) {
        match other.segments.as_slice() {
            [] => {}
            [one] => {
                if let Some(range) = TimeRange::non_empty(one.start, one.end) {
                    self.insert(range, one.state);
                }
            }
            many => self.segments = maximum(&self.segments, many),
        }
    }

    /// Every segment in order.
    pub fn iter(&self) -> impl Iterator<Item = (TimeRange, State)> + '_ {
        let segment = |held: &Segment| Some((TimeRange::non_empty(held.start, held.end)?, held.state));
        self.segments.iter().filter_map(segment)
    }

    /// The ranges in `state`, in order.
    pub fn ranges(&self, state: State) -> Vec<TimeRange> {
        self.iter().filter(|(_, held)| *held == state).map(|(range, _)| range).collect()
    }

    /// The parts of `asked` in any state, in order.
    pub fn covered(&self, asked: TimeRange) -> Vec<(TimeRange, State)> {
        let first = self.segments.partition_point(|held| held.end <= asked.start());
        let last = first + self.segments[first..].partition_point(|held| held.start < asked.end());
        let clip = |held: &Segment| {
            Some((TimeRange::non_empty(held.start, held.end)?.intersect(asked)?, held.state))
        };
        self.segments[first..last].iter().filter_map(clip).collect()
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
        let breaks = |pair: &&[Segment]| pair[0].end != pair[1].start;
        let last = self.segments.windows(2).find(breaks).map(|pair| pair[0]);
        last.or(self.segments.last().copied()).map(|held| held.end)
    }
}

/// The pointwise maximum of two sorted lists of disjoint segments, in one sweep.
fn maximum(a: &[Segment], b: &[Segment]) -> Vec<Segment> {
    let mut joined = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut at = Millis::MIN;
    loop {
        // What each list says from `at` on, and until where it says so.
        let mut here = None;
        let mut start = Millis::MAX;
        for list in [&mut a, &mut b] {
            while list.next_if(|held| held.end <= at).is_some() {}
            start = start.min(list.peek().map_or(Millis::MAX, |held| held.start.max(at)));
        }
        if a.peek().is_none() && b.peek().is_none() {
            return joined;
        }
        let mut end = Millis::MAX;
        for held in [a.peek(), b.peek()].into_iter().flatten() {
            if held.start <= start {
                here = here.max(Some(held.state));
                end = end.min(held.end);
            } else {
                end = end.min(held.start);
            }
        }
        if let Some(state) = here {
            append(&mut joined, Segment { start, end, state });
        }
        at = end;
    }
}

/// Adds `next`, which lies behind everything in `joined`; equal neighbours become one.
fn append(joined: &mut Vec<Segment>, next: Segment) {
    match joined.last_mut() {
        Some(last) if last.end >= next.start && last.state == next.state => last.end = last.end.max(next.end),
        _ => joined.push(next),
    }
}

impl FromIterator<(TimeRange, State)> for Coverage {
    /// In any order.
    fn from_iter<I: IntoIterator<Item = (TimeRange, State)>>(ranges: I) -> Self {
        let (mut data, mut empty) = (Vec::new(), Vec::new());
        for (range, state) in ranges {
            let of = if state == State::Data { &mut data } else { &mut empty };
            of.push(Segment { start: range.start(), end: range.end(), state });
        }
        for of in [&mut data, &mut empty] {
            of.sort_unstable_by_key(|held| held.start);
            let mut joined = Vec::with_capacity(of.len());
            of.drain(..).for_each(|next| append(&mut joined, next));
            *of = joined;
        }
        Self { segments: maximum(&data, &empty) }
    }
}

/// The readable form: two sorted lists of `[start, end)` in milliseconds UTC.
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
