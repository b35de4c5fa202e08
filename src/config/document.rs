//! One file as its parts: what DAGs inherit, and the DAGs. Where one DAG is wanted, no more than its lines is read.

use super::argument::find;
use super::builders::DEFAULTS;
use super::defaults::is_for_folder;
use super::environment::Environment;
use super::problem::{At, Fault};
use super::prune::{Cut, Lines, cut};
use super::tree::{Data, Entry, Map, Node, parse};

/// A file to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// As messages shall show it; `/` between folders.
    pub path: String,
    /// What is in it, or in which line it cannot be read, and why.
    pub text: Result<String, (u32, String)>,
}

/// The parts of one file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) file: u32,
    pub(super) defaults: Option<Node>,
    pub(super) dags: Option<Map>,
    pub(super) faults: Vec<Fault>,
}

/// The parts of `source`, which is number `file`.
pub(super) fn read(source: &File, file: u32, known: &Environment) -> Document {
    let mut document = Document { file, ..Document::default() };
    let root = source.text.as_deref().map_err(|(line, message)| unreadable(file, *line, message));
    match root.and_then(|text| parse(text, file, 1, known)) {
        Ok(root) => document.root(root.filter(|node| node.data != Data::Null), is_for_folder(&source.path)),
        Err(fault) => document.faults.push(fault),
    }
    document
}

fn unreadable(file: u32, line: u32, message: &str) -> Fault {
    Fault::new(At { file, line, column: 1 }, message)
}

/// The parts of `source` that the DAG `wanted` depends on; `None` where there are none.
pub(super) fn read_wanted(source: &File, file: u32, known: &Environment, wanted: &str) -> Option<Document> {
    let text = source.text.as_deref().unwrap_or_default();
    if !text.contains(wanted) && !is_for_folder(&source.path) {
        return None;
    }
    if let Cut::Found { defaults, dag } = cut(text, wanted)
        && source.text.is_ok()
        && let Some(defaults) = block("defaults", defaults, file, known)
        && let Some(dags) = block(wanted, dag, file, known)
    {
        let defaults = defaults.and_then(|mut map| map.entries.pop()).map(|entry| entry.value);
        return Some(Document { file, defaults, dags, faults: Vec::new() });
    }
    let mut document = read(source, file, known);
    let is_wanted = |map: &mut Map| {
        map.entries.retain(|entry| entry.key == wanted);
        map.duplicates.retain(|(key, ..)| key == wanted);
        !map.entries.is_empty()
    };
    document.dags = document.dags.take().and_then(|mut map| is_wanted(&mut map).then_some(map));
    Some(document)
}

/// The mapping in lines that were cut out; `None` where it is not what it looked like.
#[expect(clippy::option_option, reason = "no lines are no mapping")]
fn block(key: &str, lines: Option<Lines<'_>>, file: u32, known: &Environment) -> Option<Option<Map>> {
    let Some((first, lines)) = lines else { return Some(None) };
    match parse(lines, file, first, known).ok()??.data {
        Data::Map(map) if map.entries.len() == 1 && map.entries[0].key == key => Some(Some(map)),
        _ => None,
    }
}

impl Document {
    fn root(&mut self, root: Option<Node>, is_for_folder: bool) {
        let begin = At { file: self.file, line: 1, column: 1 };
        let is_empty = root.is_none();
        let map = match root.map(|node| (node.at, node.data)) {
            Some((_, Data::Map(map))) => map,
            None => Map::default(),
            Some((at, _)) => {
                return self.faults.push(Fault::new(at, "the file must be a mapping with a key dags"));
            }
        };
        for (key, at, first) in &map.duplicates {
            let message = format!("key {key:?} is there twice, first in line {}", first.line);
            self.faults.push(Fault::new(*at, message));
        }
        let has_dags = map.get("dags").is_some() || is_for_folder;
        for entry in map.entries {
            self.top_level(entry);
        }
        if !has_dags && self.faults.is_empty() {
            let what = if is_empty { "the file is empty" } else { "\"dags\" is missing" };
            self.faults.push(Fault::new(begin, what));
        }
    }

    fn top_level(&mut self, entry: Entry) {
        match (entry.key.as_str(), entry.value.data) {
            ("defaults", Data::Null) => {}
            ("defaults", data) => self.defaults = Some(Node { data, ..entry.value }),
            ("dags", Data::Map(map)) => self.dags = Some(map),
            ("dags", Data::Null) => self.faults.push(Fault::new(entry.at, "dags is empty")),
            ("dags", _) => {
                self.faults.push(Fault::new(entry.value.at, "dags must be a mapping of ids to DAGs"));
            }
            (key, _) => {
                let fault = Fault::new(entry.at, format!("unknown key {key:?} in the file"));
                let is_default = find(DEFAULTS, key).is_some();
                self.faults.push(if is_default {
                    fault.hint("put it below defaults, or below a DAG")
                } else {
                    fault.suggest(key, ["dags", "defaults"])
                });
            }
        }
    }
}
