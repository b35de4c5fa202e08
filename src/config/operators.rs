//! The package's own operators: one table for each, all in [`OPERATORS`]. `tests/python/test_factory.py` compares them
//! with the signatures and template fields of the classes.

use super::argument::{Argument, Kind, POSITIVE, TEXTS, Tables, argument};

/// Where the classes are.
pub(super) const PACKAGE: &str = "quant_framework.orchestration.operators";

/// An operator of this package.
#[derive(Debug, PartialEq)]
pub(super) struct Operator {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) arguments: Tables,
}

/// Every operator of this package.
pub(super) const OPERATORS: &[Operator] = &[
    FETCH_OHLCV,
    FETCH_OI,
    WRITE_BRONZE,
    WRITE_SILVER,
    VALIDATION,
    GAP_DETECTOR,
    BACKFILL,
    INCREMENTAL,
    REPAIR,
    VALIDATION_WORKFLOW,
    CHECKPOINT_READER,
    CHECKPOINT_WRITER,
];

/// The operator that a short name or an import path means.
pub(super) fn own(name: &str) -> Option<&'static Operator> {
    let short = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
    OPERATORS.iter().find(|operator| operator.name == short)
}

const FETCH_OHLCV: Operator = Operator {
    name: "FetchOHLCVOperator",
    text: "Fetches bars of one series into a staging place.",
    arguments: &[FETCH, PLACES, SOURCE, QUOTA],
};
const FETCH_OI: Operator = Operator {
    name: "FetchOIOperator",
    text: "Fetches open interest of one series into a staging place.",
    arguments: &[FETCH, PLACES, SOURCE, QUOTA],
};
const WRITE_BRONZE: Operator = Operator {
    name: "WriteBronzeOperator",
    text: "Writes what was fetched into the lake.",
    arguments: &[&[STAGED], PLACES],
};
const WRITE_SILVER: Operator = Operator {
    name: "WriteSilverOperator",
    text: "Makes silver of what was written into bronze.",
    arguments: &[
        &[
            argument("written", Kind::Any, "What a write left; by default that of the task before.")
                .nullable()
                .template(),
            argument("series", Kind::Series, "Which series of the lake.").nullable().template(),
            argument("silver", Kind::Url, "URL of the silver lake.").nullable().template(),
        ],
        RANGE,
        PLACES,
    ],
};
const VALIDATION: Operator = Operator {
    name: "ValidationOperator",
    text: "Checks what was fetched, or what the lake holds.",
    arguments: &[
        &[
            STAGED,
            argument("series", Kind::Series, "Which series of the lake.").nullable().template(),
            argument("roll_up", Kind::Timeframe, "Bars of the same market that must add up to these.")
                .nullable(),
            FAIL_ON,
        ],
        CHECKS,
        RANGE,
        PLACES,
    ],
};
const GAP_DETECTOR: Operator = Operator {
    name: "GapDetector",
    text: "Says which bars of a series are missing.",
    arguments: &[
        &[
            argument("series", Kind::Series, "Which series.").required().template(),
            argument("fail_on_gaps", Kind::Flag, "Whether bars that were never asked for fail the task."),
        ],
        RANGE,
        PLACES,
    ],
};
const BACKFILL: Operator = Operator {
    name: "BackfillOperator",
    text: "Fetches what is missing of some series into the lake, resumably.",
    arguments: &[SERIES, RANGE, PLACES, SOURCE, QUOTA],
};
const INCREMENTAL: Operator = Operator {
    name: "IncrementalOperator",
    text: "Fetches what is new of some series into the lake.",
    arguments: &[
        SERIES,
        RANGE,
        &[
            argument("lookback", Kind::Duration, "How far back a run looks, where start is not given.")
                .nullable(),
            OVERLAP,
            argument(
                "lag",
                Kind::Number { least: 0.0 },
                "A bar counts as closed so many seconds after its end.",
            ),
        ],
        PLACES,
        SOURCE,
        QUOTA,
    ],
};
const REPAIR: Operator = Operator {
    name: "RepairOperator",
    text: "Asks again for the holes of stored series.",
    arguments: &[
        &[
            argument("symbols", Kind::List { of: &Kind::Text, least: 1 }, "Markets.").nullable().template(),
            argument("timeframes", Kind::List { of: &Kind::Timeframe, least: 1 }, "Lengths of bars.")
                .template(),
            argument("data_types", Kind::List { of: &Kind::DataType, least: 1 }, "By default ohlcv.")
                .template(),
            argument("only_symbols", TEXTS, "Of symbols, only these.").nullable().template(),
            argument("series", Kind::List { of: &Kind::Series, least: 1 }, "Which series, instead.")
                .nullable()
                .template(),
            argument("holes", Kind::Any, "What to ask for, instead.").nullable().template(),
            ATTEMPTS,
            PAUSE,
            FORCE,
        ],
        RANGE,
        PLACES,
        SOURCE,
        QUOTA,
    ],
};
const VALIDATION_WORKFLOW: Operator = Operator {
    name: "ValidationWorkflowOperator",
    text: "Compares series that should agree.",
    arguments: &[
        &[
            argument("series", Kind::List { of: &Kind::Series, least: 2 }, "Two or more series.")
                .required()
                .template(),
            argument("tolerance", Kind::Number { least: 0.0 }, "By what fraction values may differ."),
            argument("volume_tolerance", Kind::Number { least: 0.0 }, "The same for volumes; null: any.")
                .nullable(),
            argument("reports", Kind::Url, "URL of the place for reports.").nullable().template(),
            argument("write_report", Kind::Flag, "Whether a report is written."),
            argument(
                "backfill_holes",
                Kind::Flag,
                "Whether bars that one source has and another lacks are fetched.",
            ),
            argument("adapter_options", Kind::Map, "Options of the sources' adapters.").nullable(),
            FAIL_ON,
        ],
        CHECKS,
        RANGE,
        PLACES,
        QUOTA,
    ],
};
const CHECKPOINT_READER: Operator = Operator {
    name: "CheckpointReader",
    text: "Reads what is known of a series.",
    arguments: &[&[SERIES_KEY], RANGE, PLACES],
};
const CHECKPOINT_WRITER: Operator = Operator {
    name: "CheckpointWriter",
    text: "Changes what is known of a series.",
    arguments: &[
        &[
            SERIES_KEY,
            argument("action", Kind::Choice(&["merge", "reset", "delete"]), "What is done."),
            argument("data", Kind::List { of: &Kind::Range, least: 0 }, "Ranges whose rows are written.")
                .template(),
            argument("empty", Kind::List { of: &Kind::Range, least: 0 }, "Ranges without rows.").template(),
            argument("cursor", Kind::Text, "Opaque text of a stream.").nullable().template(),
        ],
        PLACES,
    ],
};

/// Of repairs.
pub(super) const ATTEMPTS: Argument =
    argument("attempts", POSITIVE, "A hole that was empty so often is settled.");
pub(super) const PAUSE: Argument =
    argument("pause", Kind::Number { least: 0.0 }, "Seconds between the first two repairs of a hole.");
pub(super) const FORCE: Argument = argument("force", Kind::Flag, "Whether settled holes are asked for too.");
/// Of incremental runs.
pub(super) const OVERLAP: Argument = argument(
    "overlap",
    Kind::Integer { least: 0, most: 100_000 },
    "Known bars before the newest missing ones to ask for again.",
);
const SERIES_KEY: Argument =
    argument("series", Kind::Series, "source/data_type/symbol/timeframe.").required().template();
const STAGED: Argument =
    argument("staged", Kind::Any, "What a fetch left; by default that of the task before.")
        .nullable()
        .template();

const FETCH: &[Argument] = &[
    argument("symbol", Kind::Text, "The source's own name, or BTC.").required().template(),
    argument("timeframe", Kind::Timeframe, "Length of a bar, 1m to 1M.").required().template(),
    argument("start", Kind::MomentText, "First bar.").nullable().template(),
    argument("end", Kind::MomentText, "End, exclusive; by default now.").nullable().template(),
    argument("bars", POSITIVE, "Bars before the end, where there is no start."),
    argument("staging", Kind::Url, "URL of the staging place.").nullable().template(),
];

const SERIES: &[Argument] = &[
    argument("symbols", Kind::List { of: &Kind::Text, least: 1 }, "Markets.").required().template(),
    argument("timeframes", Kind::List { of: &Kind::Timeframe, least: 1 }, "Lengths of bars.")
        .required()
        .template(),
    argument("data_types", Kind::List { of: &Kind::DataType, least: 1 }, "By default ohlcv.").template(),
    argument("only_symbols", TEXTS, "Of symbols, only these.").nullable().template(),
];

const RANGE: &[Argument] = &[
    argument("start", Kind::MomentText, "First bar.").nullable().template(),
    argument("end", Kind::MomentText, "End, exclusive; by default now.").nullable().template(),
];

/// Where rows and what is known of them lie; of every operator.
const PLACES: &[Argument] = &[
    argument("lake", Kind::Url, "URL of the bronze lake.").nullable().template(),
    argument("checkpoint", Kind::Url, "URL of the checkpoints.").nullable().template(),
    argument("minio_conn_id", Kind::Text, "Connection of the S3 server.").nullable().template(),
    argument("postgres_conn_id", Kind::Text, "Connection of the PostgreSQL database.").nullable().template(),
];

/// Of every operator that asks a source.
const SOURCE: &[Argument] = &[
    argument("adapter", Kind::Text, "Name of the source, as source.").nullable(),
    argument("source", Kind::Text, "Name of the source; by default that of the connection.")
        .nullable()
        .template(),
    argument("adapter_options", Kind::Map, "Options of the source's adapter.").nullable(),
    argument("concurrency", POSITIVE, "Requests in flight."),
    argument("resume", Kind::Choice(&["always", "never"]), "Whether checkpoints count."),
];

/// Of every operator that may ask a source: with which key, and whose quota.
const QUOTA: &[Argument] = &[
    argument("market_data_conn_id", Kind::Text, "Connection of the source.").nullable().template(),
    argument("rate_limit", Kind::Url, "URL of the place where workers share the quota.")
        .nullable()
        .template(),
    argument("rate_limit_conn_id", Kind::Text, "Connection of the database of the quota.")
        .nullable()
        .template(),
    argument("max_wait", Kind::Number { least: 0.0 }, "Longest wait for quota, in seconds; null: any.")
        .nullable(),
];

/// Of every operator that looks at rows.
const CHECKS: &[Argument] = &[
    argument("thresholds", Kind::Map, "From where on something is a finding, by name.").nullable(),
    argument("checks", TEXTS, "Ids or codes of the checks that count; by default all.").nullable(),
];

const FAIL_ON: Argument =
    argument("fail_on", Kind::Choice(&["error", "warning", "never"]), "The least that fails the task.");
