//! Where the checkpoint of a series lies, as a relative path: files and objects are named alike.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Longer parts of a key are shortened and given a hash: file names end at 255 bytes.
const LONGEST: usize = 150;
const ENDING: &str = ".json";
/// In no key: marks the names of shortened parts.
const SHORTENED: char = '~';

/// What a path says of its series.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Its key.
    Key(String),
    /// The key was too long for a name; it stands inside.
    Shortened,
}

/// The path of `key`'s checkpoint; `Invalid` where `key` is no series key.
pub(super) fn path_of(key: &str) -> Result<String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
    let mut parts = Vec::new();
    for part in key.split('/') {
        if part.is_empty() || part.starts_with('.') || !part.chars().all(harmless) {
            return Err(Error::invalid(format!("{key:?} is not a series key of percent-encoded parts")));
        }
        parts.push(shortened(part));
    }
    Ok(parts.join("/") + ENDING)
}

/// Reverses [`path_of`]; `None` where `path` is no checkpoint.
pub(super) fn named(path: &str) -> Option<Named> {
    let key = path.strip_suffix(ENDING)?;
    Some(if key.contains(SHORTENED) { Named::Shortened } else { Named::Key(key.to_owned()) })
}

fn shortened(part: &str) -> String {
    if part.len() <= LONGEST {
        return part.to_owned();
    }
    let hash = format!("{:x}", Sha256::digest(part));
    format!("{}{SHORTENED}{}", &part[..LONGEST], &hash[..24])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_unless_they_were_shortened() {
        let key = "coinalyze/ohlcv/BTC%2FUSDT/1m";
        assert_eq!(path_of(key).unwrap(), "coinalyze/ohlcv/BTC%2FUSDT/1m.json");
        assert_eq!(named(&path_of(key).unwrap()), Some(Named::Key(key.to_owned())));
        let long = path_of(&format!("a/{}/1m", "x".repeat(300))).unwrap();
        assert!(long.len() < 200, "{long}");
        assert_eq!(named(&long), Some(Named::Shortened));
        assert_eq!(named("coinalyze/ohlcv/BTC/1m.lock"), None);
    }
}
