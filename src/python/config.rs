//! YAML DAGs for Python: checked DAGs as dicts, durations as `timedelta`, moments as aware `datetime`.

use std::collections::HashMap;

use chrono::TimeDelta;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyNone, PyTuple};

use super::convert::{datetime, plain};
use crate::config::{self, Arguments, Broken, DagSpec, File, GroupSpec, Problem, TaskSpec, Value};

/// Arguments for Python, and those among them that only Python can make: name, how, from what.
type Section<'py> = (Bound<'py, PyDict>, Bound<'py, PyList>);

/// The text of a file, or the line in which it cannot be read and why.
#[derive(FromPyObject)]
pub(super) enum Content {
    Text(String),
    Unreadable(u32, String),
}

impl From<Content> for Result<String, (u32, String)> {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Ok(text),
            Content::Unreadable(line, message) => Err((line, message)),
        }
    }
}

/// Check YAML texts of DAGs: ``dags`` are right, ``broken`` are not, ``problems`` is everything that is wrong.
///
/// Args:
///     files: paths with their texts; in place of a text may stand a line and why the file cannot be read.
///     environ: variables that the files may name.
///     wanted: id of the one DAG that matters; mistakes elsewhere may stay untold.
#[pyfunction]
#[pyo3(signature = (files, environ, wanted=None))]
#[expect(clippy::needless_pass_by_value, reason = "arguments come by value")]
pub(super) fn check_config<'py>(
    py: Python<'py>,
    files: Vec<(String, Content)>,
    environ: HashMap<String, String>,
    wanted: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let files: Vec<File> =
        files.into_iter().map(|(path, content)| File { path, text: content.into() }).collect();
    let checked = config::check(&files, &environ, wanted);
    let answer = PyDict::new(py);
    answer.set_item("dags", list(py, &checked.dags, dag)?)?;
    answer.set_item("broken", list(py, &checked.broken, broken)?)?;
    answer.set_item("problems", list(py, &checked.problems, problem)?)?;
    Ok(answer)
}

/// The JSON Schema of a file.
#[pyfunction]
pub(super) fn config_schema(py: Python<'_>) -> PyResult<Py<PyAny>> {
    plain(py, &config::json_schema())
}

type Convert<'py, T> = fn(Python<'py>, &T) -> PyResult<Bound<'py, PyDict>>;

fn list<'py, T>(py: Python<'py>, items: &[T], convert: Convert<'py, T>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, items.iter().map(|item| convert(py, item)).collect::<PyResult<Vec<_>>>()?)
}

fn problem<'py>(py: Python<'py>, problem: &Problem) -> PyResult<Bound<'py, PyDict>> {
    let answer = plain(py, problem)?.into_bound(py).cast_into::<PyDict>()?;
    answer.set_item("text", problem.to_string())?;
    Ok(answer)
}

fn broken<'py>(py: Python<'py>, broken: &Broken) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("dag_id", broken.dag_id.as_deref())?;
    answer.set_item("file", &broken.file)?;
    answer.set_item("errors", broken.problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(answer)
}

fn dag<'py>(py: Python<'py>, spec: &DagSpec) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("dag_id", &spec.dag_id)?;
    answer.set_item("type", spec.kind)?;
    answer.set_item("place", format!("{}:{}:{}", spec.file, spec.line, spec.column))?;
    answer.set_item("dag", section(py, &spec.dag)?)?;
    answer.set_item("default_args", optional(py, spec.default_args.as_ref())?)?;
    answer.set_item("builder", section(py, &spec.builder)?)?;
    answer.set_item("operator", section(py, &spec.operator)?)?;
    answer.set_item("groups", list(py, &spec.groups, group)?)?;
    answer.set_item("tasks", list(py, &spec.tasks, task)?)?;
    Ok(answer)
}

fn group<'py>(py: Python<'py>, spec: &GroupSpec) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("name", &spec.name)?;
    answer.set_item("arguments", section(py, &spec.arguments)?)?;
    answer.set_item("default_args", optional(py, spec.default_args.as_ref())?)?;
    answer.set_item("dependencies", &spec.dependencies)?;
    Ok(answer)
}

fn task<'py>(py: Python<'py>, spec: &TaskSpec) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    answer.set_item("task_id", &spec.task_id)?;
    answer.set_item("operator", &spec.operator)?;
    answer.set_item("place", format!("{}:{}:{}", spec.file, spec.line, spec.column))?;
    answer.set_item("arguments", section(py, &spec.arguments)?)?;
    answer.set_item("expand", section(py, &spec.expand)?)?;
    answer.set_item("dependencies", &spec.dependencies)?;
    answer.set_item("group", spec.group.as_deref())?;
    Ok(answer)
}

fn optional<'py>(py: Python<'py>, arguments: Option<&Arguments>) -> PyResult<Option<Section<'py>>> {
    arguments.map(|arguments| section(py, arguments)).transpose()
}

fn section<'py>(py: Python<'py>, arguments: &Arguments) -> PyResult<Section<'py>> {
    let (values, references) = (PyDict::new(py), PyList::empty(py));
    for (name, value) in arguments {
        match value {
            Value::Reference(how, from) => references.append((name, how, to_python(py, from)?))?,
            value => values.set_item(name, to_python(py, value)?)?,
        }
    }
    Ok((values, references))
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => PyNone::get(py).to_owned().into_any(),
        Value::Flag(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Number(number) => number.into_pyobject(py)?.into_any(),
        Value::Text(text) => text.into_pyobject(py)?.into_any(),
        Value::List(items) => {
            let items = items.iter().map(|item| to_python(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::Map(entries) => map(py, entries)?.into_any(),
        Value::Duration(milliseconds) => TimeDelta::milliseconds(*milliseconds).into_pyobject(py)?.into_any(),
        Value::Moment(at) => datetime(*at).into_pyobject(py)?.into_any(),
        Value::Reference(how, from) => {
            PyTuple::new(py, [how.into_pyobject(py)?.into_any(), to_python(py, from)?])?.into_any()
        }
    })
}

fn map<'py>(py: Python<'py>, entries: &Arguments) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    for (name, value) in entries {
        answer.set_item(name, to_python(py, value)?)?;
    }
    Ok(answer)
}
