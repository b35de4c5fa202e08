//! The silver layer: per series and period (a month below 1h, else a year) one object of sorted rows, each bar once.
//! It is made of bronze alone, so the same bronze gives the same bytes, and making it again changes nothing.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt, iter};
use serde::Serialize;

use super::bronze::{BronzeWriter, open};
use super::cells::RACE;
use super::encoding::{Encoding, encode_rows};
use super::inspect::Body;
use super::naming::{Object, folder, period};
use crate::clock::Clock;
use crate::disk::blocking;
use crate::error::{Error, Kind, Result};
use crate::objects::{Condition, Objects, S3Settings};
use crate::quality;
use crate::records::Batch;
use crate::retry::repeat;
use crate::series::Series;
use crate::time_range::TimeRange;

/// The folder of what may not go on; beside those of the sources, so that `source=*/**` does not see it.
const QUARANTINE: &str = "_quarantine";
/// Objects of bronze read at once.
const WIDTH: usize = 4;
/// Periods made at once.
const PERIODS: usize = 3;
/// Periods for which bronze is listed once.
const GROUP: usize = 16;

/// Makes silver of a bronze lake under a URL.
pub struct SilverWriter {
    bronze: Arc<BronzeWriter>,
    objects: Box<dyn Objects>,
    encoding: Encoding,
    clock: Arc<dyn Clock>,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// Periods looked at.
    pub partitions: u64,
    /// Periods whose object was replaced; the others were right already.
    pub written: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Bytes of what was replaced.
    pub bytes: u64,
    /// Rows of bronze that repeat another one exactly.
    pub repeated: u64,
    /// Rows of bronze that a later object contradicts; the later one counts.
    pub replaced: u64,
    /// Rows of bronze that are kept aside, with their reasons: those replaced, and those that cannot be true.
    pub quarantined: u64,
}

impl SilverWriter {
    /// Under `url`, `file:///lake/silver`, an absolute path, or `s3://bucket/prefix`. Opens nothing yet. `Invalid` where
    /// bronze lies there: who reads the folder would find each row twice.
    pub fn open(
        url: &str,
        settings: S3Settings,
        encoding: Encoding,
        bronze: Arc<BronzeWriter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let objects = open(url, settings, Arc::clone(&clock))?;
        if objects.uri("") == bronze.uri() {
            return Err(Error::invalid(format!("silver and bronze both lie in {}", bronze.uri()))
                .with_hint("give silver a folder or prefix of its own"));
        }
        Ok(Self { bronze, objects, encoding, clock })
    }

    /// The address of the folder that holds the rows of `series`, ending in a slash.
    pub fn address(&self, series: &Series) -> String {
        self.objects.uri(&folder(series))
    }

    /// Makes the periods of `series` that `range` touches (all where it is `None`) from what bronze holds of them. A
    /// period of which bronze holds nothing stays as it is. Any number of writers may do so at once: whoever was not
    /// the last reads bronze again.
    ///
    /// Rows that cannot be true do not go on: they are kept under `_quarantine/`, with their reasons, until bronze holds
    /// them no longer.
    ///
    /// # Errors
    /// `Data`, naming the object, where bronze cannot be read.
    pub async fn compact(&self, series: &Series, range: Option<TimeRange>) -> Result<Compaction> {
        let objects = self.bronze.all(series).await?;
        let mut done = Compaction::default();
        for group in periods(series, &objects, range).chunks(GROUP) {
            for one in self.compact_group(series, group).await? {
                done = done.with(&one);
            }
        }
        Ok(done)
    }

    /// Some periods, for which bronze is listed once. What is held of them is read before: who has seen less of bronze
    /// than the last writer loses.
    async fn compact_group(&self, series: &Series, group: &[(String, TimeRange)]) -> Result<Vec<Compaction>> {
        let places: Vec<(String, TimeRange)> =
            group.iter().map(|(name, whole)| (format!("{}{name}", folder(series)), *whole)).collect();
        let held = iter(places).map(|(key, whole)| self.held(key, whole));
        let held: Vec<Held> = held.buffered(WIDTH).try_collect().await?;
        let objects = self.bronze.all(series).await?;
        let objects = &objects;
        let work = iter(held).map(|held| async move {
            let (key, whole) = (held.key.clone(), held.whole);
            match self.replace(series, held, objects).await {
                Err(error) if error.kind() == Kind::Unavailable => {
                    repeat(&RACE, &*self.clock, || self.compact_alone(series, whole, &key)).await
                }
                other => other,
            }
        });
        work.buffered(PERIODS).try_collect().await
    }

    async fn compact_alone(&self, series: &Series, whole: TimeRange, key: &str) -> Result<Compaction> {
        let held = self.held(key.to_owned(), whole).await?;
        self.replace(series, held, &self.bronze.all(series).await?).await
    }

    async fn held(&self, key: String, whole: TimeRange) -> Result<Held> {
        let aside = self.objects.get_tagged(&format!("{QUARANTINE}/{key}")).await?;
        Ok(Held { body: self.objects.get_tagged(&key).await?, aside, key, whole })
    }

    /// One attempt at one period, of which `objects` is what bronze holds.
    async fn replace(&self, series: &Series, held: Held, objects: &[Object]) -> Result<Compaction> {
        let whole = held.whole;
        let inside: Vec<Object> =
            objects.iter().filter(|object| object.range.intersect(whole).is_some()).copied().collect();
        let read = iter(inside).map(|object| self.bronze.body(series, object));
        let bodies: Vec<Body> = read.buffered(WIDTH).try_collect().await?;
        let (of, encoding) = (series.clone(), self.encoding);
        let wanted = (held.body.is_some(), held.aside.is_some());
        let made = blocking(move || made(&of, whole, &bodies, encoding, wanted)).await?;
        let mut done = made.done;
        if let Some(body) = made.aside {
            self.put(&format!("{QUARANTINE}/{}", held.key), body, held.aside).await?;
        }
        if let Some(body) = made.body {
            let bytes = self.put(&held.key, body, held.body).await?;
            done.written = u64::from(bytes.is_some());
            done.bytes = bytes.unwrap_or_default();
        }
        Ok(done)
    }

    /// The size of `body` where it was not there already. `Unavailable` where somebody else has replaced what was.
    async fn put(&self, key: &str, body: Bytes, held: Option<(Bytes, String)>) -> Result<Option<u64>> {
        if held.as_ref().is_some_and(|(old, _)| *old == body) {
            return Ok(None);
        }
        let bytes = body.len() as u64;
        let condition = held.map_or(Condition::Absent, |(_, tag)| Condition::Unchanged(tag));
        if !self.objects.replace_if(key, body, &condition).await? {
            return Err(Error::unavailable(format!("{}: another writer was faster", self.objects.uri(key))));
        }
        Ok(Some(bytes))
    }
}

/// The periods that objects touch within `range`, in order, with the names of their objects.
fn periods(series: &Series, objects: &[Object], range: Option<TimeRange>) -> Vec<(String, TimeRange)> {
    let mut found: Vec<(String, TimeRange)> = Vec::new();
    for object in objects.iter().map(|object| object.range) {
        let within = |part: TimeRange| range.map_or(Some(part), |range| part.intersect(range));
        let mut rest = within(object);
        while let Some((name, whole)) = rest.and_then(|rest| period(series.timeframe, rest.start())) {
            if found.last().is_none_or(|(_, last)| whole.start() >= last.end()) {
                found.push((name, whole));
            }
            rest = TimeRange::non_empty(whole.end(), object.end()).and_then(within);
        }
    }
    found
}

/// The objects of a period that are there already, with what tells them from their other versions.
struct Held {
    key: String,
    whole: TimeRange,
    body: Option<(Bytes, String)>,
    aside: Option<(Bytes, String)>,
}

/// What a period becomes: its objects, where they are wanted, and what is counted of it.
struct Made {
    body: Option<Bytes>,
    aside: Option<Bytes>,
    done: Compaction,
}

/// Makes a period of the objects of bronze that touch it: in time order, of each bar the row of the last object that can
/// be true. `held` says whether its objects are there already: one that is may have to become empty.
fn made(
    series: &Series,
    whole: TimeRange,
    bodies: &[Body],
    encoding: Encoding,
    held: (bool, bool),
) -> Result<Made> {
    let (mut parts, mut strays) = (Vec::new(), Vec::new());
    for body in bodies {
        let object = body.stored(series.data_type)?;
        let ordered = quality::sorted(&object.rows)?;
        let inside = ordered.within(object.range);
        // A row outside its object belongs to no period: that of the object keeps it.
        if inside.len() < ordered.len() && whole.contains(object.range.start()) {
            strays.push(ordered.select(|at| !object.range.contains(at))?);
        }
        parts.push(inside.within(whole));
    }
    let ordered = quality::sorted(&Batch::joined(series.data_type, &parts)?)?;
    let sifted = quality::sift(&ordered, series.timeframe)?;
    let is_known = !ordered.is_empty() || !strays.is_empty();
    let rejected = quarantine::rejected(&ordered, &sifted.rejected, strays)?;
    let aside = rejected.unwrap_or_else(|| RecordBatch::new_empty(quarantine::schema(series.data_type)));
    let done = Compaction {
        partitions: 1,
        rows: sifted.passed.len() as u64,
        repeated: sifted.repeated,
        replaced: sifted.replaced,
        quarantined: aside.num_rows() as u64,
        ..Compaction::default()
    };
    let encoded = |rows: &RecordBatch, is_wanted: bool| {
        let lineage = [
            ("series".to_owned(), series.to_string()),
            ("range".to_owned(), whole.to_string()),
            ("rows".to_owned(), rows.num_rows().to_string()),
        ];
        let is_wanted = is_known && (rows.num_rows() > 0 || is_wanted);
        is_wanted.then(|| encode_rows(rows, &lineage, encoding).map(Bytes::from)).transpose()
    };
    Ok(Made { body: encoded(sifted.passed.rows(), held.0)?, aside: encoded(&aside, held.1)?, done })
}

impl Compaction {
    /// With what came of another period.
    fn with(self, other: &Self) -> Self {
        Self {
            partitions: self.partitions + other.partitions,
            written: self.written + other.written,
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
            repeated: self.repeated + other.repeated,
            replaced: self.replaced + other.replaced,
            quarantined: self.quarantined + other.quarantined,
        }
    }
}

mod quarantine;
#[cfg(test)]
mod tests;
