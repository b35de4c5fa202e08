//! What a DAG of each type may say beside Airflow's own arguments.

use super::airflow;
use super::argument::{Argument, Kind, Tables, argument};
use super::operators::{ATTEMPTS, FORCE, OVERLAP, PAUSE};

/// A way to make a DAG.
#[derive(Debug, PartialEq)]
pub(super) struct Builder {
    /// What `type` says.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) arguments: Tables,
    /// The operator that it makes; a DAG of tasks names its own.
    pub(super) operator: Option<&'static str>,
}

/// Every way to make a DAG.
pub(super) const BUILDERS: &[Builder] = &[
    Builder {
        name: "backfill",
        text: "One mapped task for each series; each fetches what is missing between start and end.",
        arguments: &[COMMON],
        operator: Some("BackfillOperator"),
    },
    Builder {
        name: "incremental",
        text: "One mapped task for each series; each fetches what is new.",
        arguments: &[COMMON, INCREMENTAL],
        operator: Some("IncrementalOperator"),
    },
    Builder {
        name: "repair",
        text: "One mapped task for each series; each asks again for its holes.",
        arguments: &[COMMON, REPAIR],
        operator: Some("RepairOperator"),
    },
    Builder { name: "tasks", text: "Tasks, one by one.", arguments: &[TASKS], operator: None },
];

/// Of every DAG.
pub(super) const ANY_DAG: &[Argument] = &[argument(
    "type",
    Kind::Choice(&["backfill", "incremental", "repair", "tasks"]),
    "How the DAG is made.",
)];

const COMMON: &[Argument] = &[
    argument("symbols", Kind::List { of: &Kind::Text, least: 1 }, "Markets: the source's names, or BTC.")
        .required(),
    argument("timeframes", Kind::List { of: &Kind::Timeframe, least: 1 }, "Lengths of bars, 1m to 1M.")
        .required(),
    argument("source", Kind::Text, "Name of the source; by default that of the connection.").nullable(),
    argument(
        "data_types",
        Kind::List { of: &Kind::DataType, least: 1 },
        "What is fetched; by default ohlcv.",
    ),
    argument("start", Kind::MomentText, "First bar; may be given when the DAG is triggered.").nullable(),
    argument("end", Kind::MomentText, "End, exclusive; by default now.").nullable(),
    argument("lake", Kind::Url, "URL of the bronze lake.").nullable(),
    argument("checkpoint", Kind::Url, "URL of the checkpoints.").nullable(),
    argument("minio_conn_id", Kind::Text, "Connection of the S3 server.").nullable(),
    argument("postgres_conn_id", Kind::Text, "Connection of the PostgreSQL database.").nullable(),
    argument("rate_limit", Kind::Url, "URL of the place where all workers share the quota.").nullable(),
    argument("rate_limit_conn_id", Kind::Text, "Connection of the database where they share it.").nullable(),
    argument("market_data_conn_id", Kind::Text, "Connection of the source.").nullable(),
    argument("adapter_options", Kind::Map, "Options of the source's adapter.").nullable(),
    argument("pool", Kind::Text, "Airflow pool of the tasks.").nullable(),
    argument("outlets", Kind::Assets, "Assets that the tasks update.").nullable(),
    argument("silver", Kind::Flag, "Whether a last task makes silver of what the others wrote."),
    argument("operator", Kind::OperatorOptions, "Further arguments of the tasks' operator.").nullable(),
];

const INCREMENTAL: &[Argument] = &[
    argument("lookback", Kind::Duration, "How far back a run looks, where start is not given.").nullable(),
    OVERLAP,
    argument("lag", Kind::Number { least: 0.0 }, "A bar counts as closed so many seconds after its end."),
];

const REPAIR: &[Argument] = &[ATTEMPTS, PAUSE, FORCE];

const TASKS: &[Argument] = &[
    argument("tasks", Kind::Map, "Tasks by their ids; or a list of tasks with task_id.").required(),
    argument("task_groups", Kind::Map, "Groups by their names; a task says task_group_name."),
];

/// Every argument that some DAG knows, for `defaults`.
pub(super) const DEFAULTS: Tables = &[ANY_DAG, airflow::DAG, COMMON, INCREMENTAL, REPAIR];
