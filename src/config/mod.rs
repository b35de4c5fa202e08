//! DAGs as YAML: [`check`] turns the texts of files into [`DagSpec`]s, and tells everything that is wrong with them at
//! once, each [`Problem`] with its file, line and column. Nothing here reads a file, the environment or a clock.
//!
//! Texts become trees with places (`tree.rs`, `environment.rs`), DAGs inherit (`defaults.rs`), and every key is looked up
//! in tables (`airflow.rs`, `builders.rs`, `operators.rs`), from which [`json_schema`] is made as well.

mod airflow;
mod argument;
mod builders;
mod check;
mod dag;
mod defaults;
mod document;
mod environment;
mod graph;
mod operators;
mod problem;
mod prune;
mod schema;
mod sections;
mod tasks;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod value;
mod values;

pub use check::{Broken, Checked, check};
pub use document::File;
pub use environment::Environment;
pub use problem::Problem;
pub use schema::json_schema;
pub use value::{Arguments, DagSpec, GroupSpec, TaskSpec, Value};
