//! Rows read back from the lake: one series, one range, whatever objects they lie in.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt, iter};

use super::bronze::BronzeWriter;
use super::encoding::decode;
use super::naming::{Object, folder, key, object as object_of};
use crate::error::{Error, Result};
use crate::quality;
use crate::records::Batch;
use crate::series::Series;
use crate::time_range::{Millis, TimeRange};

/// How the folders of stages begin.
const STAGED: &str = "staged=";
/// Objects read at once.
const WIDTH: usize = 8;

impl BronzeWriter {
    /// The address of everything.
    pub(super) fn uri(&self) -> String {
        self.objects.uri("")
    }

    /// The address of the folder that holds the rows of `series`, ending in a slash.
    pub fn address(&self, series: &Series) -> String {
        self.objects.uri(&folder(series))
    }

    /// The keys of the series that have objects here and begin with `prefix`, in order.
    pub async fn series(&self, prefix: &str) -> Result<Vec<String>> {
        let found = self.everything().await?.into_iter().map(|(series, _)| series.to_string());
        let keys: BTreeSet<String> = found.filter(|key| key.starts_with(prefix)).collect();
        Ok(keys.into_iter().collect())
    }

    /// The objects of `series`, in order.
    pub async fn all(&self, series: &Series) -> Result<Vec<Object>> {
        let keys = self.objects.list(&folder(series)).await?;
        let mut objects: Vec<Object> = keys.iter().filter_map(|key| object_of(key)).collect();
        objects.sort();
        Ok(objects)
    }

    /// The rows of `series` that open in `range`, in time order; where objects hold the same bar, it comes twice.
    pub async fn read(&self, series: &Series, range: TimeRange) -> Result<Batch> {
        quality::sorted(&self.read_objects(series, range, &self.all(series).await?).await?)
    }

    /// The rows of `objects` that open in `range`, object by object. `Data` where one is gone or cannot be read.
    pub(super) async fn read_objects(
        &self,
        series: &Series,
        range: TimeRange,
        objects: &[Object],
    ) -> Result<Batch> {
        let inside: Vec<Object> =
            objects.iter().filter(|object| object.range.intersect(range).is_some()).copied().collect();
        let read = iter(inside).map(|object| async move {
            let rows = self.read_object(series, object).await?;
            // Objects are written in time order; one that is not was not written by us.
            if rows.ts().is_sorted() { Ok(rows.within(range)) } else { rows.select(|at| range.contains(at)) }
        });
        let parts: Vec<Batch> = read.buffered(WIDTH).try_collect().await?;
        Batch::joined(series.data_type, &parts)
    }

    async fn read_object(&self, series: &Series, object: Object) -> Result<Batch> {
        let gone = || Error::data(format!("{} is gone", self.objects.uri(&key(series, object))));
        self.object(series, object).await?.ok_or_else(gone)
    }

    /// The rows of `object`; `None` where there is none.
    async fn object(&self, series: &Series, object: Object) -> Result<Option<Batch>> {
        let key = key(series, object);
        let Some(body) = self.objects.get(&key).await? else { return Ok(None) };
        self.decoded(series, &key, body).map(Some)
    }

    /// The rows in the `body` of `key`.
    pub(super) fn decoded(&self, series: &Series, key: &str, body: Bytes) -> Result<Batch> {
        let parts = decode(body).and_then(|batches| {
            batches
                .iter()
                .map(|rows| Batch::from_record_batch(series.data_type, rows))
                .collect::<Result<Vec<_>>>()
        });
        Batch::joined(series.data_type, &parts.map_err(|error| error.context(self.objects.uri(key)))?)
    }

    /// The open times of one object's rows, in order, milliseconds UTC; `None` where there is no such object.
    pub async fn timestamps(&self, series: &Series, object: Object) -> Result<Option<Vec<Millis>>> {
        Ok(self.object(series, object).await?.map(|rows| rows.ts().to_vec()))
    }

    /// Of a root of stages, `staged=<date>/<path>`: deletes those from before `oldest` (`2026-01-31`) and nothing else,
    /// and answers the date of the newest one at `path`.
    pub async fn tidy(&self, path: &str, oldest: &str) -> Result<Option<String>> {
        let mut newest: Option<String> = None;
        for key in self.objects.list("").await? {
            let Some((date, rest)) = key.strip_prefix(STAGED).and_then(|staged| staged.split_once('/'))
            else {
                continue;
            };
            if date < oldest {
                self.objects.delete(&key).await?;
            } else if rest.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')) {
                newest = newest.max(Some(date.to_owned()));
            }
        }
        Ok(newest)
    }
}
