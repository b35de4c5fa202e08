//! From a URL to a shared limiter.

use std::path::PathBuf;
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
    let pairs = place.strip_prefix("dsn:");
    let cell: Box<dyn Cell> =
        if pairs.is_some() || place.starts_with("postgresql://") || place.starts_with("postgres://") {
            Box::new(PostgresCell::new(pairs.unwrap_or(place), password, scope, new, Arc::clone(clock))?)
        } else {
            let folder = disk::path_of(place).ok_or_else(|| {
            // Not the text itself: it may hold a password.
            Error::invalid(
                "the place of a shared limiter must be postgresql://..., file:///folder or an absolute path",
            )
        })?;
            let path: PathBuf = folder.join(format!("{}.json", encode_segment(scope)));
            Box::new(FileCell::new(path, new, Arc::clone(clock)))
        };
    Ok(SharedLimiter::new(limits, cell, Arc::clone(clock)))
}
