//! How the quotas of a place stand, for people: nothing is written, and who looks does not take part.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::open::{Place, file_of};
use super::scope::Scope;
use super::{file, postgres};
use crate::clock::Clock;
use crate::disk::failure;
use crate::error::Result;
use crate::rate_limit::{Micros, WindowStats, window_stats};
use crate::secret::Secret;
use crate::series::decode_segment;
use crate::time_range::Millis;

/// So many scopes are looked at.
const MOST: usize = 100;

/// One scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScopeStats {
    /// What the source limits, such as `coinalyze:<key hash>`.
    pub scope: String,
    /// Why it cannot be told. One line.
    pub error: Option<String>,
    /// Its windows, in the order in which they were given.
    pub windows: Vec<WindowStats>,
    /// Nobody asks before, in milliseconds since 1970 UTC.
    pub blocked_until: Option<Millis>,
    /// Workers that wait for a permit.
    pub waiting: usize,
    /// Workers that take part, or did a moment ago.
    pub workers: usize,
}

impl ScopeStats {
    fn of(scope: String, held: Result<Scope>, now: Micros) -> Self {
        match held {
            Ok(held) => {
                let until = held.budget().penalty().until();
                let (waiting, workers) = held.busy(now);
                Self {
                    scope,
                    error: None,
                    windows: window_stats(held.budget(), now),
                    blocked_until: (until > now).then_some((until / 1000) as Millis),
                    waiting,
                    workers,
                }
            }
            Err(error) => Self {
                scope,
                error: Some(error.to_string()),
                windows: Vec::new(),
                blocked_until: None,
                waiting: 0,
                workers: 0,
            },
        }
    }
}

/// The scopes of `source` (that of its name, and those that begin so before a colon) at `place`, which is as for
/// [`super::open`]. None where nobody has ever shared one there.
pub async fn look(
    place: &str,
    password: Option<&Secret>,
    source: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<ScopeStats>> {
    let folder = match Place::parse(place, "a quota")? {
        Place::Folder(folder) => folder,
        Place::Database(dsn) => {
            let held = postgres::peek(dsn, password, source, clock).await?;
            return Ok(held.into_iter().map(|(scope, held, now)| ScopeStats::of(scope, held, now)).collect());
        }
    };
    let mut stats = Vec::new();
    for scope in scopes(&folder, source)? {
        let held = file::peek(&file_of(&folder, &scope), &**clock).await.transpose();
        let now = clock.now().unsigned_abs() * 1000;
        stats.extend(held.map(|held| ScopeStats::of(scope, held, now)));
    }
    Ok(stats)
}

/// The names of the scopes of `source` in a folder.
fn scopes(folder: &Path, source: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failure("list", folder, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failure("list", folder, &error))?;
        let file = entry.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
        let scope = name.and_then(|name| decode_segment(name).ok());
        names.extend(scope.filter(|scope| is_of(scope, source)));
    }
    names.sort_unstable();
    names.truncate(MOST);
    Ok(names)
}

fn is_of(scope: &str, source: &str) -> bool {
    scope.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}
