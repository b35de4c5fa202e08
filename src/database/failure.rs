//! What a failed database call means.

use std::error::Error as _;
use std::io;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::certificates;
use crate::error::{Error, causes};

/// The failure of a call, in one line.
pub(super) fn of(doing: &str, place: &str, error: &tokio_postgres::Error) -> Error {
    let message = |why: &str| format!("cannot {doing} {place}: {why}");
    let Some(refusal) = error.as_db_error() else {
        let why = causes(error);
        return if certificates::is_refused(error) {
            Error::invalid(message(&why))
                .with_hint("name the server's certificate authority by sslrootcert")
                .fatal()
        } else if is_about_the_call(error) {
            Error::invalid(message(&why)).with_hint("check the DSN: user, password, sslmode").fatal()
        } else {
            Error::unavailable(message(&why))
        };
    };
    let text = message(refusal.message());
    match refusal.code() {
        code if code == &SqlState::EXCLUSION_VIOLATION => Error::conflict(text),
        code if code == &SqlState::UNDEFINED_TABLE || code == &SqlState::INVALID_SCHEMA_NAME => {
            Error::data(text)
                .with_hint("the tables are gone; rebuild them: quant-framework rebuild --lake URL")
                .fatal()
        }
        code if code == &SqlState::INVALID_CATALOG_NAME => Error::invalid(text)
            .with_hint("create the database, then rebuild what it held: quant-framework rebuild --lake URL")
            .fatal(),
        code => match &code.code()[..2] {
            // Credentials and privileges.
            "28" => Error::invalid(text).with_hint("check user and password").fatal(),
            "42" if code == &SqlState::INSUFFICIENT_PRIVILEGE => Error::invalid(text)
                .with_hint("grant it, or let an administrator run quant-framework status once")
                .fatal(),
            // Connections, a standby that a fail-over has left read-only, resources, shutdown, deadlocks and time limits;
            // a pooler's refusals.
            "08" | "25" | "53" | "55" | "57" | "40" | "58" => Error::unavailable(text),
            class => Error::internal(format!("{text} (SQLSTATE {}, class {class})", code.code())),
        },
    }
}

pub(super) fn of_pool(doing: &str, place: &str, error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => of(doing, place, &error),
        other => Error::unavailable(format!("cannot {doing} {place}: {other}")),
    }
}

/// Whether the client itself objects (no password, a server without TLS): there is a cause, and no input or output
/// failed.
fn is_about_the_call(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    let has_cause = cause.is_some();
    while let Some(inner) = cause {
        if inner.is::<io::Error>() {
            return false;
        }
        cause = inner.source();
    }
    has_cause
}
