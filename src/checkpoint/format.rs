//! The stored form of a checkpoint: versioned JSON. Older is read, newer is refused and never overwritten.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ports::Checkpoint;

/// What this version writes.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    /// The oldest format whose readers understand this.
    min_reader: u32,
    series: String,
    #[serde(flatten)]
    checkpoint: Checkpoint,
}

/// The part that every version has.
#[derive(Deserialize)]
struct Header {
    format: u32,
    min_reader: u32,
}

/// `checkpoint` of `key` as bytes.
pub(super) fn encode(key: &str, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let stored =
        Stored { format: FORMAT, min_reader: 1, series: key.to_owned(), checkpoint: checkpoint.clone() };
    serde_json::to_vec(&stored)
        .map_err(|error| Error::internal(format!("cannot encode the checkpoint of {key}: {error}")))
}

/// The checkpoint of `key` in `bytes`; `Data` where they hold another series.
pub(super) fn decode_of(key: &str, at: &str, bytes: &[u8]) -> Result<Checkpoint> {
    let (held, checkpoint) = decode(at, bytes)?;
    if held == key {
        return Ok(checkpoint);
    }
    Err(Error::data(format!("the checkpoint {at} is of {held}, not of {key}"))
        .with_hint("move it away, to where its series belongs; it was left as it is"))
}

/// The key and checkpoint in `bytes`; `at` names the place in errors.
pub(super) fn decode(at: &str, bytes: &[u8]) -> Result<(String, Checkpoint)> {
    let corrupt = |error: serde_json::Error| {
        Error::data(format!("the checkpoint {at} cannot be read: {error}"))
            .with_hint("restore it, or move it away to fetch its series again; it was left as it is")
    };
    let header: Header = serde_json::from_slice(bytes).map_err(corrupt)?;
    if header.min_reader > FORMAT {
        let newer = header.format;
        return Err(Error::invalid(format!(
            "the checkpoint {at} has format {newer}, this version reads up to {FORMAT}"
        ))
        .with_hint("upgrade quant-framework; it was left as it is"));
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(corrupt)?;
    Ok((stored.series, stored.checkpoint))
}
