//! The whole check: files to trees, defaults to DAGs, DAGs to specs, and everything that is wrong on the way.

use std::collections::HashMap;

use super::dag;
use super::defaults::{self, covers, inherit, is_for_folder};
use super::document::{Document, File, read, read_wanted};
use super::environment::Environment;
use super::problem::{At, Fault, Problem};
use super::tree::{Data, Map, Node};
use super::value::DagSpec;

/// What a check finds.
#[derive(Debug, Default)]
pub struct Checked {
    /// DAGs without mistakes, in the order of the files.
    pub dags: Vec<DagSpec>,
    /// What cannot be a DAG.
    pub broken: Vec<Broken>,
    /// Everything that is wrong, by place; each once.
    pub problems: Vec<Problem>,
}

/// A DAG with mistakes, or a file (without id) whose DAGs are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The DAG's id.
    pub dag_id: Option<String>,
    /// Where it is written.
    pub file: String,
    /// Everything that is wrong with it.
    pub problems: Vec<Problem>,
}

/// Checks `files`. Where only the DAG `wanted` matters, little more than its lines is read, and mistakes elsewhere are
/// not told; where there is none of that name, everything is checked.
pub fn check(files: &[File], environment: &Environment, wanted: Option<&str>) -> Checked {
    if let Some(wanted) = wanted {
        let found =
            (0..).zip(files).filter_map(|(file, source)| read_wanted(source, file, environment, wanted));
        let documents: Vec<Document> = found.collect();
        if documents.iter().any(|document| document.dags.is_some()) {
            return assemble(documents, files);
        }
    }
    let documents = (0..).zip(files).map(|(file, source)| read(source, file, environment));
    assemble(documents.collect(), files)
}

/// What a file gives to those in and below its folder.
struct Section<'a> {
    path: &'a str,
    map: Map,
    faults: Vec<Fault>,
}

fn assemble(documents: Vec<Document>, files: &[File]) -> Checked {
    let folders = folder_defaults(&documents, files);
    let mut checked = Checked::default();
    for document in documents {
        let path = files[document.file as usize].path.as_str();
        let (mut merged, mut faults) = (Map::default(), document.faults);
        if let Some(section) = &document.defaults {
            faults.extend(defaults::check(section));
            inherit(&mut merged, &map_of(section));
        }
        let dags = document.dags.unwrap_or_default();
        if dags.entries.is_empty() {
            checked.broken_file(&faults, path, files);
        }
        for section in folders.iter().filter(|section| section.path != path && covers(section.path, path)) {
            inherit(&mut merged, &section.map);
            faults.extend(section.faults.iter().cloned());
        }
        let defaults = (!merged.entries.is_empty()).then_some(&merged);
        checked.dags(dags, defaults, &faults, path, files);
    }
    checked.refuse_twice();
    checked.tell();
    checked
}

/// What the files that hold for a folder give; nearest first. Whoever inherits from one that is wrong is wrong as well.
fn folder_defaults<'a>(documents: &[Document], files: &'a [File]) -> Vec<Section<'a>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    for document in documents {
        let path = files[document.file as usize].path.as_str();
        if is_for_folder(path) {
            let mut faults = document.faults.clone();
            faults.extend(document.defaults.iter().flat_map(defaults::check));
            let folder = |path: &str| path.rfind('/').map(|slash| path[..slash].to_owned());
            if let Some(other) = found.iter().find(|other| folder(other.path) == folder(path)) {
                let at = At { file: document.file, line: 1, column: 1 };
                faults.push(Fault::new(at, format!("{} holds for this folder already", other.path)));
            }
            found.push(Section {
                path,
                map: document.defaults.as_ref().map(map_of).unwrap_or_default(),
                faults,
            });
        }
    }
    found.sort_by_key(|section| std::cmp::Reverse(section.path.matches('/').count()));
    found
}

fn map_of(section: &Node) -> Map {
    match &section.data {
        Data::Map(map) => map.clone(),
        _ => Map::default(),
    }
}

impl Checked {
    fn broken_file(&mut self, faults: &[Fault], path: &str, files: &[File]) {
        if faults.is_empty() {
            return;
        }
        let problems = faults.iter().map(|fault| fault.problem(files, None)).collect();
        self.broken.push(Broken { dag_id: None, file: path.to_owned(), problems });
    }

    fn dags(&mut self, dags: Map, defaults: Option<&Map>, inherited: &[Fault], path: &str, files: &[File]) {
        let twice: HashMap<String, Vec<Fault>> =
            dags.duplicates.iter().fold(HashMap::new(), |mut found, twice| {
                let (id, at, first) = twice;
                let message =
                    format!("DAG {id:?} is there twice, first at {path}:{}:{}", first.line, first.column);
                found.entry(id.clone()).or_default().push(Fault::new(*at, message));
                found
            });
        for entry in dags.entries {
            let id = entry.key.clone();
            let of_defaults = inherited.iter().map(|fault| fault.problem(files, None));
            let mut problems: Vec<Problem> = of_defaults.collect();
            let of_dag = |fault: &Fault| fault.problem(files, Some(&id));
            problems.extend(twice.get(&id).into_iter().flatten().map(of_dag));
            match dag::check(entry, defaults, path) {
                Ok(spec) if problems.is_empty() => {
                    self.dags.push(spec);
                    continue;
                }
                Ok(_) => {}
                Err(faults) => {
                    let is_told = |fault: &&Fault| inherited.iter().any(|known| known.at == fault.at);
                    problems.extend(faults.iter().filter(|fault| !is_told(fault)).map(of_dag));
                }
            }
            self.broken.push(Broken { dag_id: Some(id), file: path.to_owned(), problems });
        }
    }

    /// DAGs of one id in several files: none of them is to be trusted.
    fn refuse_twice(&mut self) {
        let mut places: HashMap<&str, &DagSpec> = HashMap::new();
        let mut refused: Vec<Broken> = Vec::new();
        for spec in &self.dags {
            let Some(first) = places.get(spec.dag_id.as_str()) else {
                places.insert(&spec.dag_id, spec);
                continue;
            };
            let place = format!("{}:{}:{}", first.file, first.line, first.column);
            let problem = Problem {
                file: spec.file.clone(),
                line: spec.line,
                column: spec.column,
                message: format!("DAG {:?} is there twice, first at {place}", spec.dag_id),
                suggestion: None,
                hint: None,
                dag_id: Some(spec.dag_id.clone()),
            };
            let dag_id = Some(spec.dag_id.clone());
            refused.push(Broken { dag_id, file: spec.file.clone(), problems: vec![problem] });
        }
        self.dags.retain(|spec| !refused.iter().any(|broken| broken.dag_id.as_ref() == Some(&spec.dag_id)));
        self.broken.append(&mut refused);
        let is_broken =
            |spec: &DagSpec| self.broken.iter().any(|broken| broken.dag_id.as_ref() == Some(&spec.dag_id));
        let unsure: Vec<bool> = self.dags.iter().map(is_broken).collect();
        let mut unsure = unsure.into_iter();
        self.dags.retain(|_| !unsure.next().unwrap_or_default());
    }

    /// Gathers what is wrong, each once, by place.
    fn tell(&mut self) {
        let mut all: Vec<Problem> =
            self.broken.iter().flat_map(|broken| broken.problems.iter().cloned()).collect();
        all.sort_by(|a, b| {
            (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message))
        });
        all.dedup_by(|a, b| {
            (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message)
        });
        self.problems = all;
    }
}
