//! What DAGs inherit: the `defaults` of their own file, then those of the files `defaults.yaml` in their folder and
//! in the folders above. The nearer value wins; mappings are merged key by key, `tags` are united.

use super::argument::{find, names};
use super::builders::DEFAULTS;
use super::dag::OWN_OPERATORS;
use super::problem::Fault;
use super::sections::default_args;
use super::tree::{Data, Entry, Map, Node};
use super::values::Checker;

/// Adds to `own` what it inherits from `farther`.
pub(super) fn inherit(own: &mut Map, farther: &Map) {
    for entry in &farther.entries {
        match own.entries.iter_mut().find(|near| near.key == entry.key) {
            Some(near) => unite(near, entry),
            None => own.entries.push(inherited(entry)),
        }
    }
}

fn inherited(entry: &Entry) -> Entry {
    let mut entry = Entry { is_inherited: true, ..entry.clone() };
    if let Data::Map(map) = &mut entry.value.data {
        map.entries = map.entries.iter().map(inherited).collect();
    }
    entry
}

fn unite(near: &mut Entry, far: &Entry) {
    match (&mut near.value.data, &far.value.data) {
        // Two schedules do not make one.
        (Data::Map(near_map), Data::Map(far_map)) if near.key != "schedule" => inherit(near_map, far_map),
        (Data::List(near_tags), Data::List(far_tags)) if near.key == "tags" => {
            let new = |tag: &&Node| !far_tags.iter().any(|known| known.data == tag.data);
            let more: Vec<Node> = near_tags.iter().filter(new).cloned().collect();
            *near_tags = far_tags.iter().cloned().chain(more).collect();
        }
        _ => {}
    }
}

/// Whether a path is that of a file whose `defaults` hold for its folder.
pub(super) fn is_for_folder(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("defaults.yaml" | "defaults.yml"))
}

/// Whether what the defaults file `path` says holds for `file`.
pub(super) fn covers(path: &str, file: &str) -> bool {
    let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
    file.starts_with(folder)
}

/// What is wrong with the section `defaults`; every DAG that inherits from it is as wrong.
pub(super) fn check(section: &Node) -> Vec<Fault> {
    let mut checker = Checker::default();
    let Data::Map(map) = &section.data else {
        checker.value(section, "defaults", super::argument::Kind::Map, false);
        return checker.faults;
    };
    checker.duplicates(map, "key");
    for entry in &map.entries {
        match find(DEFAULTS, &entry.key) {
            Some(argument) if argument.name == "default_args" => {
                default_args(&mut checker, &entry.value, OWN_OPERATORS, true, "defaults");
            }
            Some(argument) => {
                checker.argument(&entry.value, argument);
            }
            None => {
                let fault = Fault::new(entry.at, format!("unknown key {:?} in defaults", entry.key));
                checker.fault(fault.suggest(&entry.key, names(DEFAULTS)));
            }
        }
    }
    checker.faults
}
