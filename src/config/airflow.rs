//! Arguments that Airflow knows (3.0 to 3.4): of a DAG, of every operator, of a task group.

use super::argument::{Argument, COUNT, INTEGER, Kind, POSITIVE, TEXT_OR_TEXTS, TEXTS, argument};

const RULES: &[&str] = &[
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_done_setup_success",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_skipped",
    "always",
    "none_failed_min_one_success",
    "all_skipped",
];
const WEIGHTS: &[&str] = &["downstream", "upstream", "absolute"];

/// Of `airflow.sdk.DAG`.
pub(super) const DAG: &[Argument] = &[
    argument("description", Kind::Text, "One line for the UI.").nullable(),
    argument("default_args", Kind::DefaultArgs, "Arguments that every task starts from.").nullable(),
    argument("start_date", Kind::Moment, "First moment that is scheduled.").nullable(),
    argument("end_date", Kind::Moment, "Last moment that is scheduled.").nullable(),
    argument("schedule", Kind::Schedule, "Cron text, preset, {every}, {assets}, {timetable}; null: by hand.")
        .nullable(),
    argument("template_searchpath", TEXT_OR_TEXTS, "Folders in which templates are looked for.").nullable(),
    argument("template_undefined", Kind::Import, "Import path of Jinja's class for undefined names."),
    argument("user_defined_macros", Kind::ImportMap, "Names for templates: name to import path.").nullable(),
    argument("user_defined_filters", Kind::ImportMap, "Filters for templates: name to import path.")
        .nullable(),
    argument("max_active_tasks", COUNT, "Tasks of one run at the same time."),
    argument("max_active_runs", COUNT, "Runs at the same time."),
    argument("max_consecutive_failed_dag_runs", COUNT, "So many failed runs pause the DAG; 0: never."),
    argument("dagrun_timeout", Kind::Duration, "Longest time of a run.").nullable(),
    argument("deadline", Kind::Imports, "Import path of a DeadlineAlert (Airflow 3.1).").nullable(),
    argument("catchup", Kind::Flag, "Whether missed intervals are run; by default false."),
    argument("on_success_callback", Kind::Imports, "Import path of what is called when a run succeeds.")
        .nullable(),
    argument("on_failure_callback", Kind::Imports, "Import path of what is called when a run fails.")
        .nullable(),
    argument("doc_md", Kind::Text, "Markdown for the UI.").nullable(),
    argument("params", Kind::Map, "Parameters of a run: name to default.").nullable(),
    argument("access_control", Kind::Map, "Role to permissions.").nullable(),
    argument("is_paused_upon_creation", Kind::Flag, "Whether a new DAG begins paused.").nullable(),
    argument("jinja_environment_kwargs", Kind::Map, "Options of the Jinja environment.").nullable(),
    argument("render_template_as_native_obj", Kind::Flag, "Whether templates give Python values."),
    argument("tags", TEXTS, "For the UI; united with those of defaults.").nullable(),
    argument("owner_links", Kind::Map, "Owner to link."),
    argument("auto_register", Kind::Flag, "As of the DAG's class; no effect here."),
    argument("fail_fast", Kind::Flag, "Whether the first failed task ends the run."),
    argument("allowed_run_types", TEXT_OR_TEXTS, "Kinds of runs that are allowed (Airflow 3.2).").nullable(),
    argument("dag_display_name", Kind::Text, "Name in the UI."),
    argument("disable_bundle_versioning", Kind::Flag, "Whether runs use the newest files."),
    argument("rerun_with_latest_version", Kind::Flag, "Whether reruns use the newest version (3.3).")
        .nullable(),
];

/// Of `airflow.sdk.BaseOperator`.
pub(super) const OPERATOR: &[Argument] = &[
    argument("owner", Kind::Text, "Who owns the task."),
    argument("email", TEXT_OR_TEXTS, "Whom to write.").nullable(),
    argument("email_on_retry", Kind::Flag, "Whether a retry is written."),
    argument("email_on_failure", Kind::Flag, "Whether a failure is written."),
    argument("retries", COUNT, "Tries after the first.").nullable(),
    argument("retry_delay", Kind::Duration, "Wait before a retry."),
    argument("retry_exponential_backoff", Kind::FlagOrNumber, "Factor by which waits grow."),
    argument("max_retry_delay", Kind::Duration, "Longest wait before a retry.").nullable(),
    argument("retry_policy", Kind::Import, "Import path of a retry policy (Airflow 3.3).").nullable(),
    argument("start_date", Kind::Moment, "First moment of the task.").nullable(),
    argument("end_date", Kind::Moment, "Last moment of the task.").nullable(),
    argument("depends_on_past", Kind::Flag, "Whether the last run's task must have succeeded."),
    argument("ignore_first_depends_on_past", Kind::Flag, "As of the operator's class."),
    argument("wait_for_past_depends_before_skipping", Kind::Flag, "Whether a skip waits for the past."),
    argument("wait_for_downstream", Kind::Flag, "Whether what followed must have succeeded."),
    argument("params", Kind::Map, "Parameters of the task.").nullable(),
    argument("default_args", Kind::Map, "As of the operator's class.").nullable(),
    argument("priority_weight", INTEGER, "Greater goes first."),
    argument("weight_rule", Kind::ChoiceOrImport(WEIGHTS), "How weights add up."),
    argument("queue", Kind::Text, "Queue of the executor."),
    argument("pool", Kind::Text, "Pool whose slots the task takes.").nullable(),
    argument("pool_slots", POSITIVE, "Slots that it takes."),
    argument("sla", Kind::Duration, "Removed in Airflow 3; no effect.").nullable(),
    argument("execution_timeout", Kind::Duration, "Longest time of a try.").nullable(),
    argument("on_execute_callback", Kind::Imports, "Import path of what is called before a try.").nullable(),
    argument("on_failure_callback", Kind::Imports, "Import path of what is called on failure.").nullable(),
    argument("on_success_callback", Kind::Imports, "Import path of what is called on success.").nullable(),
    argument("on_retry_callback", Kind::Imports, "Import path of what is called before a retry.").nullable(),
    argument("on_skipped_callback", Kind::Imports, "Import path of what is called on a skip.").nullable(),
    argument("pre_execute", Kind::Import, "Import path of what is called before execute.").nullable(),
    argument("post_execute", Kind::Import, "Import path of what is called after execute.").nullable(),
    argument("trigger_rule", Kind::Choice(RULES), "When the task runs."),
    argument("resources", Kind::Map, "Names to amounts.").nullable(),
    argument("run_as_user", Kind::Text, "User of the operating system.").nullable(),
    argument("map_index_template", Kind::Text, "Name of a mapped task's instance.").nullable(),
    argument("max_active_tis_per_dag", POSITIVE, "Instances in all runs at once.").nullable(),
    argument("max_active_tis_per_dagrun", POSITIVE, "Instances in one run at once.").nullable(),
    argument("executor", Kind::Text, "Name of the executor.").nullable(),
    argument("executor_config", Kind::Map, "Options of the executor.").nullable(),
    argument("do_xcom_push", Kind::Flag, "Whether the result is kept."),
    argument("multiple_outputs", Kind::Flag, "Whether each key of the result is kept."),
    argument("inlets", Kind::Assets, "Assets that are read.").nullable(),
    argument("outlets", Kind::Assets, "Assets that are updated.").nullable(),
    argument("doc", Kind::Text, "Documentation, plain.").nullable(),
    argument("doc_md", Kind::Text, "Documentation, Markdown.").nullable(),
    argument("doc_json", Kind::Text, "Documentation, JSON.").nullable(),
    argument("doc_yaml", Kind::Text, "Documentation, YAML.").nullable(),
    argument("doc_rst", Kind::Text, "Documentation, reStructuredText.").nullable(),
    argument("task_display_name", Kind::Text, "Name in the UI.").nullable(),
    argument("logger_name", Kind::Text, "Name of the logger.").nullable(),
    argument("allow_nested_operators", Kind::Flag, "Whether it may be called by another operator."),
    argument("render_template_as_native_obj", Kind::Flag, "Whether templates give Python values.").nullable(),
];

/// Of foreign operators, where the name says that it is code.
pub(super) const FOREIGN: &[Argument] =
    &[argument("python_callable", Kind::Import, "Import path of the function to call.")];

/// Of `airflow.sdk.TaskGroup`, and what it waits for.
pub(super) const GROUP: &[Argument] = &[
    argument("dependencies", TEXTS, "Tasks and groups that the whole group waits for."),
    argument("group_display_name", Kind::Text, "Name in the UI."),
    argument("prefix_group_id", Kind::Flag, "Whether task ids begin with the group's; by default true."),
    argument("default_args", Kind::DefaultArgs, "Arguments that every task of the group starts from."),
    argument("tooltip", Kind::Text, "Shown beside the group."),
    argument("doc_md", Kind::Text, "Markdown for the UI.").nullable(),
    argument("ui_color", Kind::Text, "Colour of the box."),
    argument("ui_fgcolor", Kind::Text, "Colour of the text."),
    argument("add_suffix_on_collision", Kind::Flag, "As of the group's class."),
];

/// Of a task, beside its operator's arguments.
pub(super) const TASK: &[Argument] = &[
    argument("operator", Kind::Text, "Name of an own operator, or the import path of any.").required(),
    argument("dependencies", TEXTS, "Tasks and groups that it waits for."),
    argument("task_group_name", Kind::Text, "Group that it belongs to."),
    argument("expand", Kind::Map, "Dynamic mapping: argument to list; one task instance for each item."),
];
