//! The checks of stored rows: one table ([`RULES`]), one value that rows go through ([`Checker`]), and what it says
//! ([`Validation`]). Pure; a row is looked at once, column by column, and nothing is kept of it but a little state.

#![expect(clippy::float_cmp, reason = "equal prices are equal bit by bit: a source repeats what it said")]
#![expect(clippy::needless_bitwise_bool, reason = "loops without a branch are done several rows at a time")]

mod checker;
mod finding;
mod quarantine;
mod restated;
mod roll_up;
mod rows;
mod runs;
mod thresholds;
mod times;
mod window;

pub use checker::{Checker, Stored};
pub use finding::{Finding, Selection, Severity, Validation};
pub use quarantine::{Sifted, sift};
pub use restated::{Restatement, restated};
pub use roll_up::RollUp;
pub(super) use rows::impossible;
pub use thresholds::Thresholds;

/// Raised whenever a check finds something else in the same rows; part of each report and each quarantined row.
pub const CHECKS_VERSION: u32 = 1;

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "RULES says what each is")]
pub enum Check {
    Finite,
    Outside,
    Grid,
    Conflicting,
    Values,
    Volume,
    Future,
    Lost,
    Lineage,
    RollUp,
    Order,
    Repeated,
    Forming,
    Missing,
    Still,
    Trades,
    Taker,
    Frozen,
    Idle,
    Spike,
    Split,
    Late,
    Overlap,
    Orphan,
    Empty,
    Jump,
    Restated,
}

/// What is said of a check.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Which one.
    pub check: Check,
    /// What reports and arguments call it.
    pub id: &'static str,
    /// The family it belongs to: S schema, T time, G gaps, P prices, X other series, R restatement, F freshness,
    /// L lake, C corporate action.
    pub code: &'static str,
    /// How bad it is, unless a threshold says worse.
    pub severity: Severity,
    /// What it finds.
    pub text: &'static str,
}

const fn rule(
    check: Check,
    id: &'static str,
    code: &'static str,
    severity: Severity,
    text: &'static str,
) -> Rule {
    Rule { check, id, code, severity, text }
}

/// Every check, in the order of [`Check`] and of reports: the worst first.
pub const RULES: [Rule; 27] = {
    use Severity::{Error, Info, Warning};
    [
        rule(Check::Finite, "finite", "S1", Error, "a value that every row must have is NaN or infinite"),
        rule(
            Check::Outside,
            "outside",
            "L1",
            Error,
            "a row opens outside the range that its object is named by",
        ),
        rule(Check::Grid, "grid", "T1", Error, "no bar of the timeframe opens then"),
        rule(Check::Conflicting, "conflicting", "T2", Error, "two rows of one bar differ"),
        rule(
            Check::Values,
            "values",
            "P1",
            Error,
            "low is not the lowest, high not the highest, or not above 0",
        ),
        rule(Check::Volume, "volume", "P2", Error, "a volume below 0"),
        rule(Check::Future, "future", "T4", Error, "a bar opens later than now"),
        rule(Check::Lost, "lost", "L1", Error, "the checkpoint says that there are rows, and there are none"),
        rule(Check::Lineage, "lineage", "L1", Error, "an object holds other rows than its metadata says"),
        rule(Check::RollUp, "roll_up", "X1", Error, "a bar is not what the finer bars inside it add up to"),
        rule(Check::Order, "order", "T2", Warning, "a row opens before the one stored before it"),
        rule(Check::Repeated, "repeated", "T2", Warning, "a row is there twice"),
        rule(Check::Forming, "forming", "T3", Warning, "a bar has not closed"),
        rule(Check::Missing, "missing", "G1", Warning, "a closed bar has no row, and nobody knows why"),
        rule(Check::Still, "still", "P2", Warning, "no volume, and yet the price moved within the bar"),
        rule(Check::Trades, "trades", "P2", Warning, "trades without volume, or volume without trades"),
        rule(Check::Taker, "taker", "P2", Warning, "takers bought more than was traded"),
        rule(Check::Frozen, "frozen", "P3", Warning, "the price did not move for many bars, with volume"),
        rule(Check::Idle, "idle", "P3", Warning, "many bars without volume in a row"),
        rule(Check::Spike, "spike", "P4", Warning, "the close jumped, and came back with the next bar"),
        rule(Check::Split, "split", "C1", Warning, "the close moved by a whole factor, and stayed there"),
        rule(Check::Late, "late", "F1", Warning, "the newest closed bars are not there yet"),
        rule(Check::Overlap, "overlap", "L1", Warning, "an object begins before the one before it ends"),
        rule(Check::Orphan, "orphan", "L1", Warning, "an object of which the checkpoint does not know"),
        rule(Check::Empty, "empty", "G2", Info, "a closed bar has no row: the source was asked and had none"),
        rule(Check::Jump, "jump", "P5", Info, "a bar opened far from the close before"),
        rule(Check::Restated, "restated", "R1", Info, "the source says something else of a bar than it did"),
    ]
};

impl Check {
    /// What is said of it.
    pub const fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }
}

/// The one of `known` that `word` was probably meant to be, as a hint.
fn meant<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let folded = word.to_lowercase().replace('-', "_");
    let near = known.map(|name| (strsim::osa_distance(&folded, name), name)).min()?;
    (near.0 <= (word.chars().count() / 3).max(1)).then(|| format!("did you mean {:?}?", near.1))
}

#[cfg(test)]
mod tests;
