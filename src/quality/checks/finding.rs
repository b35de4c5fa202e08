//! What a look at rows says.

use serde::Serialize;

use super::{CHECKS_VERSION, Check, RULES, meant};
use crate::error::{Error, Result};
use crate::report::Gap;
use crate::time_range::{Millis, iso};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rows cannot be used as they are.
    Error,
    /// Somebody should know.
    Warning,
    /// Good to know.
    Info,
}

/// One kind of trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Id of the check.
    pub check: &'static str,
    /// Its family, as in the table of checks.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Rows; bars where there is no row; objects for `lineage overlap orphan`.
    pub count: u64,
    /// Open time of the first one, ISO 8601 UTC.
    pub first: String,
}

/// The rows of one series over a range, looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// Series key.
    pub series: String,
    /// Start of the range, ISO 8601 UTC.
    pub start: String,
    /// Its end (exclusive), ISO 8601 UTC.
    pub end: String,
    /// Version of the checks.
    pub checks_version: u32,
    /// Whether no finding is an error.
    pub ok: bool,
    /// Rows that there are.
    pub rows: u64,
    /// Closed bars of the range.
    pub bars: u64,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// For a dense data type, the closed bars without a row, the first thousand runs of them. Kind `missing`; with a
    /// checkpoint `empty` (the source had none), `unknown` (never asked) or `lost` (there should be rows).
    pub gaps: Vec<Gap>,
    /// How many such runs there are.
    pub gap_count: u64,
}

/// How often something was found, and where first.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    found: [(u64, Millis); RULES.len()],
    worse: Vec<Check>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { found: [(0, Millis::MAX); RULES.len()], worse: Vec::new() }
    }
}

impl Tally {
    pub(super) fn note(&mut self, check: Check, at: Millis) {
        self.add(check, at, 1);
    }

    pub(super) fn add(&mut self, check: Check, at: Millis, count: u64) {
        let (held, first) = &mut self.found[check as usize];
        *held += count;
        *first = at.min(*first);
    }

    /// From now on the findings of `check` are errors.
    pub(super) fn raise(&mut self, check: Check) {
        self.worse.push(check);
    }

    /// What is selected of it, the worst first.
    pub(super) fn findings(&self, selection: &Selection) -> Vec<Finding> {
        let found = RULES.iter().zip(&self.found).filter(|(_, (count, _))| *count > 0);
        let mut findings: Vec<Finding> = found
            .filter(|(rule, _)| selection.holds(rule.check))
            .map(|(rule, (count, first))| Finding {
                check: rule.id,
                code: rule.code,
                severity: if self.worse.contains(&rule.check) { Severity::Error } else { rule.severity },
                count: *count,
                first: iso(*first),
            })
            .collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}

/// Which checks count.
#[derive(Debug, Clone, Default)]
pub struct Selection(Option<Vec<Check>>);

impl Selection {
    /// Of ids (`spike`) and codes (`P4`); `Invalid` where there is none of that name. All where there are no names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut checks = Vec::new();
        for name in names {
            let before = checks.len();
            let meant = RULES.iter().filter(|rule| rule.id == name || rule.code == name);
            checks.extend(meant.map(|rule| rule.check));
            if checks.len() == before {
                return Err(unknown(name));
            }
        }
        Ok(Self((!checks.is_empty()).then_some(checks)))
    }

    /// Whether `check` counts.
    pub fn holds(&self, check: Check) -> bool {
        self.0.as_ref().is_none_or(|checks| checks.contains(&check))
    }
}

fn unknown(name: &str) -> Error {
    let ids = || RULES.iter().map(|rule| rule.id);
    let known: Vec<&str> = ids().collect();
    let error = Error::invalid(format!("unknown check {name:?}; use {}", known.join(", ")));
    match meant(name, ids()) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

impl Validation {
    /// Version, findings and verdict of what was counted.
    pub(super) fn judged(mut self, tally: &Tally, selection: &Selection) -> Self {
        self.checks_version = CHECKS_VERSION;
        self.findings = tally.findings(selection);
        self.ok = self.findings.iter().all(|finding| finding.severity != Severity::Error);
        self
    }
}
