//! Mappings of arguments: each key known, each value of its kind, no key missing.

use super::airflow;
use super::argument::{Kind, Tables, find, names};
use super::operators::Operator;
use super::problem::{At, Fault, closest};
use super::tree::{Data, Entry, Map, Node};
use super::value::{Arguments, Value};
use super::values::Checker;

/// The map at `node`; anything else is a fault, and `None`.
pub(super) fn map_of<'a>(checker: &mut Checker, node: &'a Node, name: &str, what: &str) -> Option<&'a Map> {
    if let Data::Map(map) = &node.data {
        checker.duplicates(map, what);
        return Some(map);
    }
    checker.value(node, name, Kind::Map, false);
    None
}

/// A fault for a key that no table knows.
pub(super) fn unknown<'a>(
    checker: &mut Checker,
    entry: &Entry,
    place: &str,
    known: impl IntoIterator<Item = &'a str>,
) {
    let fault = Fault::new(entry.at, format!("unknown key {:?} in {place}", entry.key));
    checker.fault(fault.suggest(&entry.key, known));
}

/// Arguments that tasks start from: of every operator and of `own` ones. Where foreign operators may be meant too,
/// only a key that looks like a slip is refused.
pub(super) fn default_args(
    checker: &mut Checker,
    node: &Node,
    own: &[&Operator],
    is_foreign: bool,
    place: &str,
) -> Option<Arguments> {
    if node.data == Data::Null {
        return None;
    }
    let map = map_of(checker, node, "default_args", "key")?;
    let tables = || own.iter().map(|operator| operator.arguments);
    let mut arguments = Arguments::new();
    for entry in &map.entries {
        let argument = find(&[airflow::OPERATOR], &entry.key)
            .or_else(|| tables().find_map(|table| find(table, &entry.key)));
        if let Some(argument) = argument {
            arguments.push((entry.key.clone(), checker.argument(&entry.value, argument)));
            continue;
        }
        let known: Vec<&str> = names(&[airflow::OPERATOR]).chain(tables().flat_map(names)).collect();
        let is_slip = closest(&entry.key, known.iter().copied()).is_some();
        if entry.is_inherited && !is_foreign {
            continue; // it is for other DAGs
        }
        if is_slip || !is_foreign {
            unknown(checker, entry, &format!("default_args of {place}"), known);
        } else {
            arguments.push((entry.key.clone(), foreign(checker, entry)));
        }
    }
    Some(arguments)
}

/// The value of an argument that only a foreign operator knows.
pub(super) fn foreign(checker: &mut Checker, entry: &Entry) -> Value {
    match find(&[airflow::FOREIGN], &entry.key) {
        Some(argument) => checker.argument(&entry.value, argument),
        None if entry.key.ends_with("_callback") && entry.value.data != Data::Null => {
            checker.value(&entry.value, &entry.key, Kind::Imports, false)
        }
        None => checker.value(&entry.value, &entry.key, Kind::Any, false),
    }
}

/// Faults for arguments that are required and given nowhere.
pub(super) fn require(
    checker: &mut Checker,
    at: At,
    tables: Tables,
    is_given: impl Fn(&str) -> bool,
    place: &str,
) {
    for argument in tables.iter().flat_map(|table| table.iter()) {
        if argument.is_required && !is_given(argument.name) {
            checker.missing(at, argument.name, place);
        }
    }
}
