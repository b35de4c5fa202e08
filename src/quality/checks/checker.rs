//! The value that the rows of one series go through, in time order.

use super::finding::{Selection, Tally, Validation};
use super::rows::{Bars, Columns};
use super::runs::Runs;
use super::thresholds::Thresholds;
use super::times::Times;
use super::window::{self, Window};
use super::{Check, Severity};
use crate::coverage::{Coverage, State};
use crate::error::Result;
use crate::quality::check::sorted;
use crate::quality::closed_bars;
use crate::records::Batch;
use crate::report::Gap;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange, iso};

/// Rows looked at together: they fit into a processor's nearest memory.
const BLOCK: usize = 1024;
/// So many gaps are listed.
const MOST: usize = 1000;

/// Looks at the rows of one series over one range. Objects go through [`Checker::stored`] in the order of their
/// starts, and rows through [`Checker::look`] in time order; where both are cut does not matter.
pub struct Checker {
    series: Series,
    range: TimeRange,
    now: Millis,
    thresholds: Thresholds,
    selection: Selection,
    coverage: Option<Coverage>,
    tally: Tally,
    times: Times,
    runs: Runs,
    window: Window,
    rows: u64,
    /// When the bar after the last possible one opens, and the close of that one.
    follows: (Millis, f64),
    /// The range of the object before, and what all of them span.
    object: Option<TimeRange>,
    spanned: Coverage,
}

/// One object as it was stored.
#[derive(Debug)]
pub struct Stored {
    /// What its name says.
    pub range: TimeRange,
    /// A cell: its range is where its rows may lie, not what is settled.
    pub is_cell: bool,
    /// Its rows, in their order.
    pub rows: Batch,
    /// How many rows its metadata says; `None` where it says nothing.
    pub said: Option<u64>,
}

impl Checker {
    /// For the rows of `series` in `range`. `now` says which bars have closed; `coverage`, where it is known, which
    /// bars the source does not have.
    pub fn new(
        series: &Series,
        range: TimeRange,
        now: Millis,
        thresholds: Thresholds,
        selection: Selection,
        coverage: Option<Coverage>,
    ) -> Self {
        let closed = closed_bars(range, series.timeframe, now);
        Self {
            times: Times::new(series.timeframe, closed, series.data_type.is_dense()),
            runs: Runs::new(&thresholds),
            window: Window::new(&thresholds),
            series: series.clone(),
            range,
            now,
            thresholds,
            selection,
            coverage,
            tally: Tally::default(),
            rows: 0,
            follows: (Millis::MIN, f64::NAN),
            object: None,
            spanned: Coverage::new(),
        }
    }

    /// Looks at where a chunk lies: chunks follow one another, and the checkpoint knows of them.
    fn place(&mut self, range: TimeRange) {
        if self.object.is_some_and(|before| range.start() < before.end()) {
            self.tally.note(Check::Overlap, range.start());
        }
        self.object = self.object.filter(|before| before.end() > range.end()).or(Some(range));
        if let Some(coverage) = &self.coverage
            && !coverage.covered(range).iter().any(|(_, state)| *state == State::Data)
        {
            self.tally.note(Check::Orphan, range.start());
        }
    }

    /// Looks at an object by itself; its rows that open inside the range, in time order, for [`Self::look`] once no
    /// later object can add to them.
    pub fn stored(&mut self, object: &Stored) -> Result<Batch> {
        let (range, rows) = (object.range, &object.rows);
        let held = rows.len() as u64;
        if object.said.is_some_and(|said| said != held) {
            self.tally.note(Check::Lineage, range.start());
        }
        self.spanned.insert(range, State::Data);
        if !object.is_cell {
            self.place(range);
        }
        let ts = rows.ts();
        if !ts.is_sorted() {
            let back = ts.windows(2).filter(|pair| pair[1] < pair[0]);
            back.for_each(|pair| self.tally.note(Check::Order, pair[1]));
        }
        let ordered = sorted(rows)?;
        let inside = ordered.within(range);
        if inside.len() < ordered.len() {
            let strays = ordered.ts().iter().filter(|at| !range.contains(**at));
            strays.for_each(|at| self.tally.note(Check::Outside, *at));
            self.rows += (ordered.len() - inside.len()) as u64;
        }
        Ok(inside.within(self.range))
    }

    /// Looks at rows, in time order and none before those of the last call.
    pub fn look(&mut self, batch: &Batch) {
        let ts = batch.ts();
        self.rows += ts.len() as u64;
        self.closed(ts);
        let columns = Columns::of(batch);
        match &columns {
            Columns::Levels(levels) => levels.look(&mut self.tally),
            Columns::Bars(bars) => bars.counts(self.thresholds.volume_tolerance, &mut self.tally),
        }
        for from in (0..ts.len()).step_by(BLOCK) {
            let to = ts.len().min(from + BLOCK);
            let is_regular = self.times.look(batch, from, to, &mut self.tally);
            let Columns::Bars(bars) = &columns else { continue };
            let scan = bars.scan(from, to, &mut self.tally);
            if is_regular && scan.is_fine {
                self.block(bars, from, to, scan.may_rest);
            } else {
                self.stretches(&columns, bars, from, to);
            }
        }
        self.times.keep(batch);
    }

    /// Bars that have not closed.
    fn closed(&mut self, ts: &[Millis]) {
        let timeframe = self.series.timeframe;
        let closed = ts.partition_point(|at| timeframe.next(*at) <= self.now);
        let latest = self.now.saturating_add(Thresholds::millis(self.thresholds.future_skew_seconds));
        for at in &ts[closed..] {
            self.tally.note(if *at > latest { Check::Future } else { Check::Forming }, *at);
        }
    }

    /// Possible bars, each just after the one before.
    fn block(&mut self, bars: &Bars<'_>, from: usize, to: usize, may_rest: bool) {
        let follows = self.follows.0 == bars.ts[from];
        if may_rest {
            let mut before = if follows { self.follows.1 } else { f64::NAN };
            if !follows {
                self.runs.end();
            }
            for row in from..to {
                let is_flat = bars.high[row] == bars.low[row];
                let is_unmoved = is_flat && bars.close[row].to_bits() == before.to_bits();
                self.runs.step(bars.ts[row], is_unmoved, bars.volume[row] == 0.0);
                before = bars.close[row];
            }
        } else {
            self.runs.end();
        }
        let part = window::Bars {
            ts: &bars.ts[from..to],
            open: &bars.open[from..to],
            high: &bars.high[from..to],
            low: &bars.low[from..to],
            close: &bars.close[from..to],
        };
        self.window.push(&part, follows, &self.thresholds, &mut self.tally);
        self.follows = (self.series.timeframe.next(bars.ts[to - 1]), bars.close[to - 1]);
    }

    /// Bars of which some are not possible, or missing, or there twice: in stretches of those that are fine.
    fn stretches(&mut self, columns: &Columns<'_>, bars: &Bars<'_>, from: usize, to: usize) {
        let timeframe = self.series.timeframe;
        let is_fine = |row: usize| columns.fault(row).is_none();
        let mut row = from;
        while row < to {
            let is_again = bars.ts[row] < self.follows.0 || !timeframe.is_aligned(bars.ts[row]);
            if is_again || !is_fine(row) {
                row += 1;
                continue;
            }
            let start = row;
            row += 1;
            while row < to && bars.ts[row] == timeframe.next(bars.ts[row - 1]) && is_fine(row) {
                row += 1;
            }
            self.block(bars, start, row, true);
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Validation {
        self.times.end();
        if self.series.data_type == DataType::Ohlcv {
            self.runs.findings(&self.thresholds, &mut self.tally);
            self.window.end(&self.thresholds, &mut self.tally);
        }
        let gaps = self.gaps();
        self.lost();
        self.late();
        let closed = closed_bars(self.range, self.series.timeframe, self.now);
        let empty = Validation {
            series: self.series.to_string(),
            start: iso(self.range.start()),
            end: iso(self.range.end()),
            checks_version: 0,
            ok: true,
            rows: self.rows,
            bars: closed.map_or(0, |closed| self.bars(closed)),
            findings: Vec::new(),
            gap_count: gaps.len() as u64,
            gaps: gaps.iter().take(MOST).map(|(range, kind)| self.gap(*range, kind)).collect(),
        };
        empty.judged(&self.tally, &self.selection)
    }

    fn bars(&self, range: TimeRange) -> u64 {
        self.series.timeframe.count(range.start(), range.end())
    }

    fn gap(&self, range: TimeRange, kind: &'static str) -> Gap {
        Gap::new(range, self.series.timeframe, kind)
    }

    /// The gaps by what the checkpoint says of them.
    fn gaps(&mut self) -> Vec<(TimeRange, &'static str)> {
        let mut gaps = Vec::new();
        for gap in std::mem::take(&mut self.times.gaps) {
            let Some(coverage) = &self.coverage else {
                gaps.push((gap, "missing"));
                continue;
            };
            let known = coverage.covered(gap).into_iter();
            let mut parts: Vec<(TimeRange, &'static str)> = known
                .map(|(part, state)| (part, if state == State::Data { "lost" } else { "empty" }))
                .collect();
            parts.extend(coverage.missing(gap).into_iter().map(|part| (part, "unknown")));
            parts.sort();
            gaps.extend(parts);
        }
        for (gap, kind) in &gaps {
            let check = match *kind {
                "empty" => Check::Empty,
                "lost" => Check::Lost,
                _ => Check::Missing,
            };
            self.tally.add(check, gap.start(), self.bars(*gap));
        }
        let oldest = self.now.saturating_sub(Thresholds::millis(self.thresholds.gap_error_seconds));
        let first_open = gaps.iter().find(|(_, kind)| matches!(*kind, "missing" | "unknown"));
        if first_open.is_some_and(|(gap, _)| self.series.timeframe.next(gap.start()) <= oldest) {
            self.tally.raise(Check::Missing);
        }
        gaps
    }

    /// Of a sparse data type, ranges with rows by the checkpoint that no object spans.
    fn lost(&mut self) {
        let Some(coverage) = &self.coverage else { return };
        if self.series.data_type.is_dense() {
            return;
        }
        for (range, state) in coverage.covered(self.range) {
            let unspanned = if state == State::Data { self.spanned.missing(range) } else { Vec::new() };
            for lost in unspanned {
                self.tally.add(Check::Lost, lost.start(), self.bars(lost));
            }
        }
    }

    /// Where the range reaches up to now: how old the newest bar is.
    fn late(&mut self) {
        let timeframe = self.series.timeframe;
        let newest = timeframe.floor(self.now);
        let reaches = self.range.start() < newest && self.range.end() >= newest;
        if !reaches || !self.series.data_type.is_dense() {
            return;
        }
        let first = timeframe.ceil(self.range.start());
        let held = self.times.last().map_or(first, |last| timeframe.next(timeframe.floor(last)));
        let age = self.now - held;
        let late = |seconds: f64| age > timeframe.shortest() + Thresholds::millis(seconds);
        if held < newest && late(self.thresholds.late_seconds) {
            self.tally.add(Check::Late, held, timeframe.count(held, newest));
            if late(self.thresholds.late_error_seconds) {
                self.tally.raise(Check::Late);
            }
        }
    }

    /// Notes what something else has found, such as a comparison with finer bars.
    pub fn note(&mut self, check: Check, at: Millis, count: u64) {
        if count > 0 {
            self.tally.add(check, at, count);
        }
    }
}

impl Validation {
    /// How many findings are so bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}
