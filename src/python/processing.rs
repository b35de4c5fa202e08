//! Rows and names made into others, from Python. The interpreter is free meanwhile.

use chrono::{DateTime, Utc};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::batch::{Batch, from_python};
use super::convert::{datetime, pairs, plain, ranges, span};
use super::repair::opened;
use super::runtime::awaitable;
use super::writer::BronzeWriter;
use crate::coverage::Coverage;
use crate::error::{Error, Result};
use crate::processing::{self, Contract, Conversion, Hints, OpenInterestUnit, Price, Symbol, Venue};
use crate::records;
use crate::series::{DataType, Series};
use crate::time_range::TimeRange;
use crate::timeframe::Timeframe;
use crate::workflows;

/// Rows of `data_type`; `None`: a `Batch` knows its own, and anything else is `otherwise`.
fn rows(
    object: &Bound<'_, PyAny>,
    data_type: Option<DataType>,
    otherwise: DataType,
) -> PyResult<records::Batch> {
    let speaks_arrow = object.hasattr("__arrow_c_stream__")? || object.hasattr("__arrow_c_array__")?;
    if !speaks_arrow && !object.is_instance_of::<PyList>() && !object.is_instance_of::<PyDict>() {
        let kind = object.get_type().name()?.to_string();
        return Err(Error::invalid(format!(
            "rows are a {kind}; pass Arrow data, a DataFrame, a dict of columns, or a list of dicts or rows"
        ))
        .into());
    }
    let Ok(batch) = object.cast::<Batch>() else {
        return from_python(object, data_type.unwrap_or(otherwise));
    };
    let batch = batch.get().0.clone();
    match data_type {
        Some(wanted) if wanted != batch.data_type() => {
            Err(Error::invalid(format!("the rows are {}, not {wanted}", batch.data_type())).into())
        }
        _ => Ok(batch),
    }
}

fn named(data_type: Option<&str>) -> Result<Option<DataType>> {
    data_type.map(str::parse).transpose()
}

type Incomplete = Vec<(DateTime<Utc>, u64, u64)>;
type Ranges = Vec<(DateTime<Utc>, DateTime<Utc>)>;

/// Coarser bars; see ``quant_framework.ingestion.processors.resample``.
///
/// Returns:
///     Rows, incomplete bars (open, known, expected) and gaps.
#[pyfunction]
#[pyo3(signature = (rows, from_timeframe, to_timeframe, *, data_type=None, covered=None, complete_only=true))]
pub(super) fn resample(
    py: Python<'_>,
    rows: &Bound<'_, PyAny>,
    from_timeframe: &str,
    to_timeframe: &str,
    data_type: Option<&str>,
    covered: Option<&Bound<'_, PyList>>,
    complete_only: bool,
) -> PyResult<(Batch, Incomplete, Ranges)> {
    let (from, to): (Timeframe, Timeframe) = (from_timeframe.parse()?, to_timeframe.parse()?);
    let (rows, covered) = (self::rows(rows, named(data_type)?, DataType::Ohlcv)?, ranges(covered)?);
    let made = py.detach(|| processing::resample(&rows, from, to, &covered, !complete_only))?;
    let incomplete =
        made.incomplete.iter().map(|bar| (datetime(bar.open), bar.known, bar.expected)).collect();
    Ok((Batch(made.batch), incomplete, pairs(&made.gaps)))
}

/// Several sources as one; see ``quant_framework.ingestion.processors.merge``.
///
/// Returns:
///     Rows, the place of the source of each, and how many came from each source.
#[pyfunction]
#[pyo3(signature = (sources, timeframe, *, data_type=None))]
#[expect(clippy::needless_pass_by_value, reason = "arguments of a Python function")]
pub(super) fn merge(
    py: Python<'_>,
    sources: Vec<Bound<'_, PyAny>>,
    timeframe: &str,
    data_type: Option<&str>,
) -> PyResult<(Batch, Vec<usize>, Vec<u64>)> {
    let (timeframe, data_type) = (timeframe.parse::<Timeframe>()?, named(data_type)?);
    let sources: PyResult<Vec<_>> =
        sources.iter().map(|source| rows(source, data_type, DataType::Ohlcv)).collect();
    let sources = sources?;
    let made = py.detach(|| processing::merge(&sources, timeframe))?;
    Ok((Batch(made.batch), made.sources, made.taken))
}

/// What a venue's name of a market means; see ``quant_framework.ingestion.normalizers.split_symbol``.
#[pyfunction]
#[pyo3(signature = (symbol, venue="generic", *, quotes=None, settle=None))]
pub(super) fn split_symbol<'py>(
    py: Python<'py>,
    symbol: &str,
    venue: &str,
    quotes: Option<Vec<String>>,
    settle: Option<String>,
) -> PyResult<Bound<'py, PyDict>> {
    let venue: Venue = venue.parse()?;
    let market = venue.parse(symbol, &Hints { quotes: quotes.unwrap_or_default(), settle })?;
    let dict = PyDict::new(py);
    dict.set_item("symbol", market.to_string())?;
    dict.set_item("kind", market.kind().name())?;
    dict.set_item("base", &market.base)?;
    dict.set_item("quote", &market.quote)?;
    dict.set_item("settle", &market.settle)?;
    dict.set_item("expiry", market.expiry)?;
    dict.set_item("exchange", venue.exchange(symbol))?;
    Ok(dict)
}

/// What ``venue`` calls the market that the common form ``symbol`` names.
///
/// Args:
///     symbol: the common form, such as ``BTC/USDT:USDT``.
///     venue: one of those that ``quant_framework.ingestion.normalizers`` lists.
///
/// Raises:
///     InvalidError: no such venue, a symbol in another form, or a market that the venue cannot name.
#[pyfunction]
pub(super) fn format_symbol(symbol: &str, venue: &str) -> PyResult<String> {
    Ok(venue.parse::<Venue>()?.format(&symbol.parse::<Symbol>()?)?)
}

fn price(value: &Bound<'_, PyAny>) -> PyResult<Price> {
    if let Ok(number) = value.extract::<f64>() {
        return Ok(Price::Fixed(number));
    }
    Ok(Price::Bars(rows(value, None, DataType::Ohlcv)?))
}

/// Open interest in another unit, and the bars without a price; see ``quant_framework.ingestion.normalizers``.
#[pyfunction]
#[pyo3(signature = (rows, from_unit, to_unit, *, price=None, contract_size=None, contract_unit=None, usd_per_quote=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
pub(super) fn convert_open_interest(
    py: Python<'_>,
    rows: &Bound<'_, PyAny>,
    from_unit: &str,
    to_unit: &str,
    price: Option<&Bound<'_, PyAny>>,
    contract_size: Option<f64>,
    contract_unit: Option<&str>,
    usd_per_quote: Option<f64>,
) -> PyResult<(Batch, Vec<DateTime<Utc>>)> {
    let unit = |text: &str| text.parse::<OpenInterestUnit>();
    let contract = match (contract_size, contract_unit) {
        (None, None) => None,
        (Some(size), Some(text)) => Some(Contract { size, unit: unit(text)? }),
        _ => return Err(Error::invalid("contract_size and contract_unit belong together").into()),
    };
    let (from, to) = (unit(from_unit)?, unit(to_unit)?);
    let conversion =
        Conversion { from, to, price: price.map(self::price).transpose()?, contract, usd_per_quote };
    let rows = self::rows(rows, None, DataType::OpenInterest)?;
    let made = py.detach(|| processing::convert_open_interest(&rows, &conversion))?;
    Ok((Batch(made.batch), made.unpriced.into_iter().map(datetime).collect()))
}

fn both(start: Option<&Bound<'_, PyAny>>, end: Option<&Bound<'_, PyAny>>) -> PyResult<Option<TimeRange>> {
    match (start, end) {
        (None, None) => Ok(None),
        (Some(start), Some(end)) => Ok(Some(span(start, end)?)),
        _ => Err(Error::invalid("start and end belong together; pass both, or none").into()),
    }
}

/// Make coarser bars of a stored series, in a lake for derived ones.
///
/// Args:
///     lake: that holds the series.
///     series: key.
///     to_timeframe: made of whole bars of it.
///     target: the lake of derived series.
///     start: of the periods to make, aware; with ``end``. By default all that the lake holds.
///     end: exclusive.
///     into: key of the derived series; by default of the source ``<source>.resampled``.
///     checkpoint: store that tells bars that the source did not have from those that nobody asked for.
///
/// Raises:
///     InvalidError: timeframes that do not nest, or half a range.
///     DataError: stored rows that cannot be read.
#[pyfunction]
#[pyo3(signature = (lake, series, to_timeframe, target, start=None, end=None, *, into=None, checkpoint=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python function")]
pub(super) fn resample_series<'py>(
    py: Python<'py>,
    lake: &Bound<'_, BronzeWriter>,
    series: &str,
    to_timeframe: &str,
    target: &Bound<'_, BronzeWriter>,
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
    into: Option<&str>,
    checkpoint: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (lake, target, range) = (lake.get().native(), target.get().native(), both(start, end)?);
    let (series, to): (Series, Timeframe) = (series.parse()?, to_timeframe.parse()?);
    let into = into.map_or_else(|| Ok(workflows::resampled(&series, to)), str::parse::<Series>)?;
    if into.timeframe != to {
        return Err(Error::invalid(format!("{into} is no place for {to} bars")).into());
    }
    let store = checkpoint.map(opened).transpose()?;
    let made = async move {
        let held = match store {
            Some(store) => store.load(&series.to_string()).await?,
            None => None,
        };
        let covered = held.map_or_else(Coverage::new, |held| held.coverage);
        workflows::resample_series(&lake, &series, &into, &target, range, &covered).await
    };
    awaitable(py, made, |py, derived| plain(py, &derived))
}

/// Make one series of several stored ones, in a lake for derived ones.
///
/// Args:
///     lake: that holds the series.
///     series: keys, the most trusted first.
///     into: key of the derived series, whose source is none of theirs.
///     target: the lake of derived series.
///     start: of the periods to make, aware; with ``end``. By default all that the lake holds.
///     end: exclusive.
///
/// Raises:
///     InvalidError: series that do not fit together, or half a range.
///     DataError: stored rows that cannot be read.
#[pyfunction]
#[pyo3(signature = (lake, series, into, target, start=None, end=None))]
#[expect(clippy::needless_pass_by_value, reason = "arguments of a Python function")]
pub(super) fn merge_series<'py>(
    py: Python<'py>,
    lake: &Bound<'_, BronzeWriter>,
    series: Vec<String>,
    into: &str,
    target: &Bound<'_, BronzeWriter>,
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (lake, target, range) = (lake.get().native(), target.get().native(), both(start, end)?);
    let series = series.iter().map(|key| key.parse()).collect::<Result<Vec<Series>>>()?;
    let into: Series = into.parse()?;
    let made = async move { workflows::merge_series(&lake, &series, &into, &target, range).await };
    awaitable(py, made, |py, derived| plain(py, &derived))
}
