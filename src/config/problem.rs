//! What is wrong and where. A [`Fault`] is found while one file is checked; a [`Problem`] is what a reader gets: the
//! file, the line, the column, one line of text and, where it helps, the word that was probably meant.

use std::fmt;

use serde::Serialize;

use super::document::File;

/// A place in one of the files of a check; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    pub(super) file: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Something wrong, not yet told to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: At,
    message: String,
    suggestion: Option<String>,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(at: At, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), suggestion: None, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the one of `known` that `word` was probably meant to be.
    pub(super) fn suggest<'a>(mut self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.suggestion = closest(word, known).map(str::to_owned);
        self
    }

    /// The fault as a reader sees it.
    pub(super) fn problem(&self, files: &[File], dag_id: Option<&str>) -> Problem {
        Problem {
            file: files[self.at.file as usize].path.clone(),
            line: self.at.line,
            column: self.at.column,
            message: self.message.replace(['\n', '\r'], " "),
            suggestion: self.suggestion.clone(),
            hint: self.hint.clone(),
            dag_id: dag_id.map(str::to_owned),
        }
    }
}

/// Something wrong in a file; shows as `dags/nightly.yaml:12:5: message (did you mean "word"?)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file's path, as it was handed in.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// One line.
    pub message: String,
    /// The word that was probably meant.
    pub suggestion: Option<String>,
    /// What the reader could do.
    pub hint: Option<String>,
    /// The DAG it belongs to; none where it concerns a file or its defaults.
    pub dag_id: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(word) = &self.suggestion {
            write!(f, " (did you mean {word:?}?)")?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " (hint: {hint})"))
    }
}

/// The one of `known` that is nearest to `word`, where it is near: a third of the letters may differ. Else the only one
/// that begins with `word`.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase().replace('-', "_");
    let most = (word.chars().count() / 3).max(1);
    let (mut nearest, mut begun) = (None, Vec::new());
    for name in known {
        let lower = name.to_lowercase();
        let distance = strsim::osa_distance(&folded, &lower);
        if distance <= most && nearest.is_none_or(|(least, _)| distance < least) {
            nearest = Some((distance, name));
        }
        if folded.len() > 3 && lower.starts_with(&folded) && !begun.contains(&name) {
            begun.push(name);
        }
    }
    let only = if begun.len() == 1 { begun.pop() } else { None };
    nearest.map(|(_, name)| name).or(only)
}
