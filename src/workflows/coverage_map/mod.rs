//! A look at what is covered: of each series every bar by its kind, as numbers, as spans and as the cells of a picture.
//! Nothing is written. What is drawn of it ([`coverage_page`], [`coverage_text`]) is a function of the value alone.

mod load;
mod page;
mod runs;
mod sections;
mod text;

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::quality::GapKind;
use crate::time_range::{Millis, iso};

pub use load::{Asked, coverage_map};
pub use page::coverage_page;
pub use sections::Section;
pub use text::{Terminal, coverage_text};

/// Spans listed of one series; of more than these the worst and longest.
const SPANS: usize = 200;

/// What a bar is. The order is that of a picture: where a cell holds several, the last of them is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Before the first known moment of the series, and no start was asked for: nothing is expected.
    Before,
    /// Has not closed yet, or lies in the future: nothing is expected.
    Forming,
    /// Its row is in the lake.
    Data,
    /// Asked for, nothing there, and that is fine: the data type is sparse.
    Empty,
    /// As in the gap ledger.
    NotListed,
    /// As in the gap ledger.
    BeyondRetention,
    /// As in the gap ledger.
    NoTrade,
    /// As in the gap ledger.
    Outage,
    /// As in the gap ledger; also what is not written there yet.
    Unresolved,
    /// Nobody ever asked for it.
    Unknown,
}

impl Kind {
    /// Every kind, best first.
    pub const ALL: [Self; 10] = [
        Self::Before,
        Self::Forming,
        Self::Data,
        Self::Empty,
        Self::NotListed,
        Self::BeyondRetention,
        Self::NoTrade,
        Self::Outage,
        Self::Unresolved,
        Self::Unknown,
    ];

    /// As in the value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Forming => "forming",
            Self::Data => "data",
            Self::Empty => "empty",
            Self::NotListed => "not_listed",
            Self::BeyondRetention => "beyond_retention",
            Self::NoTrade => "no_trade",
            Self::Outage => "outage",
            Self::Unresolved => "unresolved",
            Self::Unknown => "unknown",
        }
    }

    /// For people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Before => "before the first known bar",
            Self::Forming => "not closed yet",
            Self::Data => "data",
            Self::Empty => "empty (sparse)",
            Self::NotListed => "not listed",
            Self::BeyondRetention => "beyond retention",
            Self::NoTrade => "no trade",
            Self::Outage => "outage",
            Self::Unresolved => "unresolved",
            Self::Unknown => "never asked",
        }
    }

    /// Whether a bar that is expected is not there.
    pub const fn is_hole(self) -> bool {
        !matches!(self, Self::Before | Self::Forming | Self::Data | Self::Empty)
    }

    /// Whether somebody should do something: ask, or ask again.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Unknown | Self::Unresolved | Self::Outage)
    }
}

impl From<GapKind> for Kind {
    fn from(kind: GapKind) -> Self {
        match kind {
            GapKind::NoTrade => Self::NoTrade,
            GapKind::Outage => Self::Outage,
            GapKind::BeyondRetention => Self::BeyondRetention,
            GapKind::NotListed => Self::NotListed,
            GapKind::Unresolved => Self::Unresolved,
        }
    }
}

/// A time that reads as ISO 8601 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub Millis);

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        iso(moment.0)
    }
}

impl TryFrom<String> for Moment {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let time = DateTime::parse_from_rfc3339(&text);
        time.map(|time| Self(time.timestamp_millis()))
            .map_err(|_| format!("{text:?} is not an ISO 8601 time"))
    }
}

/// Bars of one kind without a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first bar.
    pub start: Moment,
    /// The end of the last one.
    pub end: Moment,
    /// What they are.
    pub kind: Kind,
    /// How many.
    pub bars: u64,
    /// How often the source was asked, where the gap ledger says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When the hole was first written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Moment>,
    /// When a repair last asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checked: Option<Moment>,
}

/// Neighbouring cells of a picture that look alike: the worst kind in each, the share of the cell's time that is of
/// this kind (0 to 1, never 0), and how many cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cells(pub Kind, pub f64, pub usize);

/// What is known of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Series key.
    pub series: String,
    /// Why it is not, or not wholly, known. One line.
    #[serde(default)]
    pub error: Option<String>,
    /// Whether every bar should hold a row.
    pub dense: bool,
    /// The first known moment, ISO 8601 UTC.
    #[serde(default)]
    pub first: Option<String>,
    /// The end of what is known, ISO 8601 UTC.
    #[serde(default)]
    pub last: Option<String>,
    /// The end of the unbroken coverage from the first known moment on, ISO 8601 UTC.
    #[serde(default)]
    pub watermark: Option<String>,
    /// Closed bars of the range.
    pub expected: u64,
    /// They by kind; they add up to `expected`.
    pub bars: BTreeMap<Kind, u64>,
    /// Bars with data over bars expected, 0 to 1, rounded down to six digits: 1 only where nothing is missing. Of a
    /// sparse data type empty ones count as well. `None`: none expected.
    #[serde(default)]
    pub covered: Option<f64>,
    /// In order, those before the first known moment left out.
    pub spans: Vec<Span>,
    /// Spans that are not listed.
    pub more_spans: u64,
    /// Spans that are holes, listed or not.
    pub holes: u64,
    /// The picture: as many cells as the map has columns; none where nothing could be read.
    pub cells: Vec<Cells>,
}

impl Row {
    /// Bars of `kind`.
    pub fn bars(&self, kind: Kind) -> u64 {
        self.bars.get(&kind).copied().unwrap_or_default()
    }

    /// Bars that are as they should be, in parts of `whole`, rounded down.
    fn share(&self, whole: u64) -> Option<u64> {
        let held = u128::from(self.bars(Kind::Data) + self.bars(Kind::Empty)) * u128::from(whole);
        Some(held.checked_div(u128::from(self.expected))? as u64)
    }

    /// `covered` for people: 100 only where nothing is missing.
    fn percent(&self) -> Option<String> {
        let hundredths = self.share(10_000)?;
        Some(format!("{}.{:02} %", hundredths / 100, hundredths % 100))
    }
}

/// Sums over all series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many.
    pub series: u64,
    /// Those with an error.
    pub errors: u64,
    /// Closed bars of the range.
    pub expected: u64,
    /// They by kind.
    pub bars: BTreeMap<Kind, u64>,
}

/// What is covered of some series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverageMap {
    /// Where the picture begins.
    pub start: Moment,
    /// Where it ends.
    pub end: Moment,
    /// When it was looked.
    pub as_of: Moment,
    /// Cells of each row, of equal length in time.
    pub columns: usize,
    /// Sums.
    pub totals: Totals,
    /// In the order asked for.
    pub series: Vec<Row>,
}

#[cfg(test)]
mod tests;
