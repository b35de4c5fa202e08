//! What may stand at each key, with the place and the text of each refusal.

use super::*;

/// A line of a backfill DAG, and what is said of it.
const VALUES: &[(&str, &str)] = &[
    ("shedule: null", "5: unknown key \"shedule\" in DAG d (did you mean \"schedule\"?)"),
    ("max_active_run: 1", "5: unknown key \"max_active_run\" in DAG d (did you mean \"max_active_runs\"?)"),
    ("zzz: 1", "5: unknown key \"zzz\" in DAG d"),
    ("source: 7", "13: source must be a text, not 7 (hint: put it in quotes)"),
    ("catchup: yes", "14: catchup must be true or false, not \"yes\" (hint: write true)"),
    ("description: 5", "18: description must be a text, not 5 (hint: put it in quotes)"),
    ("max_active_runs: -1", "22: max_active_runs must be a whole number of at least 0, not -1"),
    ("max_active_runs: 1.5", "22: max_active_runs must be a whole number of at least 0, not 1.5"),
    ("max_active_runs: null", "22: max_active_runs must be a whole number of at least 0, not nothing"),
    (
        "data_types: [ohlvc]",
        "18: unknown data type \"ohlvc\"; use one of ohlcv, open_interest, funding_rate, liquidations, long_short_ratio (did you mean \"ohlcv\"?)",
    ),
    ("data_types: []", "17: data_types is empty"),
    ("tags: {a: 1}", "11: tags must be a list, not a mapping"),
    (
        "dagrun_timeout: 5x",
        "21: dagrun_timeout must be a duration (90s, 5m, 2h, 1d, PT5M or seconds), not \"5x\"",
    ),
    (
        "dagrun_timeout: -5",
        "21: dagrun_timeout must be a duration (90s, 5m, 2h, 1d, PT5M or seconds), not -5",
    ),
    (
        "start: 2026-01-01T00:00:00",
        "12: start must be a moment with a time zone, not \"2026-01-01T00:00:00\" (hint: add Z or +00:00)",
    ),
    (
        "start: 2026-02-30",
        "12: start must be a moment with a time zone, not \"2026-02-30\" (hint: such as 2026-01-01 or 2026-01-01T00:00:00Z)",
    ),
    (
        "start: -2026-01-01",
        "12: start must be a moment with a time zone, not \"-2026-01-01\" (hint: of the years 1 to 9999)",
    ),
    (
        "lake: s3://a:geheim@b/c",
        "11: lake holds a password (hint: use postgres_conn_id or minio_conn_id, or PGPASSWORD)",
    ),
    (
        "checkpoint: \"hybrid:s3://b/c,postgresql://h/d?password=geheim\"",
        "17: checkpoint holds a password (hint: use postgres_conn_id or minio_conn_id, or PGPASSWORD)",
    ),
    (
        "on_failure_callback: notify",
        "26: on_failure_callback must be an import path such as package.module.name, or a list of them, not \"notify\"",
    ),
    (
        "default_args: {retrys: 3}",
        "20: unknown key \"retrys\" in default_args of DAG d (did you mean \"retries\"?)",
    ),
    ("default_args: {bash_command: ls}", "20: unknown key \"bash_command\" in default_args of DAG d"),
    (
        "default_args: {retry_delay: soon}",
        "33: retry_delay must be a duration (90s, 5m, 2h, 1d, PT5M or seconds), not \"soon\"",
    ),
    (
        "operator: {concurency: 3}",
        "16: unknown key \"concurency\" in operator of DAG d (did you mean \"concurrency\"?)",
    ),
    ("operator: {concurrency: 0}", "29: concurrency must be a whole number of at least 1, not 0"),
    ("operator: {symbols: [A]}", "16: \"symbols\" stands in DAG d, not in its operator (hint: move it up)"),
    ("symbols: [ETH]", "5: key \"symbols\" is there twice, first in line 4"),
    ("lookback: 2h", "5: unknown key \"lookback\" in DAG d"),
    ("params: {a: {b: 1, b: 2}}", "24: key \"b\" is there twice, first in line 6"),
    ("params: {a: !Foo b}", "17: unknown tag !Foo"),
    ("params: {a: \"${NOBODY}\"}", "17: environment variable NOBODY is not set"),
    ("params: {a: \"${NOBODY\"}", "17: ${ without its }"),
    ("params: {a: \"${NO BODY}\"}", "17: ${NO BODY} is not a variable: write ${NAME} or ${NAME:-default}"),
    (
        "max_active_runs: ${SECRET}",
        "22: max_active_runs must be a whole number of at least 0, not the value of ${SECRET}",
    ),
    ("schedule: ${SECRET}", "15: schedule: the value of ${SECRET} is no cron text"),
    (
        "data_types: [\"${SECRET}\"]",
        "18: unknown data type \"${SECRET}\"; use one of ohlcv, open_interest, funding_rate, liquidations, long_short_ratio",
    ),
];

#[test]
fn values_are_of_their_kind_and_the_place_is_that_of_the_value() {
    for (line, expected) in VALUES {
        assert_eq!(problem(&backfill(line)), format!("dags/a.yaml:6:{expected}"), "{line}");
    }
}

#[test]
fn schedules_are_cron_presets_durations_assets_or_timetables() {
    for (schedule, expected) in [
        ("\"0 2 * *\"", "15: schedule: a cron text has 5 or 6 fields, not 4"),
        ("5m", "15: schedule: a cron text has 5 or 6 fields, not 1 (hint: write schedule: {every: ...})"),
        ("\"0 25 * * *\"", "15: schedule: \"25\" is no hour of a cron text (0 to 23)"),
        ("\"0 0 * foo *\"", "15: schedule: \"foo\" is no month of a cron text (1 to 12)"),
        ("\"*/0 * * * *\"", "15: schedule: \"*/0\" is no minute of a cron text (0 to 59)"),
        (
            "\"@dayly\"",
            "15: unknown preset \"@dayly\" (did you mean \"@daily\"?) (hint: @once, @continuous, @hourly, @daily, @midnight, @weekly, @monthly, @quarterly, @yearly, @annually)",
        ),
        ("{every: 0s}", "23: every must be longer than nothing"),
        ("{evry: 6h}", "16: unknown key \"evry\" in schedule (did you mean \"every\"?)"),
        ("{every: 6h, assets: [a]}", "27: unknown key \"assets\" in schedule (did you mean \"assets\"?)"),
        ("{assets: []}", "24: assets is empty"),
        (
            "{timetable: Mine}",
            "27: timetable must be an import path such as package.module.name, not \"Mine\"",
        ),
        (
            "7",
            "15: schedule must be a cron text, a preset, {every: 6h}, {assets: [...]} or {timetable: ...}, not 7",
        ),
    ] {
        let found = problem(&backfill(&format!("schedule: {schedule}")));
        assert_eq!(found, format!("dags/a.yaml:6:{expected}"), "{schedule}");
    }
    let reference = |how, from| Value::Reference(how, Box::new(from));
    let text = |text: &str| Value::Text(text.to_owned());
    let options = vec![("timezone".to_owned(), text("UTC")), ("delta".to_owned(), Value::Duration(1000))];
    for (schedule, expected) in [
        ("null", Value::Null),
        ("\"*/5 8-18 1,15 jan-mar mon#2\"", text("*/5 8-18 1,15 jan-mar mon#2")),
        ("\"0 0 * * * 30\"", text("0 0 * * * 30")),
        ("\"@daily\"", text("@daily")),
        ("{every: 1h30m}", Value::Duration(5_400_000)),
        ("{assets: [a]}", reference("assets", Value::List(vec![text("a")]))),
        (
            "{timetable: a.B, timezone: UTC, delta: {every: 1s}}",
            reference("timetable", Value::List(vec![text("a.B"), Value::Map(options)])),
        ),
    ] {
        assert_eq!(
            value(&dag(&backfill(&format!("schedule: {schedule}"))).dag, "schedule"),
            &expected,
            "{schedule}"
        );
    }
}

#[test]
fn what_is_missing_is_told_at_the_dag() {
    let found = problems("dags:\n  d:\n    type: backfill\n");
    assert_eq!(
        found,
        [
            "dags/a.yaml:2:3: \"symbols\" is missing in DAG d",
            "dags/a.yaml:2:3: \"timeframes\" is missing in DAG d"
        ]
    );
    assert_eq!(problem("dags:\n  d: {type: tasks}\n"), "dags/a.yaml:2:3: \"tasks\" is missing in DAG d");
}

/// A task, and what is said of it.
const TASKS: &[(&str, &str)] = &[
    ("b: {}", "7: \"operator\" is missing in task b of DAG d"),
    (
        "b: {operator: BackfilOperator}",
        "21: unknown operator \"BackfilOperator\" (did you mean \"BackfillOperator\"?) (hint: an operator of this package, or an import path)",
    ),
    (
        "b: {operator: FetchOI}",
        "21: unknown operator \"FetchOI\" (did you mean \"FetchOIOperator\"?) (hint: an operator of this package, or an import path)",
    ),
    (
        "b: {operator: x.Y, dependencies: [aa]}",
        "41: b waits for \"aa\", which is not in DAG d (did you mean \"a\"?)",
    ),
    ("b: {operator: x.Y, dependencies: [b]}", "41: tasks wait for each other: b -> b"),
    ("b: {operator: x.Y, dependencies: a}", "40: dependencies must be a list, not \"a\""),
    ("b: {operator: x.Y, task_group_name: g}", "43: unknown task group \"g\" in DAG d"),
    ("a: {operator: x.Y}", "7: task \"a\" is there twice, first in line 4"),
    (
        "\"b c\": {operator: x.Y}",
        "7: task id \"b c\" of DAG d has other characters (hint: letters, digits and -._~, at most 250)",
    ),
    ("b: {operator: x.Y, retries: many}", "35: retries must be a whole number of at least 0, not \"many\""),
    (
        "b: {operator: x.Y, trigger_rule: all_don}",
        "40: trigger_rule must be one of all_success, all_failed, all_done, all_done_min_one_success, all_done_setup_success, one_success, one_failed, one_done, none_failed, none_skipped, always, none_failed_min_one_success, all_skipped, not \"all_don\" (did you mean \"all_done\"?)",
    ),
    (
        "b: {operator: x.Y, python_callable: f}",
        "43: python_callable must be an import path such as package.module.name, not \"f\"",
    ),
    (
        "b: {operator: x.Y, my_callback: [f]}",
        "40: my_callback must be an import path such as package.module.name, not \"f\"",
    ),
    ("b: {operator: x.Y, expand: {}}", "26: expand is empty"),
    ("b: {operator: x.Y, expand: {e: 3}}", "38: e must be a list, not 3"),
    ("b: {operator: x.Y, e: 1, expand: {e: [3]}}", "41: \"e\" is in task b of DAG d and in its expand"),
    ("b: {operator: FetchOIOperator, symbol: BTC}", "7: \"timeframe\" is missing in task b of DAG d"),
    (
        "b: {operator: FetchOIOperator, symbol: BTC, timeframe: 7m}",
        "62: unknown timeframe \"7m\"; use one of 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 1w, 1M",
    ),
    (
        "b: {operator: FetchOIOperator, symbol: BTC, expand: {timeframe: [1h, 7m]}}",
        "76: unknown timeframe \"7m\"; use one of 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 1w, 1M",
    ),
    (
        "b: {operator: GapDetector, series: a/b}",
        "42: series \"a/b\" is not source/data_type/symbol/timeframe",
    ),
    (
        "b: {operator: CheckpointWriter, series: s/ohlcv/B/1h, data: [[2026-01-01]]}",
        "68: data must be a pair [start, end], not a list",
    ),
];

#[test]
fn tasks_name_operators_groups_and_each_other() {
    for (line, expected) in TASKS {
        assert_eq!(problem(&tasks(line)), format!("dags/a.yaml:5:{expected}"), "{line}");
    }
    let listed = "dags:\n  d:\n    tasks:\n      - {task_id: a, operator: x.Y}\n      - {operator: x.Y}\n      - {task_id: a, operator: x.Y}\n";
    assert_eq!(
        problems(listed),
        [
            "dags/a.yaml:5:9: \"task_id\" is missing in a task of DAG d",
            "dags/a.yaml:6:9: task \"a\" is there twice in DAG d"
        ]
    );
    assert_eq!(problem("dags:\n  d:\n    tasks: {}\n"), "dags/a.yaml:3:5: tasks is empty");
}

#[test]
fn circles_are_named_also_through_groups() {
    let text = "dags:\n  d:\n    tasks:\n      a: {operator: x.Y, dependencies: [c]}\n      b: {operator: x.Y, dependencies: [a]}\n      c: {operator: x.Y, dependencies: [b]}\n";
    assert_eq!(problem(text), "dags/a.yaml:4:41: tasks wait for each other: a -> c -> b -> a");
    let text = "dags:\n  d:\n    task_groups: {g: {dependencies: [b]}}\n    tasks:\n      a: {operator: x.Y, task_group_name: g}\n      b: {operator: x.Y, dependencies: [g]}\n";
    assert_eq!(problem(text), "dags/a.yaml:5:7: tasks wait for each other: a -> b -> g -> a");
    let fine = "dags:\n  d:\n    task_groups: {g: {dependencies: [b]}, h: }\n    tasks:\n      a: {operator: x.Y, task_group_name: g}\n      b: {operator: x.Y, dependencies: [h]}\n      c: {operator: x.Y, task_group_name: h}\n";
    assert_eq!(dag(fine).groups.len(), 2);
}
