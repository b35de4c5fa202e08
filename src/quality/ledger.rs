//! The gap ledger of a series: of each hole that the source was asked about, how often, when first and last, and what
//! kind of hole it is. So a hole is asked for again a few times, and not for ever. Pure.

use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::time_range::{Millis, TimeRange};

/// A week: a series that ended so long ago is no longer listed.
const LONG: Millis = 7 * 86_400_000;
/// So many other series make an outage believable.
const WITNESSES: usize = 2;
/// What this version writes.
const FORMAT: u32 = 1;

/// Why there is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// The source has nothing there, as often as it was asked.
    NoTrade,
    /// No other known series of the source has a row there either.
    Outage,
    /// The source has deleted it; nobody can ask any more.
    BeyondRetention,
    /// Before the first row of the series, or a week and more after its last one.
    NotListed,
    /// The source had nothing when it was asked, and should be asked again.
    Unresolved,
}

impl GapKind {
    /// As stored and reported.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoTrade => "no_trade",
            Self::Outage => "outage",
            Self::BeyondRetention => "beyond_retention",
            Self::NotListed => "not_listed",
            Self::Unresolved => "unresolved",
        }
    }
}

/// One hole, or a part of it with a history of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Where it is.
    pub range: TimeRange,
    /// What it is, as last judged.
    pub kind: GapKind,
    /// How often the source was asked; the run that found it is the first.
    pub attempts: u32,
    /// When it was first written down, milliseconds UTC.
    pub first_seen: Millis,
    /// When a repair last asked for it, milliseconds UTC.
    pub last_checked: Option<Millis>,
}

/// When a hole is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A hole that the source had nothing for so often is settled.
    pub attempts: u32,
    /// How long after the first repair the second one asks again; doubles each time. Milliseconds.
    pub pause: Millis,
    /// Ask for every hole now.
    pub is_forced: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 3, pause: 3_600_000, is_forced: false }
    }
}

/// What a hole is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Of the series itself.
    pub coverage: &'a Coverage,
    /// Of other series of the same source, data type and timeframe.
    pub others: &'a [Coverage],
    /// Bars before are gone at the source.
    pub cutoff: Millis,
    /// Asked so often, a hole is settled.
    pub attempts: u32,
    /// The present.
    pub now: Millis,
}

/// The holes of one series, in order and disjoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    holes: Vec<Hole>,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    holes: Vec<Hole>,
}

impl Ledger {
    /// Reads the stored form; `Data` where it is damaged, `Invalid` where it is newer.
    pub fn parse(text: &str) -> Result<Self> {
        let stored: Stored = serde_json::from_str(text)
            .map_err(|error| Error::data(format!("the gap ledger cannot be read: {error}")))?;
        if stored.format > FORMAT {
            let newer =
                format!("the gap ledger has format {}, this version reads up to {FORMAT}", stored.format);
            return Err(Error::invalid(newer).with_hint("upgrade quant-framework; it was left as it is"));
        }
        Ok(Self { holes: stored.holes })
    }

    /// The stored form.
    pub fn text(&self) -> Result<String> {
        let stored = Stored { format: FORMAT, holes: self.holes.clone() };
        serde_json::to_string(&stored).map_err(|error| Error::internal(error.to_string()))
    }

    /// Number of holes.
    pub fn hole_count(&self) -> usize {
        self.holes.len()
    }

    /// The holes that touch `range`, cut to it, in order.
    pub fn holes(&self, range: TimeRange) -> impl Iterator<Item = Hole> + '_ {
        self.holes.iter().filter_map(move |hole| Some(Hole { range: hole.range.intersect(range)?, ..*hole }))
    }

    /// Writes down what is `empty` inside of `range` by now, and what cannot be asked for any more; forgets what has
    /// been filled, and judges each hole.
    pub fn update(&mut self, range: TimeRange, evidence: &Evidence<'_>) {
        let old = std::mem::take(&mut self.holes);
        let (inside, outside): (Vec<Hole>, Vec<Hole>) =
            old.into_iter().partition(|hole| hole.range.intersect(range).is_some());
        let mut holes = outside;
        for hole in &inside {
            // What sticks out was not looked at.
            let parts = [(hole.range.start(), range.start()), (range.end(), hole.range.end())];
            let parts = parts.into_iter().filter_map(|(start, end)| TimeRange::non_empty(start, end));
            holes.extend(parts.map(|range| Hole { range, ..*hole }));
        }
        let judge = Judge::new(evidence);
        for (empty, _) in
            evidence.coverage.covered(range).into_iter().filter(|(_, state)| *state == State::Empty)
        {
            let from = inside.partition_point(|hole| hole.range.end() <= empty.start());
            let to = inside.partition_point(|hole| hole.range.start() < empty.end());
            holes.extend(judged(empty, &inside[from..to], &judge));
        }
        holes.extend(gone(range, &inside, evidence));
        holes.sort_by_key(|hole| hole.range);
        self.holes = joined(holes);
    }

    /// The source had nothing for these parts of `asked` either.
    pub fn asked(&mut self, asked: &Coverage, now: Millis) {
        let mut holes = Vec::with_capacity(self.holes.len());
        for hole in std::mem::take(&mut self.holes) {
            let again = asked.covered(hole.range).into_iter().map(|(range, _)| Hole {
                range,
                attempts: hole.attempts + 1,
                last_checked: Some(now),
                ..hole
            });
            let not = asked.missing(hole.range).into_iter().map(|range| Hole { range, ..hole });
            holes.extend(again.chain(not));
        }
        holes.sort_by_key(|hole| hole.range);
        self.holes = joined(holes);
    }

    /// What to ask for again now.
    pub fn due(&self, range: TimeRange, patience: Patience, now: Millis) -> Vec<TimeRange> {
        let is_due = |hole: &Hole| {
            let pause = patience.pause.saturating_mul(1 << hole.attempts.saturating_sub(2).min(20));
            let has_rested = hole.last_checked.is_none_or(|last| now >= last.saturating_add(pause));
            let is_open = matches!(hole.kind, GapKind::Unresolved | GapKind::Outage);
            let askable = hole.kind != GapKind::BeyondRetention;
            askable && (patience.is_forced || is_open && hole.attempts < patience.attempts && has_rested)
        };
        let due: Coverage = self.holes(range).filter(is_due).map(|hole| (hole.range, State::Empty)).collect();
        due.ranges(State::Empty)
    }
}

/// The parts of an empty range, each with its history, as `judge` says what they are.
fn judged(empty: TimeRange, known: &[Hole], judge: &Judge<'_>) -> Vec<Hole> {
    let mut parts: Vec<Hole> = known
        .iter()
        .filter(|hole| hole.attempts > 0)
        .filter_map(|hole| Some(Hole { range: hole.range.intersect(empty)?, ..*hole }))
        .collect();
    let told: Coverage = parts.iter().map(|hole| (hole.range, State::Empty)).collect();
    let new = Hole {
        range: empty,
        kind: GapKind::Unresolved,
        attempts: 1,
        first_seen: judge.evidence.now,
        last_checked: None,
    };
    parts.extend(told.missing(empty).into_iter().map(|range| Hole { range, ..new }));
    let attempts = parts.iter().map(|hole| hole.attempts).min().unwrap_or(0);
    let kind = judge.kind(empty, attempts);
    for part in &mut parts {
        part.kind = kind;
    }
    parts
}

/// What was never asked for and cannot be any more: by this run's cutoff, or an earlier one's.
fn gone(range: TimeRange, known: &[Hole], evidence: &Evidence<'_>) -> Vec<Hole> {
    let before = known.iter().filter(|hole| hole.kind == GapKind::BeyondRetention).map(|hole| hole.range);
    let lost = TimeRange::non_empty(range.start(), range.end().min(evidence.cutoff));
    let lost: Coverage = before.chain(lost).map(|range| (range, State::Empty)).collect();
    let unknown = evidence.coverage.missing(range);
    let gone = unknown.into_iter().flat_map(|hole| lost.covered(hole)).map(|(range, _)| range);
    let first_seen = |range: TimeRange| {
        let seen = known.iter().filter(|hole| hole.range.intersect(range).is_some());
        seen.map(|hole| hole.first_seen).min().unwrap_or(evidence.now)
    };
    let hole = |range| Hole {
        range,
        kind: GapKind::BeyondRetention,
        attempts: 0,
        first_seen: first_seen(range),
        last_checked: None,
    };
    gone.map(hole).collect()
}

/// From the first row to the end of the last one.
fn rows_of(coverage: &Coverage) -> Option<(Millis, Millis)> {
    let rows = coverage.ranges(State::Data);
    Some((rows.first()?.start(), rows.last()?.end()))
}

/// Says what a hole is.
struct Judge<'a> {
    evidence: &'a Evidence<'a>,
    rows: Option<(Millis, Millis)>,
    /// With their rows' bounds.
    others: Vec<(&'a Coverage, (Millis, Millis))>,
}

impl<'a> Judge<'a> {
    fn new(evidence: &'a Evidence<'a>) -> Self {
        let others = evidence.others.iter().filter_map(|other| Some((other, rows_of(other)?))).collect();
        Self { evidence, rows: rows_of(evidence.coverage), others }
    }

    fn kind(&self, hole: TimeRange, attempts: u32) -> GapKind {
        let is_settled = attempts >= self.evidence.attempts;
        let starts_later = self.rows.is_some_and(|(first, _)| hole.end() <= first);
        let ended_before = self.rows.is_none_or(|(_, last)| hole.start() >= last);
        let is_long_ago = self.evidence.now - hole.start() >= LONG;
        if hole.end() <= self.evidence.cutoff {
            GapKind::BeyondRetention
        } else if starts_later || (ended_before && is_long_ago && is_settled) {
            GapKind::NotListed
        } else if self.is_outage(hole) {
            GapKind::Outage
        } else if is_settled {
            GapKind::NoTrade
        } else {
            GapKind::Unresolved
        }
    }

    /// Whether at least two other series trade before and after the hole, are known inside of it, and have no row there.
    fn is_outage(&self, hole: TimeRange) -> bool {
        let around = self.others.iter().filter(|(other, (first, last))| {
            *first < hole.start() && *last > hole.end() && other.missing(hole).is_empty()
        });
        let witnesses: Vec<&Coverage> = around.map(|(other, _)| *other).collect();
        let is_silent =
            |other: &&Coverage| other.covered(hole).iter().all(|(_, state)| *state == State::Empty);
        witnesses.len() >= WITNESSES && witnesses.iter().all(is_silent)
    }
}

/// Neighbours with one history become one.
fn joined(holes: Vec<Hole>) -> Vec<Hole> {
    let mut joined: Vec<Hole> = Vec::with_capacity(holes.len());
    for hole in holes {
        match joined.last_mut() {
            Some(last)
                if last.range.end() == hole.range.start() && Hole { range: last.range, ..hole } == *last =>
            {
                last.range = TimeRange::non_empty(last.range.start(), hole.range.end()).unwrap_or(last.range);
            }
            _ => joined.push(hole),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
