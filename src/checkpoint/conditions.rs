//! Whether an S3 server honours conditional writes. Some accept the headers and ignore them, and some let two of
//! many racing writers win; either way commits would undo each other, silently.

use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::objects::{Bucket, Condition, Objects};
use crate::time_range::Millis;
use crate::unique::unique;

/// Writers that race. Enough to catch a server that checks and writes in two steps, few enough for SeaweedFS,
/// which makes more than a dozen wait for seconds.
const RACERS: usize = 8;
/// A verdict is asked for again after so long: servers are replaced.
const VALID: Millis = 30 * 86_400_000;
/// Remembers the verdict; hidden, so no checkpoint.
const MARKER: &str = ".conditional-writes";
const PROBE: &str = ".probe-";

/// What the probe found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Honoured,
    /// And how that showed.
    Ignored(String),
}

#[derive(Serialize, Deserialize)]
struct Marker {
    endpoint: String,
    at: Millis,
}

/// The verdict on `bucket`'s server, from memory where it was honoured less than a month ago. `now` is wall time.
pub(super) async fn verdict(bucket: &Bucket, now: Millis) -> Result<Verdict> {
    let held = bucket.get(MARKER).await?;
    let marker = held.and_then(|body| serde_json::from_slice::<Marker>(&body).ok());
    let valid = |marker: &Marker| marker.endpoint == bucket.endpoint() && (marker.at - now).abs() < VALID;
    if marker.as_ref().is_some_and(valid) {
        return Ok(Verdict::Honoured);
    }
    let key = format!("{PROBE}{:016x}", unique());
    let verdict = probe(bucket, &key).await;
    bucket.delete(&key).await?;
    if matches!(verdict, Ok(Verdict::Honoured)) {
        let marker = Marker { endpoint: bucket.endpoint().to_owned(), at: now };
        bucket.put(MARKER, serde_json::to_vec(&marker).unwrap_or_default().into()).await?;
    }
    verdict
}

/// Why `bucket` cannot hold the checkpoints of several writers.
pub(super) fn refusal(bucket: &Bucket, how: &str) -> Error {
    let message = format!(
        "the server of {} ignores conditional writes ({how}), so commits would be lost",
        bucket.uri("")
    );
    Error::invalid(message)
        .with_hint(
            "use a server that honours If-Match and If-None-Match, PostgreSQL checkpoints, or single_writer=True if \
             only one process ever writes",
        )
        .fatal()
}

async fn probe(bucket: &Bucket, key: &str) -> Result<Verdict> {
    let body = || Bytes::from_static(b"does this server honour conditional writes?");
    let ignored = |how: &str| Ok(Verdict::Ignored(how.to_owned()));
    bucket.put(key, body()).await?;
    if bucket.put_if(key, body(), &Condition::Absent).await?.is_some() {
        return ignored("it replaced an object on If-None-Match: *");
    }
    let foreign = Condition::Unchanged("\"00000000000000000000000000000000\"".to_owned());
    if bucket.put_if(key, body(), &foreign).await?.is_some() {
        return ignored("it replaced an object on a foreign If-Match");
    }
    let Some((_, etag)) = bucket.get_tagged(key).await? else {
        return ignored("what was written is not there");
    };
    let unchanged = Condition::Unchanged(etag);
    let race = (0..RACERS).map(|racer| {
        let condition = unchanged.clone();
        async move { bucket.put_if(key, Bytes::from(format!("racer {racer}")), &condition).await }
    });
    let mut winners = 0;
    for done in join_all(race).await {
        winners += usize::from(done?.is_some());
    }
    if winners == 0 {
        return Err(Error::unavailable(format!(
            "none of {RACERS} racing writers of {} won",
            bucket.uri(key)
        )));
    }
    if winners == 1 {
        Ok(Verdict::Honoured)
    } else {
        ignored(&format!("{winners} of {RACERS} racing writers won"))
    }
}

/// Differs between processes and series, so that racing writers pause for different times.
pub(super) fn seed(key: &str) -> u64 {
    u64::from(std::process::id()) << 32 | u64::from(crc32fast::hash(key.as_bytes()))
}
