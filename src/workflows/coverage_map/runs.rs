//! What every bar of a series is, from its coverage and its gap ledger. Pure.

use std::collections::BTreeMap;

use super::{Cells, Kind, Moment, Row, SPANS, Span};
use crate::coverage::{Coverage, State};
use crate::quality::{Evidence, GapKind, Hole, Ledger, Patience, closed_bars};
use crate::series::Series;
use crate::time_range::{Millis, TimeRange, iso};
use crate::timeframe::Timeframe;

/// What is known of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) coverage: Coverage,
    pub(super) ledger: Ledger,
    /// Of the ledger, which is then taken as empty.
    pub(super) error: Option<String>,
}

impl Known {
    /// How much there is to keep.
    pub(super) fn size(&self) -> usize {
        self.coverage.segment_count() + self.ledger.hole_count()
    }
}

/// Which part of time is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) picture: TimeRange,
    /// Whether bars are expected from the picture's start on, and not from the first known moment on.
    pub(super) is_asked: bool,
    pub(super) now: Millis,
    pub(super) columns: usize,
}

/// Bars of one kind and history without a break.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    pub(super) range: TimeRange,
    pub(super) kind: Kind,
    pub(super) hole: Option<Hole>,
}

/// Where cell `column` of `columns` begins.
pub(super) fn edge(start: Millis, end: Millis, columns: usize, column: usize) -> Millis {
    let along = i128::from(end - start) * column as i128 / columns.max(1) as i128;
    start + along as Millis
}

/// The row of `series`.
pub(super) fn row(series: &Series, known: &Known, frame: &Frame) -> Row {
    let timeframe = series.timeframe;
    let coverage = &known.coverage;
    let first = coverage.iter().next().map(|(range, _)| range.start());
    let last = coverage.iter().last().map(|(range, _)| range.end());
    let wanted = wanted(timeframe, first, frame);
    let runs = wanted.map_or_else(Vec::new, |wanted| runs(series, known, wanted, frame.now));
    let mut bars = BTreeMap::new();
    for run in &runs {
        *bars.entry(run.kind).or_default() += timeframe.count(run.range.start(), run.range.end());
    }
    let expected = wanted.map_or(0, |wanted| timeframe.count(wanted.start(), wanted.end()));
    let runs = framed(timeframe, runs, frame);
    let (spans, more_spans) = listed(timeframe, &runs);
    let row = Row {
        series: series.to_string(),
        error: known.error.clone(),
        dense: series.data_type.is_dense(),
        first: first.map(iso),
        last: last.map(iso),
        watermark: coverage.watermark().map(iso),
        expected,
        covered: None,
        bars,
        spans,
        more_spans,
        holes: runs.iter().filter(|run| run.kind.is_hole()).count() as u64,
        cells: cells(&runs, frame),
    };
    Row { covered: row.share(1_000_000).map(|share| share as f64 / 1e6), ..row }
}

/// The bars that are expected.
fn wanted(timeframe: Timeframe, first: Option<Millis>, frame: &Frame) -> Option<TimeRange> {
    let start = if frame.is_asked { frame.picture.start() } else { first?.max(frame.picture.start()) };
    closed_bars(TimeRange::non_empty(start, frame.picture.end())?, timeframe, frame.now)
}

/// Every bar of `wanted`, in order and without a break.
pub(super) fn runs(series: &Series, known: &Known, wanted: TimeRange, now: Millis) -> Vec<Run> {
    let coverage = &known.coverage;
    let mut told: Vec<Hole> = known.ledger.holes(wanted).collect();
    told.sort_unstable_by_key(|hole| hole.range);
    let new = judged(series, coverage, wanted, now);
    let mut pieces = Pieces { timeframe: series.timeframe, runs: Vec::new() };
    let mut parts = coverage.covered(wanted).into_iter().map(|(range, state)| (range, Some(state)));
    let mut missing = coverage.missing(wanted).into_iter().map(|range| (range, None)).peekable();
    let mut next = parts.next();
    loop {
        let is_missing_first = match (&next, missing.peek()) {
            (Some((range, _)), Some((hole, _))) => hole < range,
            (next, _) => next.is_none(),
        };
        let part = if is_missing_first { missing.next() } else { std::mem::replace(&mut next, parts.next()) };
        let Some((range, state)) = part else { return pieces.runs };
        match state {
            Some(State::Data) => pieces.add(range, Kind::Data, None),
            Some(State::Empty) if !series.data_type.is_dense() => pieces.add(range, Kind::Empty, None),
            Some(State::Empty) => split(
                range,
                &told,
                |_| true,
                |part, hole| match hole {
                    Some(hole) => pieces.add(part, hole.kind.into(), Some(hole)),
                    // Not written down yet: nobody has looked since it was found.
                    None => split(
                        part,
                        &new,
                        |_| true,
                        |part, hole| {
                            pieces.add(part, hole.map_or(Kind::Unresolved, |hole| hole.kind.into()), None);
                        },
                    ),
                },
            ),
            None => split(
                range,
                &told,
                |hole| hole.kind == GapKind::BeyondRetention,
                |part, hole| match hole {
                    Some(hole) => pieces.add(part, Kind::BeyondRetention, Some(hole)),
                    None => pieces.add(part, Kind::Unknown, None),
                },
            ),
        }
    }
}

/// What the empty ranges are by the coverage of the series alone.
fn judged(series: &Series, coverage: &Coverage, wanted: TimeRange, now: Millis) -> Vec<Hole> {
    let mut ledger = Ledger::default();
    if series.data_type.is_dense() {
        let attempts = Patience::default().attempts;
        ledger.update(wanted, &Evidence { coverage, others: &[], cutoff: Millis::MIN, attempts, now });
    }
    ledger.holes(wanted).collect()
}

/// The parts of `range`, each with the hole of `told` (in order) that it lies in, if any.
fn split(
    range: TimeRange,
    told: &[Hole],
    counts: impl Fn(&Hole) -> bool,
    mut each: impl FnMut(TimeRange, Option<Hole>),
) {
    let mut cursor = range.start();
    let from = told.partition_point(|hole| hole.range.end() <= range.start());
    for hole in told[from..].iter().take_while(|hole| hole.range.start() < range.end()) {
        let Some(part) =
            TimeRange::non_empty(hole.range.start().max(cursor), hole.range.end().min(range.end()))
        else {
            continue;
        };
        if !counts(hole) {
            continue;
        }
        if let Some(between) = TimeRange::non_empty(cursor, part.start()) {
            each(between, None);
        }
        each(part, Some(*hole));
        cursor = part.end();
    }
    if let Some(rest) = TimeRange::non_empty(cursor, range.end()) {
        each(rest, None);
    }
}

/// Runs on the grid of bars.
struct Pieces {
    timeframe: Timeframe,
    runs: Vec<Run>,
}

impl Pieces {
    /// Adds the bars that open in `range`, which lies behind everything so far; equal neighbours become one.
    fn add(&mut self, range: TimeRange, kind: Kind, hole: Option<Hole>) {
        let (start, end) = (self.timeframe.ceil(range.start()), self.timeframe.ceil(range.end()));
        let Some(range) = TimeRange::non_empty(start, end) else { return };
        let next = Run { range, kind, hole: hole.map(|hole| Hole { range, ..hole }) };
        if let Some(last) = self.runs.last_mut()
            && last.range.end() == start
            && last.kind == kind
            && last.hole.map(|hole| Hole { range, ..hole }) == next.hole
        {
            last.range = TimeRange::non_empty(last.range.start(), end).unwrap_or(last.range);
            return;
        }
        self.runs.push(next);
    }
}

/// `runs` and what lies around them in the picture.
fn framed(timeframe: Timeframe, runs: Vec<Run>, frame: &Frame) -> Vec<Run> {
    let picture = frame.picture;
    let closed = timeframe.floor(frame.now);
    let first = runs.first().map_or(picture.end().min(closed), |run| run.range.start());
    let last = runs.last().map_or(first.max(picture.start()), |run| run.range.end());
    let plain = |kind| move |range| Run { range, kind, hole: None };
    let before = TimeRange::non_empty(picture.start(), first.min(picture.end())).map(plain(Kind::Before));
    let after = TimeRange::non_empty(last.max(picture.start()), picture.end()).map(plain(Kind::Forming));
    before.into_iter().chain(runs).chain(after).collect()
}

/// The worst kind of each cell.
fn cells(runs: &[Run], frame: &Frame) -> Vec<Cells> {
    let (start, end) = (frame.picture.start(), frame.picture.end());
    let mut cells: Vec<Cells> = Vec::new();
    let mut from = 0;
    for column in 0..frame.columns {
        let low = edge(start, end, frame.columns, column);
        let high = edge(start, end, frame.columns, column + 1);
        while runs.get(from).is_some_and(|run| run.range.end() <= low) {
            from += 1;
        }
        let mut lengths: BTreeMap<Kind, Millis> = BTreeMap::new();
        for run in runs[from..].iter().take_while(|run| run.range.start() < high) {
            let length = run.range.end().min(high) - run.range.start().max(low);
            *lengths.entry(run.kind).or_default() += length;
        }
        let (kind, length) = lengths.pop_last().unwrap_or((Kind::Before, high - low));
        push(&mut cells, kind, length as f64 / (high - low).max(1) as f64);
    }
    cells
}

/// One more cell.
fn push(cells: &mut Vec<Cells>, kind: Kind, share: f64) {
    // Four digits are enough; what is there is never nothing, and not all where something else is there too.
    let share = if share >= 1.0 { 1.0 } else { ((share * 1e4).round() / 1e4).clamp(1e-4, 0.9999) };
    match cells.last_mut() {
        Some(last) if (last.0, last.1) == (kind, share) => last.2 += 1,
        _ => cells.push(Cells(kind, share, 1)),
    }
}

/// The same picture in at most `columns` cells; of those that fall together the worst kind is shown.
pub(super) fn narrowed(cells: &[Cells], columns: usize) -> Vec<Cells> {
    let fine: Vec<&Cells> = cells.iter().flat_map(|cell| std::iter::repeat_n(cell, cell.2)).collect();
    if fine.len() <= columns {
        return cells.to_vec();
    }
    let mut coarse = Vec::new();
    for column in 0..columns {
        let (low, high) = (column * fine.len() / columns, ((column + 1) * fine.len()).div_ceil(columns));
        let parts = &fine[low..high];
        let worst = parts.iter().map(|cell| cell.0).max().unwrap_or(Kind::Before);
        let share: f64 = parts.iter().filter(|cell| cell.0 == worst).map(|cell| cell.1).sum();
        push(&mut coarse, worst, share / parts.len() as f64);
    }
    coarse
}

/// The spans that are shown, in order, and how many are not.
fn listed(timeframe: Timeframe, runs: &[Run]) -> (Vec<Span>, u64) {
    let mut chosen: Vec<&Run> = runs.iter().filter(|run| run.kind != Kind::Before).collect();
    let more = chosen.len().saturating_sub(SPANS);
    if more > 0 {
        chosen
            .sort_unstable_by_key(|run| std::cmp::Reverse((run.kind, run.range.length(), run.range.start())));
        chosen.truncate(SPANS);
        chosen.sort_unstable_by_key(|run| run.range);
    }
    let span = |run: &Run| Span {
        start: Moment(run.range.start()),
        end: Moment(run.range.end()),
        kind: run.kind,
        bars: timeframe.count(run.range.start(), run.range.end()),
        attempts: run.hole.map(|hole| hole.attempts),
        first_seen: run.hole.map(|hole| Moment(hole.first_seen)),
        last_checked: run.hole.and_then(|hole| hole.last_checked).map(Moment),
    };
    (chosen.into_iter().map(span).collect(), more as u64)
}
