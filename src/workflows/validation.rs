//! Stored rows looked at: of one series ([`validate`]), and of two or more sources against each other ([`reconcile`]).

use serde::Serialize;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::lake::BronzeWriter;
use crate::quality::{self, Reconciliation, Tolerance, Validation};
use crate::records::Batch;
use crate::series::Series;
use crate::time_range::{TimeRange, iso};

/// One series against the first.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Key of the series that counts as right.
    pub left: String,
    /// Key of the other.
    pub right: String,
    /// What came of it.
    #[serde(flatten)]
    pub found: Reconciliation,
}

/// Several sources of one market over one range.
#[derive(Debug, Clone, Serialize)]
pub struct ValidationReport {
    /// Start of the range, ISO 8601 UTC.
    pub start: String,
    /// Its end (exclusive), ISO 8601 UTC.
    pub end: String,
    /// Whether every series has no error of its own and agrees with the first.
    pub agrees: bool,
    /// Each series by itself.
    pub series: Vec<Validation>,
    /// Each but the first against the first.
    pub pairs: Vec<Pair>,
}

/// Looks at the rows of `series` in `lake` that open in `range`.
pub async fn validate(
    lake: &BronzeWriter,
    series: &Series,
    range: TimeRange,
    clock: &dyn Clock,
) -> Result<Validation> {
    Ok(look(lake, series, range, clock).await?.1)
}

async fn look(
    lake: &BronzeWriter,
    series: &Series,
    range: TimeRange,
    clock: &dyn Clock,
) -> Result<(Batch, Validation)> {
    let rows = lake.read_with_strays(series, range).await.map_err(|error| error.context(series))?;
    let validation = quality::validate(&rows, range, series, clock.now())?;
    Ok((rows, validation))
}

/// Compares `series` in `lake`, all of one data type and timeframe, with the first of them.
pub async fn reconcile(
    lake: &BronzeWriter,
    series: &[Series],
    range: TimeRange,
    tolerance: Tolerance,
    clock: &dyn Clock,
) -> Result<ValidationReport> {
    let [first, others @ ..] = series else { return Err(too_few()) };
    if others.is_empty() {
        return Err(too_few());
    }
    if let Some(other) =
        others.iter().find(|other| (other.data_type, other.timeframe) != (first.data_type, first.timeframe))
    {
        return Err(Error::invalid(format!("{other} and {first} differ in data type or timeframe")));
    }
    let (reference, validation) = look(lake, first, range, clock).await?;
    let (mut looked_at, mut pairs) = (vec![validation], Vec::new());
    for other in others {
        let (rows, validation) = look(lake, other, range, clock).await?;
        let found = quality::reconcile(&reference, &rows, first.timeframe, tolerance)?;
        looked_at.push(validation);
        pairs.push(Pair { left: first.to_string(), right: other.to_string(), found });
    }
    Ok(ValidationReport {
        start: iso(range.start()),
        end: iso(range.end()),
        agrees: looked_at.iter().all(|one| one.ok) && pairs.iter().all(|pair| pair.found.agrees()),
        series: looked_at,
        pairs,
    })
}

fn too_few() -> Error {
    Error::invalid("series must name at least two series to compare")
}
