//! One name of a market, whatever a venue calls it. The form is the one that ccxt made common:
//! `BTC/USDT` is spot, `BTC/USDT:USDT` a perpetual that settles in USDT, `BTC/USD:BTC` one that settles in BTC, and
//! `BTC/USDT:USDT-250328` a future that expires on that day. [`Venue`](super::Venue) knows what venues call them.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;

use crate::error::{Error, Result};

/// How a market settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// At once, by delivery.
    Spot,
    /// In the quote asset.
    Linear,
    /// In the base asset.
    Inverse,
    /// In a third asset.
    Other,
}

impl Kind {
    /// Its name in Python.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Linear => "linear",
            Self::Inverse => "inverse",
            Self::Other => "other",
        }
    }
}

/// A market. A multiplier in the name of an asset (`1000SHIB`) is part of the name: prices are for so many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Symbol {
    /// What is traded.
    pub base: String,
    /// What prices are in.
    pub quote: String,
    /// What gains are paid in; `None` for spot.
    pub settle: Option<String>,
    /// The day on which a future ends; `None` for spot and perpetuals.
    pub expiry: Option<NaiveDate>,
}

impl Symbol {
    /// A spot market.
    pub fn spot(base: &str, quote: &str) -> Self {
        Self { base: base.to_owned(), quote: quote.to_owned(), settle: None, expiry: None }
    }

    /// A perpetual or, with a day, a future.
    pub fn settled(base: &str, quote: &str, settle: &str, expiry: Option<NaiveDate>) -> Self {
        Self { settle: Some(settle.to_owned()), expiry, ..Self::spot(base, quote) }
    }

    /// How it settles.
    pub fn kind(&self) -> Kind {
        match &self.settle {
            None => Kind::Spot,
            Some(settle) if *settle == self.quote => Kind::Linear,
            Some(settle) if *settle == self.base => Kind::Inverse,
            Some(_) => Kind::Other,
        }
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.quote)?;
        let Some(settle) = &self.settle else { return Ok(()) };
        write!(f, ":{settle}")?;
        self.expiry.map_or(Ok(()), |day| write!(f, "-{}", short(day)))
    }
}

impl FromStr for Symbol {
    type Err = Error;
    /// Reads the common form, in any case.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || unreadable(text, "the form BASE/QUOTE, BASE/QUOTE:SETTLE or BASE/QUOTE:SETTLE-YYMMDD");
        let upper = text.to_uppercase();
        let (base, rest) = upper.split_once('/').ok_or_else(wrong)?;
        let (quote, contract) =
            rest.split_once(':').map_or((rest, None), |(quote, rest)| (quote, Some(rest)));
        let (settle, expiry) = match contract.map(|rest| rest.split_once('-').ok_or(rest)) {
            None => (None, None),
            Some(Err(settle)) => (Some(settle), None),
            Some(Ok((settle, expiry))) => (Some(settle), Some(day(expiry).ok_or_else(wrong)?)),
        };
        if ![Some(base), Some(quote), settle].into_iter().flatten().all(is_asset) {
            return Err(wrong());
        }
        Ok(Self { settle: settle.map(str::to_owned), expiry, ..Self::spot(base, quote) })
    }
}

/// Whether `text` can be the name of an asset.
pub(super) fn is_asset(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphanumeric)
}

/// The day that `250328` means.
pub(super) fn day(text: &str) -> Option<NaiveDate> {
    let digits = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| NaiveDate::parse_from_str(text, "%y%m%d").ok()).flatten()
}

/// `250328`.
pub(super) fn short(day: NaiveDate) -> String {
    day.format("%y%m%d").to_string()
}

/// `Invalid`: `text` does not have a form that is known.
pub(super) fn unreadable(text: &str, form: &str) -> Error {
    Error::invalid(format!("symbol {text:?} is not of {form}"))
}

#[cfg(test)]
mod tests;
