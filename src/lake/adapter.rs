//! A lake as a source: what was staged is checked, written and committed by the same pipeline as what is fetched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::bronze::BronzeWriter;
use super::naming::Object;
use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::ports::{Capability, DataAdapter, FetchRequest, Fetched, Prices};
use crate::series::{DataType, Series};
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;

/// Rows of one chunk at most.
const ROWS: u32 = 100_000;

/// Answers requests from the objects of a lake, which must not change meanwhile.
pub struct LakeAdapter {
    lake: Arc<BronzeWriter>,
    source: String,
    known: Option<Coverage>,
    fingerprint: String,
    objects: Mutex<HashMap<Series, Arc<[Object]>>>,
}

impl LakeAdapter {
    /// The rows of `source` in `lake`. `known` is what its checkpoint says of the series to ask for: what it does not
    /// know, and an object that should be there and is not, are errors, never an empty answer. `fingerprint` is that of
    /// the adapter that fetched the rows.
    pub fn new(
        lake: Arc<BronzeWriter>,
        source: String,
        known: Option<Coverage>,
        fingerprint: String,
    ) -> Self {
        Self { lake, source, known, fingerprint, objects: Mutex::default() }
    }

    async fn objects(&self, series: &Series) -> Result<Arc<[Object]>> {
        let held = self.objects.lock().unwrap_or_else(PoisonError::into_inner).get(series).cloned();
        if let Some(held) = held {
            return Ok(held);
        }
        let found: Arc<[Object]> = self.lake.all(series).await?.into();
        let mut held = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(held.entry(series.clone()).or_insert(found)))
    }
}

/// `Data` where `known` does not know all of `range`, or rows that it names lie in none of `objects`.
fn complete(known: &Coverage, range: TimeRange, objects: &[Object]) -> Result<()> {
    if let Some(unknown) = known.missing(range).first() {
        return Err(Error::data(format!("the rows of {unknown} were never there")));
    }
    let present: Coverage = objects.iter().map(|object| (object.range, State::Data)).collect();
    let rows = known.covered(range).into_iter().filter(|(_, state)| *state == State::Data);
    match rows.flat_map(|(rows, _)| present.missing(rows)).next() {
        Some(gone) => Err(Error::data(format!("the rows of {gone} are gone"))),
        None => Ok(()),
    }
}

#[async_trait]
impl DataAdapter for LakeAdapter {
    fn source(&self) -> &str {
        &self.source
    }

    fn capability(&self, _data_type: DataType, _timeframe: Timeframe) -> Result<Capability> {
        Ok(Capability { prices: Prices::flat(ROWS, 1), retention_bars: None })
    }

    fn is_exact(&self, _symbol: &str) -> bool {
        true
    }

    async fn resolve(&self, symbol: &str) -> Result<String> {
        Ok(symbol.to_owned())
    }

    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched> {
        let objects = self.objects(&request.series).await?;
        if let Some(known) = &self.known {
            complete(known, request.range, &objects)?;
        }
        let batch = self.lake.read_objects(&request.series, request.range, &objects).await?;
        let bytes = batch.rows().get_array_memory_size() as u64;
        Ok(Fetched { batch, bytes, truncated: false, quotas: Vec::new(), lineage: Vec::new() })
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn rows_that_should_be_there_are_missed_and_holes_are_not() {
        let range = |start, end| TimeRange::new(start, end).unwrap();
        let object = |start, end| Object::chunk(range(start, end));
        let known: Coverage =
            [(range(0, 40), State::Data), (range(40, 60), State::Empty), (range(60, 100), State::Data)]
                .into_iter()
                .collect();
        let all = range(0, 100);
        assert!(complete(&known, all, &[object(0, 50), object(50, 100)]).is_ok());
        assert!(complete(&known, all, &[object(0, 40), object(60, 100)]).is_ok());
        assert!(complete(&known, range(40, 60), &[]).is_ok());
        let gone = complete(&known, all, &[object(0, 80)]).unwrap_err();
        assert_eq!(gone.kind(), Kind::Data);
        for (known, objects) in [(&Coverage::new(), &[Object::chunk(all)][..]), (&known, &[object(0, 200)])] {
            let unknown = complete(known, range(50, 150), objects).unwrap_err();
            assert!(unknown.to_string().contains("were never there"), "{unknown}");
        }
    }
}
