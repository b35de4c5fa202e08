//! Rules about the code itself: which module may use which, who names what.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Layers of `src`, lowest first; a module may use those of its own and lower layers.
const LAYERS: [&[&str]; 8] = [
    &[
        "cancel",
        "certificates",
        "clock",
        "coverage",
        "error",
        "per_process",
        "secret",
        "series",
        "time_range",
        "timeframe",
        "unique",
    ],
    &["records", "report", "retry"],
    &["ports"],
    &["chunking", "processing", "quality", "rate_limit", "disk"],
    &["database", "objects"],
    &["adapters", "checkpoint", "lake", "quota"],
    &["config", "workflows"],
    &["python"],
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root()).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn arrows_point_one_way_and_every_module_has_a_layer() {
    for path in sources(&root()) {
        let own = module(&path);
        if own == "lib" {
            continue;
        }
        let own_layer = layer(&own).unwrap_or_else(|| panic!("{own} has no layer in this test"));
        let text = fs::read_to_string(&path).unwrap();
        for used in text.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let Some(used_layer) = layer(&used) else { continue };
            let siblings = used_layer == own_layer && own_layer >= 5 && used != own;
            assert!(used_layer <= own_layer && !siblings, "{}: {own} uses {used}", path.display());
        }
    }
}

#[test]
fn only_the_binding_names_the_interpreter_and_only_the_clock_reads_time() {
    for path in sources(&root()) {
        let (own, text) = (module(&path), fs::read_to_string(&path).unwrap());
        assert!(own == "python" || own == "lib" || !text.contains("pyo3"), "{}", path.display());
        let exempt = text.matches("clippy::disallowed_methods").count();
        let allowed = matches!(own.as_str(), "clock" | "python");
        assert!(exempt == 0 || allowed, "{} lifts the ban on clocks and environment", path.display());
    }
}

#[test]
fn files_stay_short() {
    for path in sources(&root()) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
