//! The tables as a JSON Schema (draft 2020-12), for editors: `# yaml-language-server: $schema=...`. It is a little more
//! lenient than the check, which alone knows dependencies, defaults and other files.

use serde_json::{Map, Value, json};

use super::airflow;
use super::argument::{Argument, Kind};
use super::builders::{ANY_DAG, BUILDERS, DEFAULTS};
use super::operators::OPERATORS;
use super::time::PRESETS;
use crate::series::DataType;
use crate::timeframe::Timeframe;

/// A text that the environment replaces: it may stand for any value.
const VARIABLE: &str = r"\$\{";
const TEMPLATE: &str = r"\{\{|\{%|\$\{";
const IMPORT: &str = r"^[^\W\d]\w*(\.[^\W\d]\w*)+$";
const DURATION: &str = r"^([0-9.]+[smhdw])+$|^P";
const MOMENT: &str = r"^\d{4}-\d\d-\d\d($|[T ].*(Z|[+-]\d\d:?\d\d)$)";
const ID: &str = r"^[A-Za-z0-9._~-]{1,250}$";

/// The schema of a file.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    for builder in BUILDERS {
        let mut dag = object(&[builder.arguments, &[airflow::DAG, ANY_DAG]].concat(), false);
        dag["description"] = json!(builder.text);
        definitions.insert(builder.name.to_owned(), dag);
    }
    let all: Vec<&[Argument]> = BUILDERS.iter().flat_map(|builder| builder.arguments).copied().collect();
    definitions.insert("any".to_owned(), object(&[&all[..], &[airflow::DAG, ANY_DAG]].concat(), false));
    definitions.insert("dag".to_owned(), dag());
    definitions.insert("task".to_owned(), task());
    definitions.insert("group".to_owned(), object(&[airflow::GROUP], false));
    definitions.insert("defaults".to_owned(), object(DEFAULTS, false));
    definitions.insert("default_args".to_owned(), object(&[airflow::OPERATOR], true));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "DAGs of quant_framework",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "defaults": {"$ref": "#/$defs/defaults", "description": "What every DAG of this file inherits."},
            "dags": {
                "type": "object",
                "description": "DAGs by their ids.",
                "propertyNames": {"pattern": ID},
                "additionalProperties": {"$ref": "#/$defs/dag"},
            },
        },
        "$defs": definitions,
    })
}

/// A DAG is what its type says; without a type, one of tasks, or what its defaults say.
fn dag() -> Value {
    let mut otherwise = json!({"if": {"required": ["tasks"]}, "then": of("tasks"), "else": of("any")});
    for builder in BUILDERS {
        let named = json!({"properties": {"type": {"const": builder.name}}, "required": ["type"]});
        otherwise = json!({"if": named, "then": of(builder.name), "else": otherwise});
    }
    otherwise["type"] = json!("object");
    otherwise
}

fn of(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A task is what its operator says; one that is not of this package takes any argument.
fn task() -> Value {
    let id =
        ("task_id", json!({"type": "string", "pattern": ID, "description": "Its id, in a list of tasks."}));
    let with_id = |mut schema: Value| {
        schema["properties"][id.0] = id.1.clone();
        schema
    };
    let foreign = object(&[airflow::TASK, airflow::OPERATOR, airflow::FOREIGN], true);
    let mut otherwise = with_id(foreign);
    for operator in OPERATORS {
        let named = json!({"properties": {"operator": {"const": operator.name}}, "required": ["operator"]});
        let mut own =
            with_id(object(&[operator.arguments, &[airflow::TASK, airflow::OPERATOR]].concat(), false));
        own["description"] = json!(operator.text);
        otherwise = json!({"if": named, "then": own, "else": otherwise});
    }
    let names: Vec<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
    let operator = json!({"anyOf": [{"enum": names}, {"type": "string", "pattern": IMPORT}, variable()]});
    otherwise["properties"] = json!({"operator": operator});
    otherwise["required"] = json!(["operator"]);
    otherwise["type"] = json!("object");
    otherwise
}

fn object(tables: &[&[Argument]], is_open: bool) -> Value {
    let mut properties = Map::new();
    for argument in tables.iter().flat_map(|table| table.iter()) {
        properties.entry(argument.name).or_insert_with(|| property(argument));
    }
    json!({"type": "object", "properties": properties, "additionalProperties": is_open})
}

fn property(argument: &Argument) -> Value {
    let mut choices = vec![of_kind(argument.kind)];
    if argument.name == "tasks" {
        let listed = json!({"allOf": [of("task")], "required": ["task_id"]});
        choices = vec![
            json!({"type": "object", "minProperties": 1, "propertyNames": {"pattern": ID}, "additionalProperties": of("task")}),
            json!({"type": "array", "minItems": 1, "items": listed}),
        ];
    } else if argument.name == "task_groups" {
        choices = vec![
            json!({"type": "object", "additionalProperties": {"anyOf": [of("group"), {"type": "null"}]}}),
        ];
    }
    if argument.is_nullable {
        choices.push(json!({"type": "null"}));
    }
    if argument.is_template {
        choices.push(json!({"type": "string", "pattern": TEMPLATE}));
    } else if !matches!(argument.kind, Kind::Any | Kind::Text) {
        choices.push(variable());
    }
    let mut schema = if choices.len() == 1 { choices.remove(0) } else { json!({"anyOf": choices}) };
    schema["description"] = json!(argument.text);
    schema
}

fn variable() -> Value {
    json!({"type": "string", "pattern": VARIABLE})
}

fn of_kind(kind: Kind) -> Value {
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern});
    match kind {
        Kind::Any => json!({}),
        Kind::Text | Kind::Url => json!({"type": "string"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Integer { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Number { least } => json!({"type": "number", "minimum": least}),
        Kind::FlagOrNumber => json!({"anyOf": [{"type": "boolean"}, {"type": "number", "minimum": 0}]}),
        Kind::Duration => json!({"anyOf": [{"type": "number", "minimum": 0}, text(DURATION)]}),
        Kind::Moment | Kind::MomentText => text(MOMENT),
        Kind::Schedule => schedule(),
        Kind::Choice(known) => json!({"enum": known}),
        Kind::ChoiceOrImport(known) => json!({"anyOf": [{"enum": known}, text(IMPORT)]}),
        Kind::Import => text(IMPORT),
        Kind::Imports => {
            json!({"anyOf": [text(IMPORT), {"type": "array", "minItems": 1, "items": text(IMPORT)}]})
        }
        Kind::ImportMap => json!({"type": "object", "additionalProperties": text(IMPORT)}),
        Kind::Assets => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Map | Kind::OperatorOptions => json!({"type": "object"}),
        Kind::DefaultArgs => of("default_args"),
        Kind::List { of, least } => {
            json!({"type": "array", "minItems": least, "items": {"anyOf": [of_kind(*of), variable()]}})
        }
        Kind::OneOrList(of) => json!({"anyOf": [of_kind(*of), {"type": "array", "items": of_kind(*of)}]}),
        Kind::Range => json!({"type": "array", "minItems": 2, "maxItems": 2, "items": text(MOMENT)}),
        Kind::Timeframe => json!({"enum": Timeframe::names().collect::<Vec<_>>()}),
        Kind::DataType => json!({"enum": DataType::ALL.map(DataType::name)}),
        Kind::Series => text(r"^[^/]+/[^/]+/[^/]+/[^/]+$"),
    }
}

fn schedule() -> Value {
    let duration = of_kind(Kind::Duration);
    let assets = json!({"type": "array", "minItems": 1, "items": {"type": "string"}});
    let one = |name: &str, value: Value| json!({"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": false});
    json!({"anyOf": [
        {"enum": PRESETS},
        {"type": "string", "pattern": r"^\S+( +\S+){4,5}$"},
        one("every", duration),
        one("assets", assets),
        {"type": "object", "properties": {"timetable": of_kind(Kind::Import)}, "required": ["timetable"]},
    ]})
}
