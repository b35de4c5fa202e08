//! Where the checkpoint of a series lies, as a relative path: files and objects are named alike.

use crate::error::{Error, Result};
use crate::ports::Checkpoint;

/// Longer parts of a key continue in a folder below: file names end at 255 bytes.
const LONGEST: usize = 150;
/// In no key: marks a folder whose name goes on below.
const GOES_ON: &str = "~/";
const ENDING: &str = ".json";
/// S3 ends keys at 1,024 bytes; the rest is for a prefix.
const LONGEST_PATH: usize = 900;

/// The path of `key`'s checkpoint; `Invalid` where `key` is no series key.
pub(super) fn path_of(key: &str) -> Result<String> {
    let path = folder(key) + ENDING;
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(harmless);
    if !key.split('/').all(is_part) {
        return Err(Error::invalid(format!("{key:?} is not a series key of percent-encoded parts")));
    }
    if path.len() > LONGEST_PATH {
        return Err(Error::invalid(format!("the series key {}... is too long", &key[..80])));
    }
    Ok(path)
}

/// `parts` of a key as folders.
pub(super) fn folder(parts: &str) -> String {
    let mut path = String::with_capacity(parts.len());
    let mut length = 0;
    for c in parts.chars() {
        length = if c == '/' { 0 } else { length + 1 };
        if length > LONGEST {
            path.push_str(GOES_ON);
            length = 1;
        }
        path.push(c);
    }
    path
}

/// The key whose checkpoint lies at `path`; `None` where it is no checkpoint.
pub(super) fn key_of(path: &str) -> Option<String> {
    let key = path.strip_suffix(ENDING)?.replace(GOES_ON, "");
    path_of(&key).ok().filter(|own| own == path).map(|_| key)
}

/// Where damaged `bytes` of the checkpoint at `path` are kept; other bytes lie elsewhere.
pub(super) fn set_aside(path: &str, bytes: &[u8]) -> String {
    format!("{path}.damaged-{:08x}", crc32fast::hash(bytes))
}

/// `Invalid` where `key` is no series key or a store could not keep what `delta` holds.
pub(super) fn check(key: &str, delta: &Checkpoint) -> Result<()> {
    path_of(key)?;
    if delta.generation > i64::MAX as u64 {
        return Err(Error::invalid(format!("{key}: generation {} is too high", delta.generation)));
    }
    let texts = [("cursor", &delta.cursor), ("fingerprint", &delta.fingerprint)];
    match texts.iter().find(|(_, text)| text.as_ref().is_some_and(|text| text.contains('\0'))) {
        Some((name, _)) => Err(Error::invalid(format!("{key}: the {name} must not hold a NUL"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_series() {
        let key = "coinalyze/ohlcv/BTC%2FUSDT/1m";
        assert_eq!(path_of(key).unwrap(), "coinalyze/ohlcv/BTC%2FUSDT/1m.json");
        for path in ["coinalyze/ohlcv/BTC/1m.lock", "a/.hidden.json", "a~b.json", ".json", "a/~/b.json"] {
            assert_eq!(key_of(path), None, "{path}");
        }
        assert!(path_of(&"x".repeat(1000)).unwrap_err().message().contains("too long"));
    }

    proptest! {
        #[test]
        fn every_key_reads_back_from_short_names(parts in prop::collection::vec("[A-Za-z0-9%_][A-Za-z0-9%_.-]{0,400}", 1..3)) {
            let key = parts.join("/");
            if let Ok(path) = path_of(&key) {
                prop_assert!(path.split('/').all(|name| name.len() <= 160));
                prop_assert_eq!(key_of(&path), Some(key));
            }
        }
    }
}
