//! Open interest in another unit. Every unit is a factor and a power of the price away from units of the quote asset, so a
//! conversion is one factor and at most one multiplication or division by a price.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array};

use super::rows::{finite, in_order};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::series::DataType;
use crate::time_range::{Millis, iso};

/// What open interest is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenInterestUnit {
    /// Units of the base asset, such as BTC (Coinalyze `BASE_ASSET`, Binance `sumOpenInterest` of USD-M).
    Base,
    /// Units of the quote asset (Coinalyze `QUOTE_ASSET`).
    Quote,
    /// Contracts of the venue (Coinalyze `CONTRACTS`).
    Contracts,
    /// US dollars (Coinalyze with `convert_to_usd`).
    Usd,
}

impl FromStr for OpenInterestUnit {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "base" | "BASE_ASSET" => Ok(Self::Base),
            "quote" | "QUOTE_ASSET" => Ok(Self::Quote),
            "contracts" | "CONTRACTS" => Ok(Self::Contracts),
            "usd" => Ok(Self::Usd),
            other => Err(Error::invalid(format!(
                "unknown unit of open interest {other:?}; use base, quote, contracts or usd"
            ))),
        }
    }
}

/// What one contract is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contract {
    /// So many units of one asset.
    pub size: f64,
    /// `Base` (linear contracts, as a rule) or `Quote` (inverse ones, such as 100 USD).
    pub unit: OpenInterestUnit,
}

/// Quote units for one base unit.
#[derive(Debug, Clone)]
pub enum Price {
    /// The same at all times.
    Fixed(f64),
    /// Candles (`ohlcv`) of the market, of the same timeframe.
    Bars(Batch),
}

/// From what to what, and what is known of the market.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// What the rows are in.
    pub from: OpenInterestUnit,
    /// What they shall be in.
    pub to: OpenInterestUnit,
    /// Needed between what is counted in base units and what is not.
    pub price: Option<Price>,
    /// Needed from and to contracts.
    pub contract: Option<Contract>,
    /// US dollars for one quote unit; needed from and to US dollars. 1 where the quote asset is the dollar.
    pub usd_per_quote: Option<f64>,
}

/// Rows in the other unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// Those for whose bar there is a price.
    pub batch: Batch,
    /// The bars that are left out for want of a price, milliseconds UTC.
    pub unpriced: Vec<Millis>,
}

/// `above / below` quote units, times the price where `base`.
#[derive(Clone, Copy)]
struct Worth {
    above: f64,
    below: f64,
    base: bool,
}

impl Conversion {
    fn worth(&self, unit: OpenInterestUnit) -> Result<Worth> {
        let plain = |base| Worth { above: 1.0, below: 1.0, base };
        match unit {
            OpenInterestUnit::Base => Ok(plain(true)),
            OpenInterestUnit::Quote => Ok(plain(false)),
            OpenInterestUnit::Usd => {
                let rate = self.usd_per_quote.ok_or_else(|| {
                    Error::invalid("usd_per_quote is missing")
                        .with_hint("1 where the quote asset is the dollar")
                })?;
                Ok(Worth { below: positive("usd_per_quote", rate)?, ..plain(false) })
            }
            OpenInterestUnit::Contracts => {
                let contract = self.contract.ok_or_else(|| {
                    let error = Error::invalid("the contract's size is missing");
                    error.with_hint("pass contract_size and contract_unit, base or quote")
                })?;
                let base = match contract.unit {
                    OpenInterestUnit::Base => true,
                    OpenInterestUnit::Quote => false,
                    _ => return Err(Error::invalid("a contract's size is in base or quote units")),
                };
                Ok(Worth { above: positive("contract_size", contract.size)?, ..plain(base) })
            }
        }
    }
}

fn positive(name: &str, value: f64) -> Result<f64> {
    if value > 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Error::invalid(format!("{name} must be a number above 0, not {value}")))
}

/// A factor, and what to do with the price.
#[derive(Clone, Copy)]
struct Factor {
    above: f64,
    below: f64,
    by: Power,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    None,
    Times,
    Over,
}

impl Factor {
    fn apply(self, value: f64, price: f64) -> f64 {
        let value = value * self.above / self.below;
        match self.by {
            Power::None => value,
            Power::Times => value * price,
            Power::Over => value / price,
        }
    }
}

/// Open interest in another unit.
///
/// With candles as price, `oi_open` is converted at the bar's open and `oi_close` at its close; `oi_high` and `oi_low` are
/// null, because nobody knows the price at which they were reached. A row without a candle is left out and named. With a
/// fixed price, and where none is needed, all four columns are converted and no row is left out.
///
/// # Errors
/// `Invalid` where something that is needed is missing, or no number above 0. `Data`, naming the bar, where rows or
/// candles are out of order, repeated or not finite, or a price is not above 0.
pub fn convert_open_interest(batch: &Batch, conversion: &Conversion) -> Result<Converted> {
    if batch.data_type() != DataType::OpenInterest {
        return Err(Error::invalid(format!("open interest is converted, not {}", batch.data_type())));
    }
    let factor = factor(conversion)?;
    in_order(batch.ts())?;
    finite(batch)?;
    let needed = if factor.by == Power::None { None } else { conversion.price.as_ref() };
    match (needed, factor.by) {
        (None, Power::None) => fixed(batch, factor, 1.0),
        (None, _) => {
            Err(Error::invalid("price is missing").with_hint("pass candles of the market, or a number"))
        }
        (Some(Price::Fixed(price)), _) => fixed(batch, factor, positive("price", *price)?),
        (Some(Price::Bars(candles)), _) => by_candles(batch, factor, candles),
    }
}

fn factor(conversion: &Conversion) -> Result<Factor> {
    if conversion.from == conversion.to {
        return Ok(Factor { above: 1.0, below: 1.0, by: Power::None });
    }
    let (from, to) = (conversion.worth(conversion.from)?, conversion.worth(conversion.to)?);
    let by = match (from.base, to.base) {
        (true, false) => Power::Times,
        (false, true) => Power::Over,
        _ => Power::None,
    };
    Ok(Factor { above: from.above * to.below, below: from.below * to.above, by })
}

fn column(batch: &Batch, index: usize) -> &Float64Array {
    batch.rows().column(index).as_primitive::<Float64Type>()
}

fn fixed(batch: &Batch, factor: Factor, price: f64) -> Result<Converted> {
    let converted = (1..5).map(|index| -> ArrayRef {
        Arc::new(column(batch, index).unary::<_, Float64Type>(|value| factor.apply(value, price)))
    });
    let batch = Batch::new(DataType::OpenInterest, batch.ts().to_vec(), converted.collect())?;
    finite(&batch)?;
    Ok(Converted { batch, unpriced: Vec::new() })
}

fn by_candles(batch: &Batch, factor: Factor, candles: &Batch) -> Result<Converted> {
    if candles.data_type() != DataType::Ohlcv {
        return Err(Error::invalid(format!("price must be ohlcv, not {}", candles.data_type())));
    }
    in_order(candles.ts()).map_err(|error| error.context("price"))?;
    let rows = aligned(batch.ts(), candles.ts());
    let has_price: BooleanArray = rows.iter().map(|row| Some(row.is_some())).collect();
    let kept = batch.keep(&has_price)?;
    let convert = |own: usize, theirs: usize| -> Result<ArrayRef> {
        let (values, prices) = (column(&kept, own), column(candles, theirs));
        let one = |(row, candle): (usize, &usize)| -> Result<Option<f64>> {
            let price = prices.value(*candle);
            if !(price > 0.0 && price.is_finite()) {
                let at = iso(candles.ts()[*candle]);
                return Err(Error::data(format!("price: the candle of {at} holds {price}")));
            }
            Ok(values.is_valid(row).then(|| factor.apply(values.value(row), price)))
        };
        let found = rows.iter().flatten().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Float64Array::from(found)))
    };
    let unknown = || Arc::new(Float64Array::new_null(kept.len())) as ArrayRef;
    let columns = vec![convert(1, 1)?, unknown(), unknown(), convert(4, 4)?];
    let converted = Batch::new(DataType::OpenInterest, kept.ts().to_vec(), columns)?;
    finite(&converted)?;
    let left_out = batch.ts().iter().zip(&rows).filter(|(_, row)| row.is_none());
    Ok(Converted { batch: converted, unpriced: left_out.map(|(at, _)| *at).collect() })
}

/// Of each of `wanted`, its place in `held`; both in order.
fn aligned(wanted: &[Millis], held: &[Millis]) -> Vec<Option<usize>> {
    let mut place = 0;
    let find = |at: &Millis| {
        while held.get(place).is_some_and(|held| held < at) {
            place += 1;
        }
        (held.get(place) == Some(at)).then_some(place)
    };
    wanted.iter().map(find).collect()
}

#[cfg(test)]
mod tests;
