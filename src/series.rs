//! What a row belongs to: source, data type, symbol, timeframe; and its path-safe key.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::timeframe::Timeframe;

/// Kept as they are in a key: letters, digits and these.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The kinds of market data that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DataType {
    /// Open, high, low, close, volume. Dense: a missing bar is a gap.
    Ohlcv,
    /// Open interest. Dense.
    OpenInterest,
    /// Funding rate. Dense.
    FundingRate,
    /// Liquidated volume. Sparse: a missing bar means zero.
    Liquidations,
    /// Ratio of long to short accounts. Dense.
    LongShortRatio,
}

impl DataType {
    /// Every data type.
    pub const ALL: [Self; 5] =
        [Self::Ohlcv, Self::OpenInterest, Self::FundingRate, Self::Liquidations, Self::LongShortRatio];

    /// The name used in keys, paths and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ohlcv => "ohlcv",
            Self::OpenInterest => "open_interest",
            Self::FundingRate => "funding_rate",
            Self::Liquidations => "liquidations",
            Self::LongShortRatio => "long_short_ratio",
        }
    }

    /// Whether every bar of the grid should hold a row.
    pub const fn is_dense(self) -> bool {
        !matches!(self, Self::Liquidations)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DataType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("unknown data type {text:?}; use one of {names}"))
        })
    }
}

impl TryFrom<String> for DataType {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DataType> for String {
    fn from(data_type: DataType) -> Self {
        data_type.name().to_owned()
    }
}

/// One series of bars. Displays as its key, `coinalyze/ohlcv/BTCUSDT_PERP.A/1m`, in which every
/// part is percent-encoded, so that `BTC/USDT:USDT` and `../x` are harmless in paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// Where rows come from, such as `coinalyze`.
    pub source: String,
    /// Which schema they have.
    pub data_type: DataType,
    /// The source's own name of the market.
    pub symbol: String,
    /// The length of a bar.
    pub timeframe: Timeframe,
}

/// `text` as one harmless path segment; reversed by [`decode_segment`].
pub fn encode_segment(text: &str) -> String {
    let encoded = utf8_percent_encode(text, UNSAFE).to_string();
    match encoded.strip_prefix('.') {
        // Neither a hidden file nor a way up.
        Some(rest) => format!("%2E{rest}"),
        None => encoded,
    }
}

/// The text behind a path segment.
pub fn decode_segment(segment: &str) -> Result<String> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::invalid(format!("{segment:?} is not percent-encoded UTF-8")))
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, symbol) = (encode_segment(&self.source), encode_segment(&self.symbol));
        write!(f, "{source}/{}/{symbol}/{}", self.data_type, self.timeframe)
    }
}

impl FromStr for Series {
    type Err = Error;
    fn from_str(key: &str) -> Result<Self> {
        let parts: Vec<&str> = key.split('/').collect();
        let [source, data_type, symbol, timeframe] = parts[..] else {
            return Err(Error::invalid(format!("series {key:?} is not source/data_type/symbol/timeframe")));
        };
        let (source, symbol) = (decode_segment(source)?, decode_segment(symbol)?);
        Ok(Self { source, data_type: data_type.parse()?, symbol, timeframe: timeframe.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_harmless_and_round_trip(symbol in "\\PC{1,20}") {
            let series = Series { source: "s".into(), data_type: DataType::Ohlcv, symbol, timeframe: Timeframe::Minutes(1) };
            let key = series.to_string();
            prop_assert_eq!(key.split('/').count(), 4);
            prop_assert!(key.split('/').all(|part| part != "." && part != ".." && part.is_ascii()));
            prop_assert_eq!(key.parse::<Series>().unwrap(), series);
        }
    }

    #[test]
    fn keys_read_well() {
        let key = "coinalyze/open_interest/BTCUSDT_PERP.A/1h";
        assert_eq!(key.parse::<Series>().unwrap().to_string(), key);
        assert_eq!(encode_segment(".."), "%2E.");
    }
}
