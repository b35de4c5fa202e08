//! What is covered, as a value, a page and a text, from Python.

use pyo3::prelude::*;
use pythonize::depythonize;
use serde::de::DeserializeOwned;

use super::convert::{millis, plain};
use super::repair::opened;
use super::runtime::awaitable;
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::workflows::{self, Asked, CoverageMap, Section, Terminal};

/// Looks at what `store` knows: of `series` (keys), or of all whose key begins with `prefix`. A dict, see `CoverageMap`.
#[pyfunction]
#[pyo3(signature = (store, *, series=None, prefix="", start=None, end=None, columns=120))]
pub(super) fn coverage_map<'py>(
    py: Python<'py>,
    store: &Bound<'_, PyAny>,
    series: Option<Vec<String>>,
    prefix: &str,
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
    columns: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let start = start.map(|start| millis(start, "start")).transpose()?;
    let end = end.map(|end| millis(end, "end")).transpose()?;
    let (store, prefix) = (opened(store)?, prefix.to_owned());
    let asked = Asked { series, prefix, start, end, columns };
    let looked = async move { workflows::coverage_map(&*store, &asked, &SystemClock::default()).await };
    awaitable(py, looked, |py, map| plain(py, &map))
}

/// A page of HTML that shows `map`, and below it `sections`: tables, each a dict of `title`, `columns`, `rows`, `note`.
#[pyfunction]
#[pyo3(signature = (map, *, title=None, sections=None))]
pub(super) fn coverage_page(
    py: Python<'_>,
    map: &Bound<'_, PyAny>,
    title: Option<&str>,
    sections: Option<Vec<Bound<'_, PyAny>>>,
) -> PyResult<String> {
    let map: CoverageMap = read(map, "this is no coverage map")?;
    let sections = sections.unwrap_or_default();
    let sections: Vec<Section> =
        sections.iter().map(|one| read(one, "this is no section of a page")).collect::<Result<_>>()?;
    Ok(py.detach(|| workflows::coverage_page(&map, title, &sections))?)
}

/// Lines for a terminal that is `width` characters wide.
#[pyfunction]
#[pyo3(signature = (map, *, width=100, colour=false, ascii=false))]
pub(super) fn coverage_text(
    py: Python<'_>,
    map: &Bound<'_, PyAny>,
    width: usize,
    colour: bool,
    ascii: bool,
) -> PyResult<String> {
    let map: CoverageMap = read(map, "this is no coverage map")?;
    Ok(py.detach(|| workflows::coverage_text(&map, &Terminal { width, colour, ascii })))
}

/// A plain value as what it stands for.
fn read<T: DeserializeOwned>(value: &Bound<'_, PyAny>, wrong: &str) -> Result<T> {
    depythonize(value).map_err(|error| Error::invalid(format!("{wrong}: {error}")))
}
