//! Checkpoints made right again: copies made equal, damaged ones set aside, lost ones read off the lake.

use std::collections::BTreeMap;

use futures::stream::{StreamExt, TryStreamExt, iter};
use serde::Serialize;

use crate::coverage::{Coverage, State};
use crate::error::{Error, Kind, Result};
use crate::lake::{BronzeWriter, Object};
use crate::ports::{Checkpoint, CheckpointStore};
use crate::quality;
use crate::report::Failure;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// Objects read at once.
const WIDTH: usize = 16;

/// What a repair may do.
#[derive(Debug, Clone, Default)]
pub struct RepairSpec {
    /// Only series whose key starts so.
    pub prefix: String,
    /// Set checkpoints aside that cannot be read.
    pub replace_damaged: bool,
    /// Take each object of the lake as rows from its first bar to its last, without looking inside: fast, and holes
    /// in it are no longer known.
    pub names_only: bool,
}

/// What a repair did.
#[derive(Debug, Default, Serialize)]
pub struct RepairReport {
    /// Checkpoints looked at.
    pub series: u64,
    /// Keys of which a copy was behind.
    pub repaired: Vec<String>,
    /// Keys whose checkpoint could not be read and was set aside.
    pub set_aside: Vec<String>,
    /// Keys to which the lake's objects added something.
    pub rebuilt: Vec<String>,
    /// What is still wrong.
    pub errors: Vec<Failure>,
}

/// Looks at every checkpoint of `store`, and at every object of `lake` where there is one.
pub async fn repair(
    store: &dyn CheckpointStore,
    lake: Option<&BronzeWriter>,
    spec: &RepairSpec,
) -> Result<RepairReport> {
    let mut report = RepairReport::default();
    for key in store.list(&spec.prefix).await? {
        report.series += 1;
        match store.repair(&key).await {
            Ok(true) => report.repaired.push(key),
            Ok(false) => {}
            Err(error) if error.kind() == Kind::Data && spec.replace_damaged => {
                let replaced = async {
                    store.set_aside(&key).await?;
                    store.repair(&key).await
                };
                match replaced.await {
                    Ok(_) => report.set_aside.push(key),
                    Err(error) => report.damaged(&key, &error),
                }
            }
            Err(error) => report.damaged(&key, &error),
        }
    }
    let Some(lake) = lake else { return Ok(report) };
    let mut objects: BTreeMap<String, (Series, Vec<Object>)> = BTreeMap::new();
    for (series, object) in lake.everything().await? {
        let key = series.to_string();
        if key.starts_with(&spec.prefix) {
            objects.entry(key).or_insert_with(|| (series, Vec::new())).1.push(object);
        }
    }
    for (key, (series, objects)) in objects {
        match rebuild(store, lake, &series, objects, spec.names_only).await {
            Ok(true) => report.rebuilt.push(key),
            Ok(false) => {}
            Err(error) => report.damaged(&key, &error),
        }
    }
    Ok(report)
}

impl RepairReport {
    fn damaged(&mut self, key: &str, error: &Error) {
        let known = self.errors.iter().any(|held| held.series.as_deref() == Some(key));
        if !known {
            self.errors.push(Failure { series: Some(key.to_owned()), ..Failure::new(None, error) });
        }
    }
}

/// Commits what the lake's objects of `series` prove, in its present generation; whether that was news.
async fn rebuild(
    store: &dyn CheckpointStore,
    lake: &BronzeWriter,
    series: &Series,
    objects: Vec<Object>,
    names_only: bool,
) -> Result<bool> {
    let facts = iter(objects).map(|object| async move {
        if names_only && !object.is_cell {
            return Ok([(object.range, State::Data)].into_iter().collect());
        }
        let ts = lake.timestamps(series, object).await?.unwrap_or_default();
        Ok::<Coverage, Error>(proven(&ts, object, series))
    });
    let facts: Vec<Coverage> = facts.buffered(WIDTH).try_collect().await?;
    // At once: objects may nest where a run was killed and its successor cut other chunks.
    let found: Coverage = facts.iter().flat_map(Coverage::iter).collect();
    let key = series.to_string();
    let held = store.load(&key).await?.unwrap_or_default();
    let mut merged = held.coverage.clone();
    merged.merge(&found);
    if merged == held.coverage {
        return Ok(false);
    }
    let delta = Checkpoint { generation: held.generation, coverage: found, ..Checkpoint::default() };
    store.commit(&key, &delta).await.map(|()| true)
}

/// What the rows of an object prove. What a cell does not hold was perhaps never asked for.
fn proven(ts: &[Millis], object: Object, series: &Series) -> Coverage {
    if !object.is_cell {
        return quality::facts(ts, object.range, series);
    }
    let bar = |at: &Millis| TimeRange::non_empty(*at, series.timeframe.next(*at));
    ts.iter().filter_map(bar).map(|bar| (bar, State::Data)).collect()
}
