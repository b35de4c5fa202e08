//! One DAG: its type, its keys, its tasks.

use super::airflow;
use super::argument::{Argument, Kind, find, names};
use super::builders::{ANY_DAG, BUILDERS, Builder};
use super::defaults::inherit;
use super::operators::{self, OPERATORS, Operator};
use super::problem::{At, Fault, closest};
use super::sections::{default_args, map_of, require, unknown};
use super::tasks;
use super::tree::{Data, Entry, Map, Node};
use super::value::{Arguments, DagSpec, Value};
use super::values::Checker;

/// Every operator of this package.
pub(super) const OWN_OPERATORS: &[&Operator] = &{
    let mut found = [&OPERATORS[0]; OPERATORS.len()];
    let mut position = 1;
    while position < OPERATORS.len() {
        found[position] = &OPERATORS[position];
        position += 1;
    }
    found
};

/// What the parts of a DAG know of it.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) file: &'a str,
    /// `DAG nightly`.
    pub(super) place: String,
    /// Operators of this package that it uses.
    pub(super) operators: Vec<&'static Operator>,
    /// Whether it uses others.
    pub(super) is_foreign: bool,
    defaults: Vec<(Option<String>, Vec<String>)>,
}

impl Scope<'_> {
    /// Whether the DAG's default arguments, or those of the group, have `name`.
    pub(super) fn has_default(&self, name: &str, group: Option<&String>) -> bool {
        let here = |scope: &Option<String>| scope.is_none() || scope.as_ref() == group;
        self.defaults.iter().any(|(scope, names)| here(scope) && names.iter().any(|known| known == name))
    }
}

/// Whether Airflow takes `text` as the id of a DAG or a task.
pub(super) fn is_id(text: &str) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    (1..=250).contains(&text.len()) && text.chars().all(is_known)
}

/// The DAG at `entry`, which inherits from `defaults`; or everything that is wrong with it.
pub(super) fn check(entry: Entry, defaults: Option<&Map>, file: &str) -> Result<DagSpec, Vec<Fault>> {
    let mut checker = Checker::default();
    let Entry { key, at, mut value, .. } = entry;
    let place = format!("DAG {key}");
    if !is_id(&key) {
        let fault = Fault::new(at, format!("DAG id {key:?} has other characters"));
        checker.fault(fault.hint("letters, digits and -._~, at most 250"));
    }
    map_of(&mut checker, &value, &place, "key");
    let Data::Map(map) = &mut value.data else { return Err(checker.faults) };
    if let Some(defaults) = defaults {
        // A DAG that lists its tasks is one of tasks, whatever type others have.
        let named = map.get("tasks").is_some() && map.get("type").is_none();
        inherit(map, defaults);
        map.entries.retain(|entry| !(named && entry.key == "type"));
    }
    let map = &*map;
    let Some(builder) = builder_of(&mut checker, map, at, &place) else { return Err(checker.faults) };
    let (operators, is_foreign) = match builder.operator {
        Some(name) => (operators::own(name).into_iter().collect(), false),
        None => tasks::operators(map),
    };
    let scope = Scope { file, place, operators, is_foreign, defaults: given_defaults(map) };
    let spec = sections(&mut checker, (key, at), map, builder, &scope);
    if checker.faults.is_empty() { Ok(spec) } else { Err(checker.faults) }
}

fn builder_of(checker: &mut Checker, map: &Map, at: At, place: &str) -> Option<&'static Builder> {
    let named = map.get("type").map(|entry| checker.argument(&entry.value, &ANY_DAG[0]));
    let name = match named {
        Some(Value::Text(name)) => name,
        None if map.get("tasks").is_some() => "tasks".to_owned(),
        Some(_) => return None,
        None => {
            let fault = Fault::new(at, format!("\"type\" is missing in {place}"));
            let known = ["type", "tasks"];
            checker.fault(match map.entries.iter().find(|entry| closest(&entry.key, known).is_some()) {
                Some(slip) => Fault::new(slip.at, format!("unknown key {:?} in {place}", slip.key))
                    .suggest(&slip.key, known),
                None => fault.hint("type: backfill, type: incremental, type: repair, or a key tasks"),
            });
            return None;
        }
    };
    BUILDERS.iter().find(|builder| builder.name == name)
}

/// The names in the default arguments of the DAG and of its groups.
fn given_defaults(map: &Map) -> Vec<(Option<String>, Vec<String>)> {
    let keys = |node: &Node| match &node.data {
        Data::Map(map) => map.entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    };
    let given =
        |name: Option<String>, map: &Map| map.get("default_args").map(|entry| (name, keys(&entry.value)));
    let mut found: Vec<_> = given(None, map).into_iter().collect();
    if let Some(Data::Map(groups)) = map.get("task_groups").map(|entry| &entry.value.data) {
        for entry in &groups.entries {
            if let Data::Map(map) = &entry.value.data {
                found.extend(given(Some(entry.key.clone()), map));
            }
        }
    }
    found
}

fn sections(
    checker: &mut Checker,
    (dag_id, at): (String, At),
    map: &Map,
    builder: &Builder,
    scope: &Scope<'_>,
) -> DagSpec {
    let mut spec = DagSpec {
        dag_id,
        kind: builder.name,
        file: scope.file.to_owned(),
        line: at.line,
        column: at.column,
        dag: Arguments::new(),
        default_args: None,
        builder: Arguments::new(),
        operator: Arguments::new(),
        groups: Vec::new(),
        tasks: Vec::new(),
    };
    for entry in &map.entries {
        let of_builder = find(builder.arguments, &entry.key);
        let Some(argument) = of_builder.or_else(|| find(&[airflow::DAG, ANY_DAG], &entry.key)) else {
            if !entry.is_inherited {
                let known = names(builder.arguments).chain(names(&[airflow::DAG, ANY_DAG]));
                unknown(checker, entry, &scope.place, known);
            }
            continue;
        };
        match (argument.name, argument.kind) {
            ("type" | "tasks" | "task_groups", _) => {}
            (_, Kind::DefaultArgs) => {
                let (own, is_foreign) = (&scope.operators, scope.is_foreign);
                spec.default_args = default_args(checker, &entry.value, own, is_foreign, &scope.place);
            }
            (_, Kind::OperatorOptions) => spec.operator = options(checker, &entry.value, builder, scope),
            (name, _) => {
                let value = checker.argument(&entry.value, argument);
                let section = if of_builder.is_some() { &mut spec.builder } else { &mut spec.dag };
                section.push((name.to_owned(), value));
            }
        }
    }
    require(checker, at, builder.arguments, |name| map.get(name).is_some(), &scope.place);
    if builder.operator.is_none() {
        (spec.tasks, spec.groups) = tasks::check(checker, map, scope);
    }
    spec
}

/// Further arguments of the operator that a builder makes: all but those that it gives itself.
fn options(checker: &mut Checker, node: &Node, builder: &Builder, scope: &Scope<'_>) -> Arguments {
    let mut arguments = Arguments::new();
    if node.data == Data::Null {
        return arguments;
    }
    let place = format!("operator of {}", scope.place);
    let Some(map) = map_of(checker, node, "operator", "key") else { return arguments };
    let own = scope.operators.first().map_or(&[] as &[&[Argument]], |operator| operator.arguments);
    for entry in &map.entries {
        let is_builders = find(builder.arguments, &entry.key).is_some();
        let known = find(own, &entry.key).or_else(|| find(&[airflow::OPERATOR], &entry.key));
        match known {
            _ if is_builders => {
                let fault = Fault::new(
                    entry.at,
                    format!("{:?} stands in {}, not in its operator", entry.key, scope.place),
                );
                checker.fault(fault.hint("move it up"));
            }
            Some(known) => arguments.push((entry.key.clone(), checker.argument(&entry.value, known))),
            None => unknown(checker, entry, &place, names(own).chain(names(&[airflow::OPERATOR]))),
        }
    }
    arguments
}
