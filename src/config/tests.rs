//! Every check, with its place; and that a DAG cut out of a file is the DAG of the whole file.

mod keys;

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn file(text: &str) -> Vec<File> {
    files(&[("dags/a.yaml", text)])
}

fn files(list: &[(&str, &str)]) -> Vec<File> {
    let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: Ok((*text).to_owned()) };
    list.iter().map(file).collect()
}

fn environment() -> Environment {
    let known = [("COUNT", "3"), ("EMPTY", ""), ("SECRET", "geheim"), ("WORD", "5 m")];
    known.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn problems(text: &str) -> Vec<String> {
    check(&file(text), &environment(), None).problems.iter().map(ToString::to_string).collect()
}

/// The only problem of a file.
fn problem(text: &str) -> String {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    found[0].clone()
}

/// The only DAG of a file without problems.
fn dag(text: &str) -> DagSpec {
    let mut checked = check(&file(text), &environment(), None);
    assert_eq!(checked.problems, [], "{text}");
    assert_eq!(checked.dags.len(), 1);
    checked.dags.remove(0)
}

/// A file with a backfill DAG that says `line` as well, in line 6.
fn backfill(line: &str) -> String {
    format!("dags:\n  d:\n    type: backfill\n    symbols: [BTC]\n    timeframes: [1h]\n    {line}\n")
}

/// A file with a DAG of tasks; `line` is line 5, a task.
fn tasks(line: &str) -> String {
    format!("dags:\n  d:\n    tasks:\n      a: {{operator: x.Y}}\n      {line}\n")
}

fn value<'a>(arguments: &'a Arguments, name: &str) -> &'a Value {
    &arguments.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn what_is_no_yaml_is_one_problem_of_the_file_where_it_ends_to_be_yaml() {
    for (text, place) in [
        ("dags:\n  a: [1, 2\n  b: 3\n", "dags/a.yaml:3:"),
        ("dags:\n  a: \"x\n", "dags/a.yaml:2:"),
        ("dags:\n\ta: 1\n", "dags/a.yaml:2:"),
        ("dags:\n  a: *nobody\n", "dags/a.yaml:2:6"),
        ("dags:\n  a: &a [*a]\n", "dags/a.yaml:2:10: an alias inside of what it stands for"),
        ("dags: {}\n---\ndags: {}\n", "dags/a.yaml:2:1: a second document begins here"),
        ("dags:\n  ? [a]\n  : 1\n", "dags/a.yaml:2:5: a key must be a text"),
    ] {
        let found = problem(text);
        assert!(found.starts_with(place), "{found}");
        let broken = check(&file(text), &environment(), None).broken;
        assert_eq!((broken.len(), broken[0].dag_id.as_deref()), (1, None));
    }
}

#[test]
fn a_file_is_dags_and_defaults() {
    for (text, expected) in [
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("defaults: {source: coinalyze}\n", "1:1: \"dags\" is missing"),
        ("- a\n", "1:1: the file must be a mapping with a key dags"),
        ("dags:\n", "1:1: dags is empty"),
        ("dags: [a]\n", "1:7: dags must be a mapping of ids to DAGs"),
        ("dag: {}\n", "1:1: unknown key \"dag\" in the file (did you mean \"dags\"?)"),
        (
            "tags: [a]\n",
            "1:1: unknown key \"tags\" in the file (hint: put it below defaults, or below a DAG)",
        ),
        (
            "default_args: {}\n",
            "1:1: unknown key \"default_args\" in the file (hint: put it below defaults, or below a DAG)",
        ),
        ("dags:\n  d: 3\n", "2:6: DAG d must be a mapping, not 3"),
        (
            "dags:\n  d: {schedule: null}\n",
            "2:3: \"type\" is missing in DAG d (hint: type: backfill, type: incremental, type: repair, or a key tasks)",
        ),
        ("dags:\n  d: {task: {}}\n", "2:7: unknown key \"task\" in DAG d (did you mean \"tasks\"?)"),
        (
            "dags:\n  d: {type: backfil}\n",
            "2:13: type must be one of backfill, incremental, repair, tasks, not \"backfil\" (did you mean \"backfill\"?)",
        ),
        (
            "dags:\n  a b: {tasks: {a: {operator: x.Y}}}\n",
            "2:3: DAG id \"a b\" has other characters (hint: letters, digits and -._~, at most 250)",
        ),
    ] {
        assert_eq!(problem(text), format!("dags/a.yaml:{expected}"));
    }
}

#[test]
fn values_arrive_as_what_they_mean() {
    let text = backfill("lake: \"${NOBODY:-s3://b}/x$$y\"")
        + "    max_active_runs: ${COUNT}\n    description: \"${COUNT}\"\n    dagrun_timeout: PT1H30M\n"
        + "    start_date: 2026-01-01\n    start: 2026-01-01T02:00+02:00\n    doc_md: ${EMPTY:-plain}\n"
        + "    params: {a: 0x10, b: 1.5, c: ~, d: yes, e: \"{{ ds }}\", f: 0o17, g: +5, h: 1e3, i: +-5, j: 0x-1}\n"
        + "    default_args: {retry_delay: 0.5, on_failure_callback: [a.b, c.d]}\n    outlets: [s3://b]\n";
    let spec = dag(&text);
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(value(&spec.builder, "lake"), &text("s3://b/x$y"));
    assert_eq!(value(&spec.builder, "start"), &text("2026-01-01T00:00:00Z"));
    assert_eq!(
        value(&spec.builder, "outlets"),
        &Value::Reference("assets", Box::new(Value::List(vec![text("s3://b")])))
    );
    assert_eq!(value(&spec.dag, "max_active_runs"), &Value::Integer(3));
    assert_eq!(value(&spec.dag, "description"), &text("3"));
    assert_eq!(value(&spec.dag, "dagrun_timeout"), &Value::Duration(5_400_000));
    assert_eq!(value(&spec.dag, "start_date"), &Value::Moment(1_767_225_600_000));
    assert_eq!(value(&spec.dag, "doc_md"), &text("plain"));
    let Value::Map(params) = value(&spec.dag, "params") else { panic!("no map") };
    let shown: Vec<&Value> = params.iter().map(|(_, value)| value).collect();
    let plain = [Value::Integer(16), Value::Number(1.5), Value::Null, text("yes"), text("{{ ds }}")];
    assert_eq!(shown[..5], plain.iter().collect::<Vec<_>>());
    let core = [Value::Integer(15), Value::Integer(5), Value::Number(1000.0), text("+-5"), text("0x-1")];
    assert_eq!(shown[5..], core.iter().collect::<Vec<_>>());
    let defaults = spec.default_args.unwrap();
    assert_eq!(value(&defaults, "retry_delay"), &Value::Duration(500));
    let callbacks = Value::List(vec![text("a.b"), text("c.d")]);
    assert_eq!(value(&defaults, "on_failure_callback"), &Value::Reference("import", Box::new(callbacks)));
}

#[test]
fn templates_may_stand_where_operators_render_them_and_defaults_give_what_is_required() {
    let line = "b: {operator: GapDetector, series: \"{{ params.series }}\", start: \"{{ ds }}\"}";
    assert_eq!(value(&dag(&tasks(line)).tasks[1].arguments, "start"), &Value::Text("{{ ds }}".to_owned()));
    let found = problem(&backfill("start: \"{{ ds }}\""));
    assert!(found.starts_with("dags/a.yaml:6:12: start must be a moment"), "{found}");
    let given = tasks("b: {operator: FetchOIOperator, symbol: BTC}") + "    default_args: {timeframe: 1h}\n";
    assert_eq!(dag(&given).tasks[1].arguments.len(), 1);
}

#[test]
fn aliases_and_merge_keys_work_and_cannot_explode() {
    let text = "dags:\n  a: &a\n    tasks: &tasks\n      x: &x {operator: x.Y, retries: 1}\n  b:\n    tasks:\n      x: {<<: *x, retries: 2}\n      y: *x\n";
    let checked = check(&file(text), &environment(), None);
    assert_eq!(checked.problems, []);
    assert_eq!(value(&checked.dags[1].tasks[0].arguments, "retries"), &Value::Integer(2));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(", ")).unwrap();
    }
    assert!(problem(&bomb).ends_with(": too deep or too large"));
    let deep = problem(&format!("dags: {}", "[".repeat(10_000)));
    assert!(deep.starts_with("dags/a.yaml:1:"), "{deep}");
    let nested = problem(&format!("dags: {}{}", "[".repeat(100), "]".repeat(100)));
    assert_eq!(nested, "dags/a.yaml:1:71: too deep or too large");
}

#[test]
fn dags_inherit_from_their_file_and_from_folders_the_nearer_wins() {
    let own = "defaults:\n  default_args: {retries: 2, owner: me}\n  tags: [file]\n  lookback: 3\ndags:\n  d:\n    tasks: {a: {operator: x.Y}}\n    tags: [own, top]\n";
    let list = files(&[
        ("dags/a/x.yaml", own),
        ("dags/a/defaults.yml", "defaults:\n  max_active_runs: 2\n  tags: [folder]\n"),
        (
            "dags/defaults.yaml",
            "defaults:\n  type: backfill\n  max_active_runs: 1\n  default_args: {retries: 1, queue: q}\n  tags: [top]\n",
        ),
        ("dags/ab/defaults.yaml", "defaults: {max_active_runs: 9}\n"),
    ]);
    let checked = check(&list, &environment(), None);
    assert_eq!(checked.problems, []);
    let spec = &checked.dags[0];
    assert_eq!(value(&spec.dag, "max_active_runs"), &Value::Integer(2));
    let tags = ["top", "folder", "file", "own"].map(|tag| Value::Text(tag.to_owned()));
    assert_eq!(value(&spec.dag, "tags"), &Value::List(tags.to_vec()));
    let defaults = spec.default_args.as_ref().unwrap();
    assert_eq!(value(defaults, "retries"), &Value::Integer(2));
    assert_eq!(value(defaults, "queue"), &Value::Text("q".to_owned()));
    assert_eq!(checked.dags[0].kind, "tasks");
    assert_eq!(check(&list, &environment(), Some("d")).dags, checked.dags);
}

#[test]
fn a_mistake_in_defaults_is_told_once_and_breaks_every_dag_below() {
    let dag = "dags:\n  ID:\n    tasks: {a: {operator: x.Y}}\n";
    let list = files(&[
        ("dags/a.yaml", &dag.replace("ID", "a")),
        ("dags/b.yaml", &dag.replace("ID", "b")),
        ("dags/defaults.yaml", "defaults: {max_active_run: 1, default_args: {retrys: 1}}\n"),
        ("other/c.yaml", &dag.replace("ID", "c")),
    ]);
    let checked = check(&list, &environment(), None);
    let told: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "dags/defaults.yaml:1:12: unknown key \"max_active_run\" in defaults (did you mean \"max_active_runs\"?)",
            "dags/defaults.yaml:1:46: unknown key \"retrys\" in default_args of defaults (did you mean \"retries\"?)",
        ]
    );
    let broken: Vec<Option<&str>> = checked.broken.iter().map(|broken| broken.dag_id.as_deref()).collect();
    assert_eq!(broken, [Some("a"), Some("b"), None]);
    assert_eq!(checked.dags.iter().map(|spec| spec.dag_id.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn dags_do_not_load_without_the_defaults_that_they_should_have() {
    let dags = "dags:\n  d:\n    tasks: {a: {operator: x.Y}}\n";
    let unreadable =
        File { path: "dags/defaults.yaml".to_owned(), text: Err((3, "cannot be read".to_owned())) };
    for (defaults, own, expected) in [
        (Some("defaults: ["), dags, "dags/defaults.yaml:2:1: not YAML: "),
        (
            Some("max_active_runs: 1"),
            dags,
            "dags/defaults.yaml:1:1: unknown key \"max_active_runs\" in the file",
        ),
        (None, dags, "dags/defaults.yaml:3:1: cannot be read"),
        (Some(""), &format!("default: {{}}\n{dags}"), "dags/a.yaml:1:1: unknown key \"default\" in the file"),
    ] {
        let mut list = files(&[("dags/a.yaml", own)]);
        list.push(match defaults {
            Some(text) => files(&[("dags/defaults.yaml", text)]).remove(0),
            None => unreadable.clone(),
        });
        for wanted in [None, Some("d")] {
            let checked = check(&list, &environment(), wanted);
            assert!(checked.dags.is_empty(), "{own}");
            let of_dag = checked.broken.iter().find(|broken| broken.dag_id.as_deref() == Some("d")).unwrap();
            assert!(of_dag.problems[0].to_string().starts_with(expected), "{}", of_dag.problems[0]);
        }
    }
    let twice =
        files(&[("d/a.yaml", dags), ("d/defaults.yaml", "defaults: {}"), ("d/defaults.yml", "defaults: {}")]);
    let problems = check(&twice, &environment(), None).problems;
    assert_eq!(problems[0].to_string(), "d/defaults.yml:1:1: d/defaults.yaml holds for this folder already");
}

#[test]
fn what_is_inherited_and_not_for_a_dag_is_left_out() {
    let text = "defaults:\n  source: coinalyze\n  default_args: {bash_command: ls, retries: 1}\ndags:\n  a:\n    type: backfill\n    symbols: [BTC]\n    timeframes: [1h]\n  b:\n    tasks: {t: {operator: x.Y}}\n";
    let checked = check(&file(text), &environment(), None);
    assert_eq!(checked.problems, []);
    let names =
        |spec: &DagSpec| spec.default_args.as_ref().unwrap().iter().map(|(name, _)| name.clone()).collect();
    let found: Vec<Vec<String>> = checked.dags.iter().map(names).collect();
    assert_eq!(found, [vec!["retries"], vec!["bash_command", "retries"]]);
    assert_eq!(checked.dags[1].dag, []);
}

#[test]
fn two_dags_of_one_id_are_none_and_both_places_are_named() {
    let text = "dags:\n  d: {tasks: {a: {operator: x.Y}}}\n";
    let list = files(&[
        ("a.yaml", text),
        ("b.yaml", text),
        ("c.yaml", "dags:\n  e: {tasks: {a: {operator: x.Y}}}\n"),
    ]);
    let checked = check(&list, &environment(), None);
    assert_eq!(checked.problems.len(), 1);
    assert_eq!(checked.problems[0].to_string(), "b.yaml:2:3: DAG \"d\" is there twice, first at a.yaml:2:3");
    assert_eq!(checked.dags.iter().map(|spec| spec.dag_id.as_str()).collect::<Vec<_>>(), ["e"]);
    let twice = text.to_owned() + "  d: {tasks: {a: {operator: x.Y}}}\n";
    assert_eq!(problem(&twice), "dags/a.yaml:3:3: DAG \"d\" is there twice, first at dags/a.yaml:2:3");
}

#[test]
fn one_problem_does_not_hide_another() {
    let text =
        backfill("shedule: x") + "    max_active_runs: -1\n  e:\n    tasks: {a: {operator: Nope}}\n  f: 3\n";
    let lines: Vec<u32> =
        check(&file(&text), &environment(), None).problems.iter().map(|found| found.line).collect();
    assert_eq!(lines, [6, 7, 9, 10]);
}

#[test]
fn the_schema_names_every_key_of_the_tables() {
    let schema = json_schema();
    let known = schema["$defs"]["backfill"]["properties"].as_object().unwrap();
    for argument in builders::BUILDERS[0].arguments.iter().flat_map(|table| table.iter()).chain(airflow::DAG)
    {
        assert_eq!(known[argument.name]["description"], argument.text);
    }
    assert_eq!(schema["$defs"]["incremental"]["additionalProperties"], false);
}

/// Texts between which DAGs of a file stand.
fn any_lines() -> impl Strategy<Value = String> {
    let lines = ["", "# nightly:", "\n", "    # a\n", "  # b\n"];
    proptest::sample::select(lines.to_vec()).prop_map(|line| format!("{line}\n"))
}

proptest! {
    /// A worker that asks for one DAG gets the DAG of the whole file.
    #[test]
    fn a_dag_cut_out_is_the_dag_of_the_file(
        indent in 1_usize..4,
        between in proptest::collection::vec(any_lines(), 6),
        has_defaults: bool,
        is_broken: bool,
        wanted in 0_usize..5,
        odd in proptest::sample::select(vec!["", "---\n", "x: 1\n", "%YAML 1.2\n---\n"]),
    ) {
        let pad = " ".repeat(indent);
        let mut text = odd.to_owned();
        if has_defaults {
            text += "defaults:\n  max_active_runs: ${COUNT}\n";
        }
        text += "dags:\n";
        for (number, between) in between.iter().take(5).enumerate() {
            text += between;
            let key = if is_broken && number != wanted { "shedule" } else { "schedule" };
            write!(text, "{pad}d{number}:\n{pad}  {key}: null\n{pad}  tasks:\n{pad}    a: {{operator: x.Y}}\n").unwrap();
            write!(text, "{pad}    b:\n{pad}      operator: x.Y\n{pad}      text: |\n{pad}        d{wanted}:\n\n{pad}        # d1:\n").unwrap();
        }
        text += &between[5];
        let id = format!("d{wanted}");
        let known = environment();
        let whole = check(&file(&text), &known, None);
        let one = check(&file(&text), &known, Some(&id));
        let of_whole: Vec<_> = whole.dags.iter().filter(|spec| spec.dag_id == id).collect();
        prop_assert_eq!(one.dags.iter().collect::<Vec<_>>(), of_whole, "{}", text);
        // A key that no file has may be misspelt defaults.
        prop_assert_eq!(one.dags.len(), usize::from(odd != "x: 1\n"));
    }

    /// Whatever a file holds, the check answers, and each problem has a place inside the file.
    #[test]
    fn no_text_is_too_odd(text in "[a-z:{}\\[\\]&*!|>'\"%@`#,? \n\\-$~\\t]{0,80}", wanted: bool) {
        let checked = check(&file(&text), &environment(), wanted.then_some("a"));
        let lines = text.lines().count() as u32 + 1;
        for found in checked.problems {
            prop_assert!((1..=lines).contains(&found.line) && found.column >= 1, "{}", found);
        }
    }

    #[test]
    fn durations_are_sums(days in 0_i64..1000, hours in 0_i64..100, minutes in 0_i64..100, seconds in 0_i64..100) {
        let total = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
        let written = [format!("{days}d{hours}h{minutes}m{seconds}s"), format!("P{days}DT{hours}H{minutes}M{seconds}S")];
        for text in written {
            prop_assert_eq!(time::duration(&text), Some(total));
        }
        prop_assert_eq!(time::seconds(seconds as f64), Some(seconds * 1000));
    }
}
