//! A place for rows.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Fetched;
use crate::error::{Error, Result};
use crate::records::Quarantined;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// Proof of a durable write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Where the rows lie; empty when there were none to write.
    pub uri: String,
    /// Rows written.
    pub rows: u64,
    /// Size of the object.
    pub bytes: u64,
}

/// What lies in a lake of one series, committed or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Chunks, each written at once.
    pub chunks: Vec<TimeRange>,
    /// Cells, which grow: what they span need not be there.
    pub cells: Vec<TimeRange>,
}

/// A place for rows. Writing the same chunk twice leaves the same result.
#[async_trait]
pub trait DataWriter: Send + Sync {
    /// Fails with `Invalid` or `Unavailable`, in one line, where nothing can be written. Called before quota is spent.
    async fn prepare(&self) -> Result<()>;

    /// What lies there of `series`; empty where the place cannot tell.
    /// Called once per series, after the source has answered and before anything is written.
    async fn held(&self, series: &Series) -> Result<Held>;

    /// Removes the chunk of `series` that spans exactly `range`; no error where it is absent. Called for chunks that
    /// a killed run left, once all of their range is durable under other names.
    async fn remove(&self, series: &Series, range: TimeRange) -> Result<()>;

    /// Writes the rows of one chunk durably under a name made of `series` and `range`.
    async fn write(&self, series: &Series, range: TimeRange, fetched: &Fetched) -> Result<Receipt>;

    /// Keeps rows of a chunk that cannot be true, and why, apart from the data. Twice is once.
    async fn quarantine(&self, _series: &Series, _range: TimeRange, bad: &Quarantined) -> Result<()> {
        Err(Error::data(format!(
            "rows cannot be true, and this writer has no quarantine: {}",
            bad.describe()
        )))
    }

    /// The same place as one where rows can be replaced; `None` where they cannot.
    fn cells(&self) -> Option<&dyn Cells> {
        None
    }
}

/// What a merge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Rows that were not there before.
    pub added: u64,
    /// Rows that took the place of another version.
    pub restated: u64,
    /// Size of the objects that were written anew.
    pub bytes: u64,
}

/// A place where rows can be replaced: by read, merge, compare-and-set, so that any number of runs may do it at once.
#[async_trait]
pub trait Cells: Send + Sync {
    /// Puts `rows` where they belong: into the chunk that spans them, else into the cell of their time. A row that is
    /// there already in another version is replaced, and the old version kept apart. `left` are chunks that are not
    /// committed; nothing goes there. `asked` is when the source was asked: an answer does not replace a later one's rows.
    async fn merge(
        &self,
        series: &Series,
        rows: &Fetched,
        left: &[TimeRange],
        asked: Millis,
    ) -> Result<Merged>;

    /// Removes the rows of `range` from `cell`, which a chunk holds now.
    async fn trim(&self, series: &Series, cell: TimeRange, range: TimeRange) -> Result<()>;

    /// Removes the rows of `range` from `chunk`, one that is not committed; they lie elsewhere now.
    async fn trim_chunk(&self, series: &Series, chunk: TimeRange, range: TimeRange) -> Result<()>;
}
