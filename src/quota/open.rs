//! From a URL to a shared limiter.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Cell, FileCell, PostgresCell, Scope, SharedLimiter, hold};
use crate::clock::Clock;
use crate::disk;
use crate::error::{Error, Result};
use crate::rate_limit::{Limits, Timeline};
use crate::secret::Secret;
use crate::series::encode_segment;

/// Scopes are names of rows and files.
const MOST_SCOPE: usize = 200;

/// A limiter that shares `scope` with all that name the same place: `postgresql://user@host/name` (or `dsn:` and
/// libpq's `key=value` form) for many machines, `file:///folder` or an absolute path for one. Opens nothing yet.
pub fn open(
    place: &str,
    scope: &str,
    password: Option<&Secret>,
    limits: Limits,
    clock: &Arc<dyn Clock>,
) -> Result<SharedLimiter> {
    if scope.is_empty() || scope.len() > MOST_SCOPE || scope.chars().any(char::is_control) {
        return Err(Error::invalid(format!("scope must have 1 to {MOST_SCOPE} printable characters")));
    }
    if limits.windows.is_empty() {
        return Err(Error::invalid("a shared limiter needs windows: what is shared is what they allow"));
    }
    let now = Timeline::new(Arc::clone(clock)).now();
    let new = Scope::new(limits.budget(now, hold));
    let cell: Box<dyn Cell> = match Place::parse(place, "a shared limiter")? {
        Place::Database(dsn) => Box::new(PostgresCell::new(dsn, password, scope, new, Arc::clone(clock))?),
        Place::Folder(folder) => Box::new(FileCell::new(file_of(&folder, scope), new, Arc::clone(clock))),
    };
    Ok(SharedLimiter::new(limits, cell, Arc::clone(clock)))
}

/// Where a quota is shared.
pub(super) enum Place<'a> {
    /// By its URL or libpq's `key=value` form.
    Database(&'a str),
    /// One file per scope.
    Folder(PathBuf),
}

impl<'a> Place<'a> {
    /// Reads `place`, that of `what`.
    pub(super) fn parse(place: &'a str, what: &str) -> Result<Self> {
        if let Some(pairs) = place.strip_prefix("dsn:") {
            return Ok(Self::Database(pairs));
        }
        if place.starts_with("postgresql://") || place.starts_with("postgres://") {
            return Ok(Self::Database(place));
        }
        // Not the text itself: it may hold a password.
        let wrong = || {
            Error::invalid(format!(
                "the place of {what} must be postgresql://..., file:///folder or an absolute path"
            ))
        };
        disk::path_of(place).map(Self::Folder).ok_or_else(wrong)
    }
}

/// The file of `scope` in the `folder` of a place.
pub(super) fn file_of(folder: &Path, scope: &str) -> PathBuf {
    folder.join(format!("{}.json", encode_segment(scope)))
}
