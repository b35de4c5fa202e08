//! The one error type of the crate. Kinds are named by what the caller should do about them;
//! the Python exception of each kind is chosen in `python/errors.rs` by an exhaustive match.
//!
//! A message is one line: what, where, how many attempts, the cause. Secrets never enter it.

use std::error::Error as StdError;
use std::fmt;

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A server or a disk did not answer as it should; the same call may work later.
    Unavailable,
    /// The source's quota is used up; call again at [`Error::until`].
    RateLimited,
    /// Somebody else changed what this call wanted to change.
    Conflict,
    /// The call itself is wrong (arguments, credentials, configuration); do not retry.
    Invalid,
    /// What was fetched or stored is wrong; a human should look.
    Data,
    /// The caller asked to stop.
    Cancelled,
    /// A bug in this crate.
    Internal,
}

impl Kind {
    /// Every kind, for completeness tests.
    pub const ALL: [Self; 7] = [
        Self::Unavailable,
        Self::RateLimited,
        Self::Conflict,
        Self::Invalid,
        Self::Data,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The kind's name, as the Python side spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::RateLimited => "rate_limited",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Data => "data",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// A failure: its [`Kind`], one line of text and, where it helps, a hint.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    until: Option<i64>,
    fatal: bool,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// A failure of `kind`; line breaks in `message` become spaces.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into().replace(['\n', '\r'], " ");
        Self { kind, message, hint: None, until: None, fatal: false }
    }

    /// See [`Kind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// See [`Kind::RateLimited`]; `until` is in milliseconds since 1970 UTC.
    pub fn rate_limited(message: impl Into<String>, until: i64) -> Self {
        Self { until: Some(until), ..Self::new(Kind::RateLimited, message) }
    }

    /// See [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// See [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// See [`Kind::Data`].
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// See [`Kind::Cancelled`].
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::new(Kind::Cancelled, message)
    }

    /// See [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds what the reader could do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that every other call to the same place will fail in the same way (a bad key, a full disk).
    #[must_use]
    pub const fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Whether every other call to the same place will fail in the same way.
    pub const fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Puts `context` in front of the message, as in `"BTC 1m: connection refused"`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the caller should do.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The text without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the reader could do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// When a rate-limited call may be made again, in milliseconds since 1970 UTC.
    pub const fn until(&self) -> Option<i64> {
        self.until
    }
}

/// What a library's error says and what caused it, each once, in one line.
pub fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = inner.source();
    }
    text
}
