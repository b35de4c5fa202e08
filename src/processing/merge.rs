//! One series of several sources of one market. Each bar is the whole row of the first source that has it; rows are never
//! blended: a high of one venue over a low of another is a bar that nobody traded.

use arrow_array::RecordBatch;

use super::rows::check_rows;
use crate::error::{Error, Result};
use crate::records::{Batch, schema};
use crate::time_range::Millis;
use crate::timeframe::Timeframe;

/// The rows of several sources as one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// In time order, each bar once.
    pub batch: Batch,
    /// Of each row, which source it came from (its place in the list).
    pub sources: Vec<usize>,
    /// Of each source, how many rows came from it.
    pub taken: Vec<u64>,
}

/// The bars of `sources`, the most trusted first; all of one data type, `timeframe` and unit.
///
/// # Errors
/// `Invalid` without sources, where their data types differ, or of sparse data, of which a missing row means zero and
/// nothing that another source could add. `Data`, naming the source and the bar, where rows are out
/// of order, repeated, off the grid or not finite.
pub fn merge(sources: &[Batch], timeframe: Timeframe) -> Result<Merged> {
    let Some(first) = sources.first() else {
        return Err(Error::invalid("there is nothing to merge: pass the rows of at least one source"));
    };
    let data_type = first.data_type();
    if !data_type.is_dense() {
        let error = Error::invalid(format!("{data_type} of several sources cannot be merged by their rows"));
        return Err(error.with_hint("a missing row means zero there, so no other source may stand in for it"));
    }
    for (index, source) in sources.iter().enumerate() {
        if source.data_type() != data_type {
            let other = source.data_type();
            return Err(Error::invalid(format!("source {index} holds {other}, source 0 {data_type}")));
        }
        check_rows(source, timeframe).map_err(|error| error.context(format!("source {index}")))?;
    }
    let rows = choose(&sources.iter().map(Batch::ts).collect::<Vec<_>>());
    let batches: Vec<&RecordBatch> = sources.iter().map(Batch::rows).collect();
    let mut taken = vec![0; sources.len()];
    for (source, _) in &rows {
        taken[*source] += 1;
    }
    let merged = if rows.is_empty() {
        Ok(RecordBatch::new_empty(schema(data_type)))
    } else {
        arrow_select::interleave::interleave_record_batch(&batches, &rows)
    };
    let merged = merged.map_err(|error| Error::internal(error.to_string()))?;
    let batch = Batch::from_record_batch(data_type, &merged)?;
    Ok(Merged { batch, sources: rows.into_iter().map(|(source, _)| source).collect(), taken })
}

/// Of each bar that any source has, in time order: the first source that has it, and its row there.
fn choose(sources: &[&[Millis]]) -> Vec<(usize, usize)> {
    let mut heads = vec![0; sources.len()];
    let mut rows = Vec::with_capacity(sources.iter().map(|ts| ts.len()).max().unwrap_or_default());
    let at = |heads: &[usize], source: usize| sources[source].get(heads[source]).copied();
    while let Some(next) = (0..sources.len()).filter_map(|source| at(&heads, source)).min() {
        let mut chosen = None;
        for source in 0..sources.len() {
            if at(&heads, source) == Some(next) {
                chosen = chosen.or(Some((source, heads[source])));
                heads[source] += 1;
            }
        }
        rows.extend(chosen);
    }
    rows
}

#[cfg(test)]
mod tests;
