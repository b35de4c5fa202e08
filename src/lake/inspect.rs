//! One object of bronze as it lies there, for whoever looks for damage.

use bytes::Bytes;

use super::bronze::BronzeWriter;
use super::encoding::decode_with_rows;
use super::naming::{self, Object, key};
use crate::disk::blocking;
use crate::error::{Error, Result};
use crate::quality::Stored;
use crate::records::Batch;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, TimeRange};
use crate::timeframe::Timeframe;

/// An object that is read and not yet looked into.
pub(super) struct Body {
    uri: String,
    object: Object,
    bytes: Bytes,
}

impl Body {
    /// Its rows. A month of minutes takes milliseconds: not on a thread that others wait for.
    pub(super) fn stored(&self, data_type: DataType) -> Result<Stored> {
        let read = || {
            let (batches, said) = decode_with_rows(self.bytes.clone())?;
            let parts = batches.iter().map(|rows| Batch::from_record_batch(data_type, rows));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let Object { range, is_cell } = self.object;
            Ok(Stored { range, is_cell, rows: Batch::joined(data_type, &parts)?, said })
        };
        read().map_err(|error: Error| error.context(&self.uri))
    }
}

impl BronzeWriter {
    /// One object of `series`. `Data` where it is gone or cannot be read.
    pub async fn stored(&self, series: &Series, object: Object) -> Result<Stored> {
        let (body, data_type) = (self.body(series, object).await?, series.data_type);
        blocking(move || body.stored(data_type)).await
    }

    /// The bytes of one object of `series`.
    pub(super) async fn body(&self, series: &Series, object: Object) -> Result<Body> {
        let key = key(series, object);
        let uri = self.objects.uri(&key);
        let bytes = self.objects.get(&key).await?.ok_or_else(|| Error::data(format!("{uri} is gone")))?;
        Ok(Body { uri, object, bytes })
    }
}

/// The period that `at` lies in: a month below 1h, else a year. What looks at a series goes from period to period.
pub fn period(timeframe: Timeframe, at: Millis) -> Option<TimeRange> {
    naming::period(timeframe, at).map(|(_, period)| period)
}
