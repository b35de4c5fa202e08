//! What the core traces, kept until Python asks for it: no Rust thread enters Python to log.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// So many lines wait; the oldest go first.
const MOST: usize = 1000;
const OURS: &str = "quant_framework";

/// Level as in Python's `logging`, logger, message.
type Line = (u8, String, String);

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<Line>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts keeping lines, once per process; another subscriber that is there already stays.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(Keeper)));
}

/// The lines of the core's log since the last call, oldest first: level as in ``logging``, logger, message.
#[pyfunction]
pub(super) fn drain_log() -> Vec<Line> {
    lines().drain(..).collect()
}

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with(OURS)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            _ => 20,
        };
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut lines = lines();
        if lines.len() == MOST {
            lines.pop_front();
        }
        lines.push_back((level, event.metadata().target().replace("::", "."), message.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, and what other fields say as `name=value` behind it.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a text cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
