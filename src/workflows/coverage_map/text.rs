//! The picture in a terminal: one line per series, one character per cell.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::DateTime;

use super::runs::{edge, narrowed};
use super::{Cells, CoverageMap, Kind, Row};
use crate::time_range::Millis;
use crate::workflows::html::count;

/// The narrowest picture that still says something.
const LEAST: usize = 10;
/// Between two dates of the axis, at least.
const APART: usize = 24;
const DAY: Millis = 86_400_000;

/// What it is drawn on.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Characters of a line.
    pub width: usize,
    /// Whether ANSI colours are understood.
    pub colour: bool,
    /// Whether only ASCII is understood.
    pub ascii: bool,
}

/// The picture, its legend and its sums, as lines that end with a line break. Reads without colour too.
pub fn coverage_text(map: &CoverageMap, terminal: &Terminal) -> String {
    let layout = Layout::of(map, terminal);
    let mut text =
        format!("{} .. {} UTC, a cell is {}\n", minute(map.start.0), minute(map.end.0), layout.cell(map));
    text += &layout.axis(map);
    let mut seen = BTreeSet::new();
    for row in &map.series {
        text += &layout.line(row, &mut seen);
    }
    text += &legend(&seen, terminal);
    text += &sums(map, terminal.width);
    text
}

/// Who gets how many characters.
struct Layout {
    name: usize,
    cells: usize,
    terminal: Terminal,
}

/// ` 100.00 %  12,345,678 missing`, without the number's digits.
const SHARE: usize = " 100.00 %".len();

impl Layout {
    fn of(map: &CoverageMap, terminal: &Terminal) -> Self {
        let longest = map.series.iter().map(|row| row.series.chars().count()).max().unwrap_or(0);
        let most = (terminal.width / 3).max(12);
        let name = longest.min(most);
        let rest = terminal.width.saturating_sub(name + 2 + SHARE);
        Self { name, cells: rest.max(LEAST).min(map.columns), terminal: *terminal }
    }

    /// The length in time of a cell.
    fn cell(&self, map: &CoverageMap) -> String {
        let minutes = (map.end.0 - map.start.0) as f64 / self.cells.max(1) as f64 / 60_000.0;
        match minutes {
            m if m >= 2880.0 => format!("{:.1} days", m / 1440.0),
            m if m >= 120.0 => format!("{:.1} hours", m / 60.0),
            m if m >= 1.0 => format!("{m:.1} minutes"),
            m => format!("{:.1} seconds", m * 60.0),
        }
    }

    fn axis(&self, map: &CoverageMap) -> String {
        let shape = if map.end.0 - map.start.0 > 4 * DAY { "%Y-%m-%d" } else { "%m-%d %H:%M" };
        let mark = if self.terminal.ascii { '|' } else { '╷' };
        let mut line = String::new();
        let mut at = 0;
        while at < self.cells {
            let time = edge(map.start.0, map.end.0, self.cells, at);
            let label =
                format!("{mark}{}", DateTime::from_timestamp_millis(time).unwrap_or_default().format(shape));
            if at + label.chars().count() > self.cells {
                break;
            }
            line += &label;
            let next = at + APART.max(self.cells / 6);
            line +=
                &" ".repeat(next.min(self.cells) - (at + label.chars().count()).min(next.min(self.cells)));
            at = next;
        }
        format!("{}  {}\n", " ".repeat(self.name), line.trim_end())
    }

    fn line(&self, row: &Row, seen: &mut BTreeSet<Kind>) -> String {
        let name = shortened(&row.series, self.name, self.terminal.ascii);
        let mut line = format!("{name}{}  ", " ".repeat(self.name - name.chars().count()));
        if !row.cells.is_empty() {
            let mut last = None;
            for Cells(kind, _, columns) in narrowed(&row.cells, self.cells) {
                seen.insert(kind);
                if self.terminal.colour && last != Some(kind) {
                    line += colour(kind);
                }
                line.extend(std::iter::repeat_n(glyph(kind, self.terminal.ascii), columns));
                last = Some(kind);
            }
            if self.terminal.colour {
                line += "\x1b[0m";
            }
            let share = row.percent().unwrap_or_else(|| "-".to_owned());
            let _ = write!(line, "{share:>SHARE$}");
        }
        if let Some(error) = &row.error {
            let between = if row.cells.is_empty() { "" } else { "\n  " };
            let _ = write!(line, "{between}error: {}", printable(error, self.terminal.ascii));
        }
        line.trim_end().to_owned() + "\n"
    }
}

/// Without what a terminal would obey, or could not show.
fn printable(text: &str, ascii: bool) -> String {
    let shown = |letter: char| !letter.is_control() && (!ascii || letter.is_ascii());
    text.chars().map(|letter| if shown(letter) { letter } else { '?' }).collect()
}

/// At most `most` characters; what is cut is cut from the middle, as both ends say more.
fn shortened(text: &str, most: usize, ascii: bool) -> String {
    let mut letters: Vec<char> = printable(text, ascii).chars().collect();
    if letters.len() > most {
        let head = (most - 1) / 3;
        let tail = letters.len() - (most - 1 - head);
        letters.splice(head..tail, [if ascii { '~' } else { '…' }]);
    }
    letters.into_iter().collect()
}

const fn glyph(kind: Kind, ascii: bool) -> char {
    match kind {
        Kind::Before => ' ',
        Kind::Forming => '~',
        Kind::Data => {
            if ascii {
                '#'
            } else {
                '▇'
            }
        }
        Kind::Empty => {
            if ascii {
                '.'
            } else {
                '░'
            }
        }
        Kind::NotListed => '_',
        Kind::BeyondRetention => '<',
        Kind::NoTrade => '-',
        Kind::Outage => 'x',
        Kind::Unresolved => '!',
        Kind::Unknown => '?',
    }
}

/// From the sixteen that every terminal maps to its own scheme.
const fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Before | Kind::Forming | Kind::NotListed | Kind::BeyondRetention => "\x1b[0;90m",
        Kind::Data => "\x1b[0;34m",
        Kind::Empty | Kind::NoTrade => "\x1b[0;36m",
        Kind::Outage => "\x1b[0;35m",
        Kind::Unresolved => "\x1b[0;1;33m",
        Kind::Unknown => "\x1b[0;1;31m",
    }
}

/// What occurs, the worst first.
fn legend(seen: &BTreeSet<Kind>, terminal: &Terminal) -> String {
    let entry = |kind: &Kind| {
        let glyph = glyph(*kind, terminal.ascii);
        let (on, off) = if terminal.colour { (colour(*kind), "\x1b[0m") } else { ("", "") };
        (glyph != ' ').then(|| (format!("{on}{glyph}{off} {}", kind.label()), 2 + kind.label().len()))
    };
    wrapped(seen.iter().rev().filter_map(entry), "   ", terminal.width)
}

/// Entries (each with the characters that are seen of it) in lines of at most `width`.
fn wrapped(entries: impl Iterator<Item = (String, usize)>, between: &str, width: usize) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for (entry, length) in entries {
        if used > 0 && used + between.len() + length > width {
            text = text.trim_end().to_owned() + "\n";
            used = 0;
        } else if used > 0 {
            text += between;
            used += between.len();
        }
        text += &entry;
        used += length;
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn sums(map: &CoverageMap, width: usize) -> String {
    let totals = &map.totals;
    let mut parts = vec![format!("{} series", count(totals.series))];
    if totals.errors > 0 {
        parts.push(format!("{} with errors", count(totals.errors)));
    }
    parts.push(format!("{} bars expected", count(totals.expected)));
    parts.extend(totals.bars.iter().map(|(kind, bars)| format!("{} {}", count(*bars), kind.label())));
    let last = parts.len() - 1;
    let entries = parts.into_iter().enumerate().map(|(place, part)| {
        let part = if place == last { part } else { part + "," };
        let length = part.len();
        (part, length)
    });
    wrapped(entries, " ", width)
}

/// `2026-01-05 13:30`.
pub(super) fn minute(at: Millis) -> String {
    DateTime::from_timestamp_millis(at).unwrap_or_default().format("%Y-%m-%d %H:%M").to_string()
}
