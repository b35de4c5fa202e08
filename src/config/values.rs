//! Checks a [`Node`] against a [`Kind`] and gives the [`Value`] that Python gets. A value that is wrong becomes null and
//! a fault; the caller goes on, so that everything wrong is found at once.

use std::str::FromStr;

use super::argument::{Argument, Kind};
use super::problem::{At, Fault};
use super::time::{PRESETS, cron_fault, duration, moment, seconds};
use super::tree::{Data, Entry, Map, Node};
use super::value::Value;
use crate::error::Error;
use crate::series::{DataType, Series};
use crate::time_range::{Millis, iso};
use crate::timeframe::Timeframe;

/// The most that a message quotes of a value.
const QUOTED: usize = 60;

/// Checks values and keeps what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) faults: Vec<Fault>,
}

impl Checker {
    pub(super) fn fault(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The value of `argument`.
    pub(super) fn argument(&mut self, node: &Node, argument: &Argument) -> Value {
        if node.data == Data::Null && argument.is_nullable {
            return Value::Null;
        }
        self.value(node, argument.name, argument.kind, argument.is_template)
    }

    /// The value at `node`, which must be a `kind`, or the text of a template where it `is_template`.
    pub(super) fn value(&mut self, node: &Node, name: &str, kind: Kind, is_template: bool) -> Value {
        if let Data::Broken(message) = &node.data {
            self.fault(Fault::new(node.at, message.clone()));
            return Value::Null;
        }
        if let (true, Data::Text(text)) = (is_template, &node.data)
            && (text.contains("{{") || text.contains("{%"))
        {
            return Value::Text(text.clone());
        }
        let found = match &node.data {
            Data::Text(text) => self.text(node, name, kind, text),
            Data::List(items) => self.list(node, name, kind, items, is_template),
            Data::Map(map) => self.map(kind, map),
            data => plain(kind, data),
        };
        found.unwrap_or_else(|| {
            self.fault(mismatch(node, name, kind));
            Value::Null
        })
    }

    fn text(&mut self, node: &Node, name: &str, kind: Kind, text: &str) -> Option<Value> {
        let same = || Value::Text(text.to_owned());
        match kind {
            Kind::Any | Kind::Text => Some(same()),
            Kind::Duration => duration(text).map(Value::Duration),
            Kind::Moment => Some(Value::Moment(self.moment(node, name, kind, text))),
            Kind::MomentText => Some(Value::Text(iso(self.moment(node, name, kind, text)))),
            Kind::Schedule => Some(self.schedule_text(node, text)),
            Kind::ChoiceOrImport(_) if is_import_path(text) => Some(same()),
            Kind::Choice(known) | Kind::ChoiceOrImport(known) => {
                Some(self.choice(node, name, kind, known, text))
            }
            Kind::Import | Kind::Imports => {
                is_import_path(text).then(|| Value::Reference("import", Box::new(same())))
            }
            Kind::Timeframe => Some(self.parsed::<Timeframe>(node, text, &[])),
            Kind::DataType => Some(self.parsed::<DataType>(node, text, &DataType::ALL.map(DataType::name))),
            Kind::Series => Some(self.parsed::<Series>(node, text, &[])),
            Kind::Url => Some(self.url(node, name, text)),
            Kind::OneOrList(of) => Some(self.value(node, name, *of, false)),
            _ => None,
        }
    }

    /// A text that the crate itself can parse.
    fn parsed<T: FromStr<Err = Error>>(&mut self, node: &Node, text: &str, known: &[&str]) -> Value {
        if let Err(error) = T::from_str(text) {
            let message = match &node.written {
                Some(written) => error.message().replace(text, written),
                None => error.message().to_owned(),
            };
            self.fault(Fault::new(node.at, message).suggest(text, known.iter().copied()));
        }
        Value::Text(text.to_owned())
    }

    fn moment(&mut self, node: &Node, name: &str, kind: Kind, text: &str) -> Millis {
        moment(text).unwrap_or_else(|hint| {
            self.fault(mismatch(node, name, kind).hint(hint));
            0
        })
    }

    fn choice(&mut self, node: &Node, name: &str, kind: Kind, known: &[&str], text: &str) -> Value {
        if !known.contains(&text) {
            self.fault(mismatch(node, name, kind).suggest(text, known.iter().copied()));
        }
        Value::Text(text.to_owned())
    }

    fn schedule_text(&mut self, node: &Node, text: &str) -> Value {
        if text.starts_with('@') {
            if !PRESETS.contains(&text) {
                let fault = Fault::new(node.at, format!("unknown preset {}", shown(node)));
                self.fault(fault.suggest(text, PRESETS.iter().copied()).hint(PRESETS.join(", ")));
            }
        } else if let Some(message) = cron_fault(text) {
            let message =
                node.written.as_ref().map_or(message, |_| format!("{} is no cron text", shown(node)));
            let fault = Fault::new(node.at, format!("schedule: {message}"));
            let is_duration = duration(text).is_some();
            self.fault(if is_duration { fault.hint("write schedule: {every: ...}") } else { fault });
        }
        Value::Text(text.to_owned())
    }

    fn url(&mut self, node: &Node, name: &str, text: &str) -> Value {
        if holds_password(text) {
            let fault = Fault::new(node.at, format!("{name} holds a password"));
            self.fault(fault.hint("use postgres_conn_id or minio_conn_id, or PGPASSWORD"));
        }
        Value::Text(text.to_owned())
    }

    fn list(
        &mut self,
        node: &Node,
        name: &str,
        kind: Kind,
        items: &[Node],
        is_template: bool,
    ) -> Option<Value> {
        let (of, least) = match kind {
            Kind::Any => (&Kind::Any, 0),
            Kind::List { of, least } => (of, least),
            Kind::OneOrList(of) => (of, 0),
            Kind::Assets => (&Kind::Text, 0),
            Kind::Imports => (&Kind::Import, 1),
            Kind::Range if items.len() == 2 => (&Kind::MomentText, 2),
            _ => return None,
        };
        if items.len() < least {
            let message =
                if least == 1 { format!("{name} is empty") } else { format!("{name} needs {least} items") };
            self.fault(Fault::new(node.at, message));
        }
        let values = items.iter().map(|item| self.value(item, name, *of, is_template)).collect();
        Some(match kind {
            Kind::Assets => Value::Reference("assets", Box::new(Value::List(values))),
            Kind::Imports => {
                let paths = values.into_iter().map(path).collect();
                Value::Reference("import", Box::new(Value::List(paths)))
            }
            _ => Value::List(values),
        })
    }

    fn map(&mut self, kind: Kind, map: &Map) -> Option<Value> {
        let of = match kind {
            Kind::Any | Kind::Map => Kind::Any,
            Kind::ImportMap => Kind::Import,
            Kind::Schedule => return self.schedule(map),
            _ => return None,
        };
        self.duplicates(map, "key");
        let value = |entry: &Entry| (entry.key.clone(), self.value(&entry.value, &entry.key, of, false));
        let values: Vec<(String, Value)> = map.entries.iter().map(value).collect();
        Some(match kind {
            Kind::ImportMap => {
                let paths = values.into_iter().map(|(name, value)| (name, path(value))).collect();
                Value::Reference("import_map", Box::new(Value::Map(paths)))
            }
            _ => Value::Map(values),
        })
    }

    fn schedule(&mut self, map: &Map) -> Option<Value> {
        self.duplicates(map, "key");
        if let Some(timetable) = map.get("timetable") {
            return Some(self.timetable(map, &timetable.value));
        }
        let (first, others) = map.entries.split_first()?;
        let known = ["every", "assets", "timetable"];
        let unknown = if known.contains(&first.key.as_str()) { others.first() } else { Some(first) };
        if let Some(entry) = unknown {
            let fault = Fault::new(entry.at, format!("unknown key {:?} in schedule", entry.key));
            self.fault(fault.suggest(&entry.key, known));
            return Some(Value::Null);
        }
        if first.key == "every" {
            let every = self.value(&first.value, "every", Kind::Duration, false);
            if every == Value::Duration(0) {
                self.fault(Fault::new(first.value.at, "every must be longer than nothing"));
            }
            return Some(every);
        }
        let assets = self.value(&first.value, "assets", Kind::List { of: &Kind::Text, least: 1 }, false);
        Some(Value::Reference("assets", Box::new(assets)))
    }

    fn timetable(&mut self, map: &Map, class: &Node) -> Value {
        let class = path(self.value(class, "timetable", Kind::Import, false));
        let options = map.entries.iter().filter(|entry| entry.key != "timetable");
        let options = options.map(|entry| (entry.key.clone(), self.option(entry))).collect();
        Value::Reference("timetable", Box::new(Value::List(vec![class, Value::Map(options)])))
    }

    /// What a timetable is made of; `{every: 6h}` is a duration.
    fn option(&mut self, entry: &Entry) -> Value {
        match &entry.value.data {
            Data::Map(map) if map.entries.len() == 1 && map.entries[0].key == "every" => {
                self.value(&map.entries[0].value, "every", Kind::Duration, false)
            }
            _ => self.value(&entry.value, &entry.key, Kind::Any, false),
        }
    }

    /// Faults for the keys that `map` has twice; `what` they are.
    pub(super) fn duplicates(&mut self, map: &Map, what: &str) {
        for (key, at, first) in &map.duplicates {
            self.fault(Fault::new(
                *at,
                format!("{what} {key:?} is there twice, first in line {}", first.line),
            ));
        }
    }

    /// A fault for a key that is missing in what begins at `at`.
    pub(super) fn missing(&mut self, at: At, key: &str, place: &str) {
        self.fault(Fault::new(at, format!("{key:?} is missing in {place}")));
    }
}

/// A value that is neither a text nor a collection.
fn plain(kind: Kind, data: &Data) -> Option<Value> {
    match (kind, data) {
        (Kind::Any, Data::Null) => Some(Value::Null),
        (Kind::Any | Kind::Flag | Kind::FlagOrNumber, Data::Flag(flag)) => Some(Value::Flag(*flag)),
        (Kind::Any, Data::Integer(number)) => Some(Value::Integer(*number)),
        (Kind::Any, Data::Number(number)) => Some(Value::Number(*number)),
        (Kind::Integer { least, most }, Data::Integer(number)) => {
            (least..=most).contains(number).then_some(Value::Integer(*number))
        }
        (Kind::Number { least }, Data::Integer(number)) => {
            (*number as f64 >= least).then_some(Value::Integer(*number))
        }
        (Kind::Number { least }, Data::Number(number)) => {
            (*number >= least && number.is_finite()).then_some(Value::Number(*number))
        }
        (Kind::FlagOrNumber, Data::Integer(number)) => (*number >= 0).then_some(Value::Integer(*number)),
        (Kind::FlagOrNumber, Data::Number(number)) => {
            (*number >= 0.0 && number.is_finite()).then_some(Value::Number(*number))
        }
        (Kind::Duration, Data::Integer(number)) => seconds(*number as f64).map(Value::Duration),
        (Kind::Duration, Data::Number(number)) => seconds(*number).map(Value::Duration),
        (Kind::OneOrList(of), _) => plain(*of, data),
        _ => None,
    }
}

/// The import path behind its reference.
fn path(value: Value) -> Value {
    match value {
        Value::Reference(_, path) => *path,
        other => other,
    }
}

fn mismatch(node: &Node, name: &str, kind: Kind) -> Fault {
    let fault = Fault::new(node.at, format!("{name} must be {}, not {}", wanted(kind), shown(node)));
    match (&node.data, kind) {
        (Data::Text(text), Kind::Flag | Kind::FlagOrNumber) => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => fault.hint("write true"),
            "no" | "off" | "n" => fault.hint("write false"),
            _ => fault,
        },
        (Data::Integer(_) | Data::Number(_) | Data::Flag(_), Kind::Text) => fault.hint("put it in quotes"),
        _ => fault,
    }
}

/// What a kind asks for, as part of a sentence.
pub(super) fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Any => "a value".to_owned(),
        Kind::Text => "a text".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Integer { least, most } if most == i64::from(i32::MAX) && least >= 0 => {
            format!("a whole number of at least {least}")
        }
        Kind::Integer { least, most } => format!("a whole number from {least} to {most}"),
        Kind::Number { least } => format!("a number of at least {least}"),
        Kind::FlagOrNumber => "true, false or a number of at least 0".to_owned(),
        Kind::Duration => "a duration (90s, 5m, 2h, 1d, PT5M or seconds)".to_owned(),
        Kind::Moment | Kind::MomentText => "a moment with a time zone".to_owned(),
        Kind::Schedule => {
            "a cron text, a preset, {every: 6h}, {assets: [...]} or {timetable: ...}".to_owned()
        }
        Kind::Choice(known) => format!("one of {}", known.join(", ")),
        Kind::ChoiceOrImport(known) => format!("one of {} or an import path", known.join(", ")),
        Kind::Import => "an import path such as package.module.name".to_owned(),
        Kind::Imports => "an import path such as package.module.name, or a list of them".to_owned(),
        Kind::ImportMap => "a mapping of names to import paths".to_owned(),
        Kind::Assets => "a list of asset names or URIs".to_owned(),
        Kind::Map | Kind::DefaultArgs | Kind::OperatorOptions => "a mapping".to_owned(),
        Kind::List { .. } => "a list".to_owned(),
        Kind::OneOrList(of) => format!("{} or a list", wanted(*of)),
        Kind::Range => "a pair [start, end]".to_owned(),
        Kind::Timeframe => "a timeframe such as 1h".to_owned(),
        Kind::DataType => "a data type such as ohlcv".to_owned(),
        Kind::Series => "a series such as coinalyze/ohlcv/BTCUSDT_PERP.A/1h".to_owned(),
        Kind::Url => "a URL".to_owned(),
    }
}

/// A value as a message quotes it; where it comes from the environment, what was written.
pub(super) fn shown(node: &Node) -> String {
    if let Some(written) = &node.written {
        return format!("the value of {written}");
    }
    match &node.data {
        Data::Null => "nothing".to_owned(),
        Data::Flag(flag) => flag.to_string(),
        Data::Integer(number) => number.to_string(),
        Data::Number(number) => number.to_string(),
        Data::Text(text) if text.chars().count() > QUOTED => {
            format!("{:?}...", text.chars().take(QUOTED).collect::<String>())
        }
        Data::Text(text) => format!("{text:?}"),
        Data::List(_) => "a list".to_owned(),
        Data::Map(_) => "a mapping".to_owned(),
        Data::Broken(message) => message.clone(),
    }
}

/// Whether `text` is names with dots between, at least one.
pub(super) fn is_import_path(text: &str) -> bool {
    let is_name = |name: &str| {
        let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        begins && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.contains('.') && text.split('.').all(is_name)
}

/// As `refuse_password` of the Python side: arguments are shown in Airflow's UI.
fn holds_password(url: &str) -> bool {
    url.strip_prefix("hybrid:").unwrap_or(url).split(",postgres").any(|part| {
        let place = part.split_once("://").map_or("", |(_, rest)| rest);
        let login = place.rsplit_once('@').map_or("", |(login, _)| login);
        let options = ["?password=", "&password=", "?sslpassword=", "&sslpassword="];
        login.contains(':') || options.iter().any(|option| part.contains(option))
    })
}
