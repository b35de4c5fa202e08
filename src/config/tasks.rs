//! The tasks and the task groups of one DAG.

use super::airflow;
use super::argument::{Argument, Kind, Tables, find, names};
use super::dag::{Scope, is_id};
use super::graph::{self, Vertex};
use super::operators::{OPERATORS, Operator, PACKAGE, own};
use super::problem::{At, Fault};
use super::sections::{default_args, foreign, map_of, require, unknown};
use super::tree::{Data, Entry, Map, Node};
use super::value::{Arguments, GroupSpec, TaskSpec, Value};
use super::values::{Checker, is_import_path, shown};

/// A name and where it is written.
type Mention = (String, At);

struct Task<'a> {
    id: &'a str,
    at: At,
    map: &'a Map,
    dependencies: Vec<Mention>,
    group: Option<Mention>,
}

struct Group {
    spec: GroupSpec,
    at: At,
    dependencies: Vec<Mention>,
}

/// The operators of this package that the tasks use, and whether they use others as well.
pub(super) fn operators(dag: &Map) -> (Vec<&'static Operator>, bool) {
    let tasks = dag.get("tasks").map(|entry| &entry.value.data);
    let nodes: Vec<&Node> = match tasks {
        Some(Data::Map(map)) => map.entries.iter().map(|entry| &entry.value).collect(),
        Some(Data::List(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    let (mut found, mut is_foreign) = (Vec::new(), false);
    for node in nodes {
        let Data::Map(map) = &node.data else { continue };
        match map.get("operator").map(|entry| &entry.value.data) {
            Some(Data::Text(name)) => match own(name) {
                Some(operator) if found.contains(&operator) => {}
                Some(operator) => found.push(operator),
                None => is_foreign = true,
            },
            _ => is_foreign = true,
        }
    }
    (found, is_foreign)
}

/// Checks the keys `tasks` and `task_groups`.
pub(super) fn check(checker: &mut Checker, dag: &Map, scope: &Scope<'_>) -> (Vec<TaskSpec>, Vec<GroupSpec>) {
    let groups = groups(checker, dag.get("task_groups"), scope);
    let found = dag.get("tasks").map(|entry| find_tasks(checker, entry, scope)).unwrap_or_default();
    for (position, task) in found.iter().enumerate() {
        let is_twice = found[..position].iter().any(|other| other.id == task.id);
        if is_twice || groups.iter().any(|group| group.spec.name == task.id) {
            checker
                .fault(Fault::new(task.at, format!("task {:?} is there twice in {}", task.id, scope.place)));
        }
        if let Some((name, at)) = &task.group
            && !groups.iter().any(|group| group.spec.name == *name)
        {
            let fault = Fault::new(*at, format!("unknown task group {name:?} in {}", scope.place));
            checker.fault(fault.suggest(name, groups.iter().map(|group| group.spec.name.as_str())));
        }
    }
    wait(checker, &found, &groups, &scope.place);
    let tasks = found.iter().filter_map(|task| spec(checker, task, scope)).collect();
    (tasks, groups.into_iter().map(|group| group.spec).collect())
}

fn wait(checker: &mut Checker, tasks: &[Task<'_>], groups: &[Group], place: &str) {
    let mentions = |found: &[Mention]| -> Vec<(usize, At)> {
        found.iter().enumerate().map(|(i, (_, at))| (i, *at)).collect()
    };
    let mut vertices = Vec::with_capacity(tasks.len() + groups.len());
    for task in tasks {
        let dependencies = mentions(&task.dependencies);
        vertices.push(Vertex {
            name: task.id,
            at: dependencies.first().map_or(task.at, |(_, at)| *at),
            is_group: false,
            group: task.group.as_ref().map(|(name, _)| name.as_str()),
            dependencies: dependencies
                .iter()
                .map(|(i, at)| (task.dependencies[*i].0.as_str(), *at))
                .collect(),
        });
    }
    for group in groups {
        vertices.push(Vertex {
            name: &group.spec.name,
            at: group.dependencies.first().map_or(group.at, |(_, at)| *at),
            is_group: true,
            group: None,
            dependencies: group.dependencies.iter().map(|(name, at)| (name.as_str(), *at)).collect(),
        });
    }
    for fault in graph::check(&vertices, place) {
        checker.fault(fault);
    }
}

fn find_tasks<'a>(checker: &mut Checker, entry: &'a Entry, scope: &Scope<'_>) -> Vec<Task<'a>> {
    let found = match &entry.value.data {
        Data::List(items) => items.iter().filter_map(|item| listed(checker, item, scope)).collect(),
        _ => named(checker, &entry.value, scope),
    };
    if found.is_empty() && checker.faults.is_empty() {
        checker.fault(Fault::new(entry.at, "tasks is empty"));
    }
    found
}

/// A task in a list.
fn listed<'a>(checker: &mut Checker, item: &'a Node, scope: &Scope<'_>) -> Option<Task<'a>> {
    let map = map_of(checker, item, "a task", "key")?;
    let Some(id) = map.get("task_id") else {
        checker.missing(item.at, "task_id", &format!("a task of {}", scope.place));
        return None;
    };
    let Data::Text(name) = &id.value.data else {
        checker.value(&id.value, "task_id", Kind::Text, false);
        return None;
    };
    Some(task(checker, name, item.at, map, scope))
}

/// Tasks by their ids.
fn named<'a>(checker: &mut Checker, tasks: &'a Node, scope: &Scope<'_>) -> Vec<Task<'a>> {
    let mut found = Vec::new();
    let tasks = map_of(checker, tasks, "tasks", "task");
    for entry in tasks.map(|map| map.entries.iter()).into_iter().flatten() {
        if let Some(map) = map_of(checker, &entry.value, &format!("task {}", entry.key), "key") {
            found.push(task(checker, &entry.key, entry.at, map, scope));
            if let Some(id) = map.get("task_id") {
                checker.fault(Fault::new(id.at, "task_id is the key of the task already"));
            }
        }
    }
    found
}

fn task<'a>(checker: &mut Checker, id: &'a str, at: At, map: &'a Map, scope: &Scope<'_>) -> Task<'a> {
    if !is_id(id) {
        let fault = Fault::new(at, format!("task id {id:?} of {} has other characters", scope.place));
        checker.fault(fault.hint("letters, digits and -._~, at most 250"));
    }
    let group = map.get("task_group_name").and_then(|entry| {
        let name = checker.value(&entry.value, "task_group_name", Kind::Text, false);
        if let Value::Text(name) = name { Some((name, entry.value.at)) } else { None }
    });
    Task { id, at, map, dependencies: mentions(checker, map), group }
}

fn mentions(checker: &mut Checker, map: &Map) -> Vec<Mention> {
    let Some(entry) = map.get("dependencies") else { return Vec::new() };
    let texts = checker.value(&entry.value, "dependencies", super::argument::TEXTS, false);
    let (Value::List(texts), Data::List(nodes)) = (texts, &entry.value.data) else { return Vec::new() };
    let named = texts.into_iter().zip(nodes);
    named
        .filter_map(|(text, node)| if let Value::Text(name) = text { Some((name, node.at)) } else { None })
        .collect()
}

fn groups(checker: &mut Checker, entry: Option<&Entry>, scope: &Scope<'_>) -> Vec<Group> {
    let map = entry.and_then(|entry| map_of(checker, &entry.value, "task_groups", "task group"));
    let mut found = Vec::new();
    for entry in map.map(|map| map.entries.iter()).into_iter().flatten() {
        let place = format!("task group {} of {}", entry.key, scope.place);
        if entry.key.is_empty()
            || !entry.key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            checker.fault(Fault::new(
                entry.at,
                format!("{place} has other characters than letters, digits, - and _"),
            ));
        }
        let empty = Map::default();
        let map = match &entry.value.data {
            Data::Null => &empty,
            _ => map_of(checker, &entry.value, &place, "key").unwrap_or(&empty),
        };
        let mut spec = GroupSpec {
            name: entry.key.clone(),
            arguments: vec![],
            default_args: None,
            dependencies: vec![],
        };
        for entry in &map.entries {
            match find(&[airflow::GROUP], &entry.key) {
                None => unknown(checker, entry, &place, names(&[airflow::GROUP])),
                Some(argument) if argument.name == "dependencies" => {}
                Some(argument) if argument.name == "default_args" => {
                    spec.default_args =
                        default_args(checker, &entry.value, &scope.operators, scope.is_foreign, &place);
                }
                Some(argument) => {
                    spec.arguments.push((entry.key.clone(), checker.argument(&entry.value, argument)));
                }
            }
        }
        let dependencies = mentions(checker, map);
        spec.dependencies = dependencies.iter().map(|(name, _)| name.clone()).collect();
        found.push(Group { spec, at: entry.at, dependencies });
    }
    found
}

fn spec(checker: &mut Checker, task: &Task<'_>, scope: &Scope<'_>) -> Option<TaskSpec> {
    let place = format!("task {} of {}", task.id, scope.place);
    let Some(entry) = task.map.get("operator") else {
        checker.missing(task.at, "operator", &place);
        return None;
    };
    let Value::Text(name) = checker.value(&entry.value, "operator", Kind::Text, false) else { return None };
    let operator = own(&name);
    if operator.is_none() && (!is_import_path(&name) || name.starts_with(PACKAGE)) {
        let short = name.rsplit('.').next().unwrap_or(&name);
        let fault = Fault::new(entry.value.at, format!("unknown operator {}", shown(&entry.value)));
        let fault = fault.suggest(short, OPERATORS.iter().map(|operator| operator.name));
        checker.fault(fault.hint("an operator of this package, or an import path"));
        return None;
    }
    let mut arguments = Arguments::new();
    for entry in &task.map.entries {
        let is_task = find(&[airflow::TASK], &entry.key).is_some() || entry.key == "task_id";
        if !is_task && let Some(value) = argument(checker, entry, operator, &place, None) {
            arguments.push((entry.key.clone(), value));
        }
    }
    let expand = expand(checker, task, operator, &place);
    if let Some(operator) = operator {
        let is_given = |name: &str| {
            let is_named = |arguments: &Arguments| arguments.iter().any(|(known, _)| known == name);
            is_named(&arguments)
                || is_named(&expand)
                || scope.has_default(name, task.group.as_ref().map(|(n, _)| n))
        };
        require(checker, task.at, operator.arguments, is_given, &place);
    }
    Some(TaskSpec {
        task_id: task.id.to_owned(),
        operator: operator.map_or(name, |operator| format!("{PACKAGE}.{}", operator.name)),
        file: scope.file.to_owned(),
        line: task.at.line,
        column: task.at.column,
        arguments,
        expand,
        dependencies: task.dependencies.iter().map(|(name, _)| name.clone()).collect(),
        group: task.group.as_ref().map(|(name, _)| name.clone()),
    })
}

/// The value at a key of a task; `mapped` is the item of a list that is mapped, in place of the key's value.
fn argument(
    checker: &mut Checker,
    entry: &Entry,
    operator: Option<&Operator>,
    place: &str,
    mapped: Option<&Node>,
) -> Option<Value> {
    const NONE: Tables = &[];
    let own = operator.map_or(NONE, |operator| operator.arguments);
    let known: Option<&Argument> = find(own, &entry.key).or_else(|| find(&[airflow::OPERATOR], &entry.key));
    let node = mapped.unwrap_or(&entry.value);
    match known {
        Some(known) => Some(checker.argument(node, known)),
        None if operator.is_none() => match mapped {
            Some(item) => Some(checker.value(item, &entry.key, Kind::Any, false)),
            None => Some(foreign(checker, entry)),
        },
        None => {
            let task = names(&[airflow::TASK]);
            unknown(checker, entry, place, names(own).chain(names(&[airflow::OPERATOR])).chain(task));
            None
        }
    }
}

fn expand(checker: &mut Checker, task: &Task<'_>, operator: Option<&Operator>, place: &str) -> Arguments {
    let Some(entry) = task.map.get("expand") else { return Arguments::new() };
    let Some(map) = map_of(checker, &entry.value, "expand", "key") else { return Arguments::new() };
    if map.entries.is_empty() {
        checker.fault(Fault::new(entry.at, "expand is empty"));
    }
    let mut arguments = Arguments::new();
    for entry in &map.entries {
        if task.map.get(&entry.key).is_some() {
            checker.fault(Fault::new(entry.at, format!("{:?} is in {place} and in its expand", entry.key)));
        }
        let value = match &entry.value.data {
            Data::List(items) => {
                let item = |item: &Node| argument(checker, entry, operator, place, Some(item));
                items.iter().map(item).collect::<Option<Vec<Value>>>().map(Value::List)
            }
            Data::Map(_) if operator.is_none() => {
                Some(checker.value(&entry.value, &entry.key, Kind::Any, false))
            }
            _ => {
                checker.value(&entry.value, &entry.key, Kind::List { of: &Kind::Any, least: 0 }, false);
                None
            }
        };
        arguments.extend(value.map(|value| (entry.key.clone(), value)));
    }
    arguments
}
