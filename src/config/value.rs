//! What a check gives: plain values, and DAGs made of them. Nothing in here is wrong any more.

use crate::time_range::Millis;

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name, in their written order.
    Map(Vec<(String, Value)>),
    /// A duration in milliseconds.
    Duration(Millis),
    /// A moment in milliseconds since 1970 UTC.
    Moment(Millis),
    /// An object that only Python can make: how (`import`, `import_map`, `assets`, `timetable`), and from what.
    Reference(&'static str, Box<Value>),
}

/// Arguments of one call, in their written order.
pub type Arguments = Vec<(String, Value)>;

/// A DAG without mistakes, as far as can be told without Airflow.
#[derive(Debug, Clone, PartialEq)]
pub struct DagSpec {
    /// Its id.
    pub dag_id: String,
    /// `backfill`, `incremental`, `repair` or `tasks`.
    pub kind: &'static str,
    /// Where it is written.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Arguments of Airflow's DAG.
    pub dag: Arguments,
    /// Arguments that every task starts from.
    pub default_args: Option<Arguments>,
    /// Arguments of the builder.
    pub builder: Arguments,
    /// Further arguments of the builder's operator.
    pub operator: Arguments,
    /// Groups, in their written order.
    pub groups: Vec<GroupSpec>,
    /// Tasks, in their written order.
    pub tasks: Vec<TaskSpec>,
}

/// A group of tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
    /// Arguments of Airflow's `TaskGroup`.
    pub arguments: Arguments,
    /// Arguments that every task of the group starts from.
    pub default_args: Option<Arguments>,
    /// Tasks and groups that it waits for.
    pub dependencies: Vec<String>,
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// Its id, without that of its group.
    pub task_id: String,
    /// Import path of the operator.
    pub operator: String,
    /// Where it is written.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Arguments of the operator.
    pub arguments: Arguments,
    /// Arguments that are mapped.
    pub expand: Arguments,
    /// Tasks and groups that it waits for.
    pub dependencies: Vec<String>,
    /// Its group.
    pub group: Option<String>,
}
