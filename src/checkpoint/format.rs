//! The stored form of a checkpoint: versioned JSON behind a checksum. Older is read, newer is refused, and what
//! cannot be read is never overwritten.
//!
//! Format 2: `{"crc32":"<8 hex digits over all bytes that follow>",...}`. Ranges are lists of differences in
//! units (milliseconds, their greatest common divisor): start, length, gap, length, gap, length. Format 1 had pairs
//! and no checksum.

use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, State};
use crate::error::{Error, Result};
use crate::ports::Checkpoint;
use crate::time_range::{Millis, TimeRange};

/// What this version writes.
const FORMAT: u32 = 2;
const CHECKSUM: &[u8] = b"{\"crc32\":\"";
/// Behind the checksum's digits.
const REST: &[u8] = b"\",";

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    /// The oldest format whose readers understand this.
    min_reader: u32,
    series: String,
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// Milliseconds.
    unit: Millis,
    data: Vec<Millis>,
    empty: Vec<Millis>,
}

/// Format 1.
#[derive(Deserialize)]
struct StoredInPairs {
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
    let (mut data, mut empty) =
        (differences(&checkpoint.coverage, State::Data), differences(&checkpoint.coverage, State::Empty));
    let unit = data.iter().chain(&empty).fold(0, |unit, number| divisor(unit, *number)).max(1);
    data.iter_mut().chain(&mut empty).for_each(|number| *number /= unit);
    let stored = Stored {
        format: FORMAT,
        min_reader: 2,
        series: key.to_owned(),
        generation: checkpoint.generation,
        cursor: checkpoint.cursor.clone(),
        fingerprint: checkpoint.fingerprint.clone(),
        unit,
        data,
        empty,
    };
    let text = serde_json::to_vec(&stored)
        .map_err(|error| Error::internal(format!("cannot encode the checkpoint of {key}: {error}")))?;
    let body = &text[1..];
    let checksum = format!("{:08x}", crc32fast::hash(body));
    Ok([CHECKSUM, checksum.as_bytes(), REST, body].concat())
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
    if let Some((checksum, body)) = with_checksum(bytes) {
        if checksum != Some(crc32fast::hash(body)) {
            return Err(damaged(at, "its checksum does not fit"));
        }
        return current(at, &[b"{", body].concat());
    }
    let unreadable = |error: serde_json::Error| damaged(at, &error.to_string());
    let header: Header = serde_json::from_slice(bytes).map_err(unreadable)?;
    refuse_newer(at, &header)?;
    if header.format > 1 {
        return Err(damaged(at, "its checksum is gone"));
    }
    let stored: StoredInPairs = serde_json::from_slice(bytes).map_err(unreadable)?;
    Ok((stored.series, stored.checkpoint))
}

fn current(at: &str, text: &[u8]) -> Result<(String, Checkpoint)> {
    let stored: Stored = match serde_json::from_slice(text) {
        Ok(stored) => stored,
        Err(error) => {
            // A newer format may have other fields.
            if let Ok(header) = serde_json::from_slice::<Header>(text) {
                refuse_newer(at, &header)?;
            }
            return Err(damaged(at, &error.to_string()));
        }
    };
    refuse_newer(at, &Header { format: stored.format, min_reader: stored.min_reader })?;
    let ranges = |list: &[Millis], state| {
        let ranges = ranges(list, stored.unit).ok_or_else(|| damaged(at, "its ranges are out of order"))?;
        Ok(ranges.into_iter().map(move |range| (range, state)))
    };
    let (data, empty) = (ranges(&stored.data, State::Data)?, ranges(&stored.empty, State::Empty)?);
    let coverage: Coverage = data.chain(empty).collect();
    let (generation, cursor, fingerprint) = (stored.generation, stored.cursor, stored.fingerprint);
    Ok((stored.series, Checkpoint { generation, coverage, cursor, fingerprint }))
}

/// The checksum that `bytes` begin with, if its digits can be read, and what it covers.
fn with_checksum(bytes: &[u8]) -> Option<(Option<u32>, &[u8])> {
    let (digits, body) = bytes.strip_prefix(CHECKSUM)?.split_at_checked(8)?;
    let checksum = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    Some((checksum, body.strip_prefix(REST)?))
}

fn refuse_newer(at: &str, header: &Header) -> Result<()> {
    if header.min_reader <= FORMAT {
        return Ok(());
    }
    let newer = header.format;
    let message = format!("the checkpoint {at} has format {newer}, this version reads up to {FORMAT}");
    Err(Error::invalid(message).with_hint("upgrade quant-framework; it was left as it is"))
}

fn damaged(at: &str, why: &str) -> Error {
    Error::data(format!("the checkpoint {at} cannot be read: {why}")).with_hint(
        "restore it, or rebuild it from the lake: quant-framework rebuild --replace-damaged --lake URL; \
         it was left as it is",
    )
}

/// `start, length, gap, length, ...` of the ranges in `state`.
fn differences(coverage: &Coverage, state: State) -> Vec<Millis> {
    let mut list = Vec::new();
    let mut at = 0;
    for (range, _) in coverage.iter().filter(|(_, held)| *held == state) {
        list.extend([range.start() - at, range.length()]);
        at = range.end();
    }
    list
}

/// The greatest common divisor.
fn divisor(a: Millis, b: Millis) -> Millis {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as Millis
}

/// Reverses [`differences`]; `None` where ranges are empty, touch, overlap or overflow.
fn ranges(list: &[Millis], unit: Millis) -> Option<Vec<TimeRange>> {
    let (pairs, rest) = list.as_chunks::<2>();
    let mut at: Millis = 0;
    let mut ranges = Vec::with_capacity(pairs.len());
    for (number, [gap, length]) in pairs.iter().enumerate() {
        let start = at.checked_add(gap.checked_mul(unit)?).filter(|_| *gap > 0 || number == 0)?;
        at = start.checked_add(length.checked_mul(unit)?)?;
        ranges.push(TimeRange::non_empty(start, at)?);
    }
    rest.is_empty().then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use proptest::prelude::*;

    const KEY: &str = "test/ohlcv/BTC/1m";

    fn example() -> Checkpoint {
        let range = |start, end| TimeRange::new(start, end).unwrap();
        let coverage =
            [(range(-60, 120), State::Data), (range(120, 144), State::Empty), (range(240, 360), State::Data)];
        let (cursor, fingerprint) = (Some("c".to_owned()), Some("f".to_owned()));
        Checkpoint { generation: 3, coverage: coverage.into_iter().collect(), cursor, fingerprint }
    }

    #[test]
    fn both_formats_are_read_for_ever() {
        let first = br#"{"format":1,"min_reader":1,"series":"test/ohlcv/BTC/1m","generation":3,"coverage":{"data":[[-60,120],[240,360]],"empty":[[120,144]]},"cursor":"c","fingerprint":"f"}"#;
        assert_eq!(decode_of(KEY, "x", first).unwrap(), example());
        let second = br#"{"crc32":"68e746e5","format":2,"min_reader":2,"series":"test/ohlcv/BTC/1m","generation":3,"cursor":"c","fingerprint":"f","unit":12,"data":[-5,15,10,10],"empty":[10,2]}"#;
        assert_eq!(String::from_utf8(encode(KEY, &example()).unwrap()).unwrap().as_bytes(), second);
        assert_eq!(decode_of(KEY, "x", second).unwrap(), example());
    }

    #[test]
    fn a_newer_format_is_refused_as_such() {
        let body = br#""format":9,"min_reader":9,"whatever":[]}"#;
        let checksum = format!("{:08x}", crc32fast::hash(body));
        let newer = [CHECKSUM, checksum.as_bytes(), REST, body].concat();
        for bytes in [newer.as_slice(), b"{\"format\":9,\"min_reader\":9}"] {
            let error = decode("x", bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{error}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let whole = encode(KEY, &example()).unwrap();
        for cut in 0..whole.len() {
            assert_eq!(decode("x", &whole[..cut]).unwrap_err().kind(), Kind::Data, "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode("x", &flipped) {
                // A hexadecimal digit may change its case.
                Ok((_, held)) => assert!(held == example() && (10..18).contains(&(bit / 8))),
                Err(error) => assert_eq!(error.kind(), Kind::Data, "bit {bit}: {error}"),
            }
        }
    }

    proptest! {
        #[test]
        fn round_trips(ranges in prop::collection::vec((-1000_i64..1000, 1_i64..50, any::<bool>()), 0..30)) {
            let one = |(start, length, data): (i64, i64, bool)| {
                (TimeRange::new(start, start + length).unwrap(), if data { State::Data } else { State::Empty })
            };
            let checkpoint = Checkpoint { coverage: ranges.into_iter().map(one).collect(), ..Checkpoint::default() };
            prop_assert_eq!(decode_of(KEY, "x", &encode(KEY, &checkpoint).unwrap()).unwrap(), checkpoint);
        }
    }
}
