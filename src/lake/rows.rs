//! Rows read back from the lake: one series, one range, whatever objects they lie in.

use arrow_array::BooleanArray;
use futures::stream::{StreamExt, TryStreamExt, iter};

use super::bronze::BronzeWriter;
use super::encoding::decode;
use super::naming::{folder, key, range as range_of};
use crate::error::{Error, Result};
use crate::records::{Batch, schema};
use crate::series::Series;
use crate::time_range::TimeRange;

/// Objects read at once.
const WIDTH: usize = 8;

impl BronzeWriter {
    /// The address of the folder that holds the rows of `series`, ending in a slash.
    pub fn address(&self, series: &Series) -> String {
        self.objects.uri(&folder(series))
    }

    /// The ranges of the objects of `series`, in order.
    pub async fn ranges(&self, series: &Series) -> Result<Vec<TimeRange>> {
        let keys = self.objects.list(&folder(series)).await?;
        let mut ranges: Vec<TimeRange> = keys.iter().filter_map(|key| range_of(key)).collect();
        ranges.sort();
        Ok(ranges)
    }

    /// The rows of `series` that open in `range`, object by object in time order, as they were stored: where objects
    /// overlap, a row comes twice.
    pub async fn read(&self, series: &Series, range: TimeRange) -> Result<Batch> {
        self.read_objects(series, range, &self.ranges(series).await?).await
    }

    /// As [`Self::read`], of the objects that span `objects`. `Data` where one of them is gone or cannot be read.
    pub(super) async fn read_objects(
        &self,
        series: &Series,
        range: TimeRange,
        objects: &[TimeRange],
    ) -> Result<Batch> {
        let inside: Vec<TimeRange> =
            objects.iter().filter(|object| object.intersect(range).is_some()).copied().collect();
        let read = iter(inside).map(|object| self.read_object(series, range, object));
        let parts: Vec<Batch> = read.buffered(WIDTH).try_collect().await?;
        joined(series, &parts)
    }

    async fn read_object(&self, series: &Series, range: TimeRange, object: TimeRange) -> Result<Batch> {
        let key = key(series, object);
        let uri = self.objects.uri(&key);
        let body = self.objects.get(&key).await?;
        let body = body.ok_or_else(|| Error::data(format!("{uri} is gone")))?;
        let batches = decode(body).map_err(|error| error.context(&uri))?;
        let parts =
            batches.iter().map(|rows| inside(&Batch::from_record_batch(series.data_type, rows)?, range));
        let parts = parts.collect::<Result<Vec<_>>>().map_err(|error| error.context(&uri))?;
        joined(series, &parts)
    }

    /// Deletes every object in the folders `date=...` of the root that are older than `date` (`2026-01-31`), and
    /// nothing else; how many there were.
    pub async fn sweep(&self, date: &str) -> Result<u64> {
        let mut swept = 0;
        for key in self.objects.list("").await? {
            let day = key.split('/').next().and_then(|folder| folder.strip_prefix("date="));
            if day.is_some_and(|day| day < date) {
                self.objects.delete(&key).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// The rows that open in `range`, in their order, whatever that is.
fn inside(batch: &Batch, range: TimeRange) -> Result<Batch> {
    if batch.ts().is_sorted() {
        return Ok(batch.within(range));
    }
    let mask: BooleanArray = batch.ts().iter().map(|at| Some(range.contains(*at))).collect();
    let rows = arrow_select::filter::filter_record_batch(batch.rows(), &mask);
    Batch::from_record_batch(batch.data_type(), &rows.map_err(|error| Error::data(error.to_string()))?)
}

fn joined(series: &Series, parts: &[Batch]) -> Result<Batch> {
    let rows = arrow_select::concat::concat_batches(&schema(series.data_type), parts.iter().map(Batch::rows));
    Batch::from_record_batch(series.data_type, &rows.map_err(|error| Error::data(error.to_string()))?)
}
