//! Each error kind has exactly one Python exception, defined in `quant_framework.errors`.

use pyo3::exceptions::{PyConnectionError, PyOSError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::{Error, Kind};

mod exceptions {
    use pyo3::import_exception;

    import_exception!(quant_framework.errors, QuantFrameworkError);
    import_exception!(quant_framework.errors, UnavailableError);
    import_exception!(quant_framework.errors, RateLimitedError);
    import_exception!(quant_framework.errors, ConflictError);
    import_exception!(quant_framework.errors, InvalidError);
    import_exception!(quant_framework.errors, DataError);
    import_exception!(quant_framework.errors, RunCancelledError);
    import_exception!(quant_framework.errors, InternalError);
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let arguments = (error.message().to_owned(), error.hint().map(str::to_owned), error.until());
        match error.kind() {
            Kind::Unavailable => exceptions::UnavailableError::new_err(arguments),
            Kind::RateLimited => exceptions::RateLimitedError::new_err(arguments),
            Kind::Conflict => exceptions::ConflictError::new_err(arguments),
            Kind::Invalid => exceptions::InvalidError::new_err(arguments),
            Kind::Data => exceptions::DataError::new_err(arguments),
            Kind::Cancelled => exceptions::RunCancelledError::new_err(arguments),
            Kind::Internal => exceptions::InternalError::new_err(arguments),
        }
    }
}

/// What an exception of an author's own part means to the core: our own kinds stay, connection errors may
/// be retried, wrong values may not.
pub(super) fn from_python(py: Python<'_>, error: &PyErr, part: &str) -> Error {
    let value = error.value(py);
    let text = |name: &str| {
        value.getattr(name).ok().and_then(|text| text.extract::<Option<String>>().ok()).flatten()
    };
    if error.is_instance_of::<exceptions::QuantFrameworkError>(py) {
        let kind = text("kind").and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name));
        let message = text("message").unwrap_or_else(|| value.to_string());
        let until =
            value.getattr("until_ms").ok().and_then(|until| until.extract::<Option<i64>>().ok()).flatten();
        let mapped = match (kind.unwrap_or(Kind::Internal), until) {
            (Kind::RateLimited, Some(until)) => Error::rate_limited(message, until),
            (kind, _) => Error::new(kind, message),
        };
        return match text("hint") {
            Some(hint) => mapped.with_hint(hint),
            None => mapped,
        };
    }
    let name = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    let message = format!("{part} raised {name}: {value}");
    let is = |retryable: bool, kind: Kind| retryable.then(|| Error::new(kind, message.clone()));
    is(
        error.is_instance_of::<PyConnectionError>(py) || error.is_instance_of::<PyTimeoutError>(py),
        Kind::Unavailable,
    )
    .or_else(|| is(error.is_instance_of::<PyOSError>(py), Kind::Unavailable))
    .or_else(|| is(error.is_instance_of::<PyValueError>(py), Kind::Invalid))
    .or_else(|| is(error.is_instance_of::<PyTypeError>(py), Kind::Invalid))
    .unwrap_or_else(|| Error::internal(message))
}
