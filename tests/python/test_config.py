"""The tables behind YAML files against Airflow and our operators, the JSON Schema, and the command line."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG, BaseOperator, TaskGroup
from croniter import croniter
from jsonschema import Draft202012Validator

from quant_framework import _core
from quant_framework.cli import main
from quant_framework.orchestration import operators
from quant_framework.orchestration.dag_builders import BackfillDagBuilder

EXAMPLES = Path(__file__).parents[2] / "dags_examples" / "yaml_example"
SCHEMA = _core.config_schema()
ABSTRACT = {"BaseDataOperator", "SourceOperator"}
GOOD = """
defaults: {source: coinalyze, default_args: {retries: 3, retry_delay: 5m}, tags: [market-data]}
dags:
  nightly:
    type: backfill
    schedule: "0 2 * * *"
    symbols: [BTC]
    timeframes: [1h, "${TIMEFRAME:-4h}"]
    start: 2026-01-01T00:00:00Z
    operator: {execution_timeout: 2h}
    max_active_runs: ${RUNS:-1}
  by_hand:
    schedule: {every: 6h}
    task_groups: {g: {dependencies: [fetch]}, h: null}
    tasks:
      fetch: {operator: FetchOHLCVOperator, symbol: BTC, timeframe: "{{ params.timeframe }}", retries: 1}
      tell: {operator: a.b.Foreign, anything: [1], execution_timeout: 90, task_group_name: g}
  listed: {tasks: [{task_id: a, operator: a.B, expand: {x: [1]}}], schedule: {assets: [s3://b]}}
"""
BAD = {
    "nightly: {type: backfill, symbols: [BTC], timeframes: [1h], shedule: null}",
    "nightly: {type: backfill, symbols: [], timeframes: [1h]}",
    "nightly: {type: backfill, symbols: [BTC], timeframes: [7m]}",
    "nightly: {type: incremental, symbols: [BTC], timeframes: [1h], lookback: soon}",
    "nightly: {type: nightly}",
    "nightly: {tasks: {a: {}}}",
    "nightly: {tasks: {}}",
    "nightly: {tasks: {a: {operator: Nope}}}",
    "nightly: {tasks: {a: {operator: FetchOIOperator, symbol: BTC, timeframe: 1h, simbol: 1}}}",
    "nightly: {tasks: {a: {operator: a.B, retries: -1}}}",
    "nightly: {tasks: {a: {operator: a.B, retry_delay: soon}}}",
    "nightly: {tasks: {a: {operator: a.B}}, symbols: [BTC]}",
    "nightly: {tasks: {a: {operator: a.B}}, start_date: 2026-01-01T00:00:00}",
    "nightly: {tasks: {a: {operator: a.B}}, schedule: {evry: 6h}}",
    "ni ghtly: {tasks: {a: {operator: a.B}}}",
    "nightly: {tasks: [{operator: a.B}]}",
}


class _Plain(yaml.SafeLoader):
    """Moments stay texts, as in YAML 1.2."""


_Plain.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in known if not tag.endswith("timestamp")]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def arguments(function: Any) -> set[str]:
    """The names that a call may give."""
    known = inspect.signature(function).parameters.values()
    return {each.name for each in known if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)} - {"self"}


def own_arguments(operator: type) -> set[str]:
    """Those of the operator's own classes, without Airflow's."""
    ours = [known for known in operator.__mro__ if known.__module__.startswith("quant_framework")]
    return set().union(*(arguments(known.__init__) for known in ours if "__init__" in vars(known)))


def task_schemas() -> dict[str, dict[str, Any]]:
    """The schema of each own operator's tasks."""
    found, rest = {}, SCHEMA["$defs"]["task"]
    while "if" in rest:
        found[rest["if"]["properties"]["operator"]["const"]] = rest["then"]["properties"]
        rest = rest["else"]
    return found


def test_the_table_of_a_dag_has_every_argument_of_airflow():
    known = set(SCHEMA["$defs"]["tasks"]["properties"]) - {"type", "tasks", "task_groups"}
    assert known == arguments(DAG.__init__) - {"dag_id", "task_group", "sla_miss_callback"}


def test_the_table_of_a_task_has_every_argument_of_airflow():
    known = set(SCHEMA["$defs"]["default_args"]["properties"])
    assert known == arguments(BaseOperator.__init__) - {"task_id", "dag", "task_group"}
    groups = set(SCHEMA["$defs"]["group"]["properties"]) - {"dependencies"}
    assert groups == arguments(TaskGroup.__init__) - {"group_id", "parent_group", "dag"}


@pytest.mark.parametrize("name", [name for name in operators.__all__ if name not in ABSTRACT])
def test_the_table_of_an_operator_is_its_signature(name):
    operator, schema = getattr(operators, name), task_schemas()[name]
    shared = set(SCHEMA["$defs"]["default_args"]["properties"])
    task = {"operator", "dependencies", "task_group_name", "expand", "task_id"}
    own = set(schema) - shared - task
    assert own == own_arguments(operator) - shared
    templates = {key for key in own if "{%" in json.dumps(schema[key])}
    assert templates == set(operator.template_fields) & own


def test_the_table_of_a_builder_has_its_arguments():
    ours = [known for known in BackfillDagBuilder.__mro__ if known is not object]
    known = set().union(*(arguments(each.__init__) for each in ours)) - {"dag_id", "operator_options", "dag_options"}
    assert known <= set(SCHEMA["$defs"]["backfill"]["properties"])


def test_the_schema_is_one_and_takes_what_the_check_takes():
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    texts = [GOOD, *(path.read_text("utf-8") for path in EXAMPLES.glob("*.yaml"))]
    assert len(texts) > 1
    for text in texts:
        assert _core.check_config([("a.yaml", text)], {})["problems"] == []
        assert [error.message for error in validator.iter_errors(yaml.load(text, _Plain))] == []


@pytest.mark.parametrize("line", sorted(BAD))
def test_the_schema_refuses_what_the_check_refuses(line):
    text = f"dags: {{{line}}}\n"
    assert _core.check_config([("a.yaml", text)], {})["problems"]
    assert not Draft202012Validator(SCHEMA).is_valid(yaml.load(text, _Plain))


CRON = ["*", "*/5", "*/0", "1", "0-5", "5-1", "1,2", "jan", "mon", "sun-sat", "?", "l", "L5", "1#2", "1#6", "7"]
CRON += ["0", "31", "60", "H", "x"]


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("field", CRON)
def test_a_cron_text_is_refused_where_airflow_would(position, field):
    fields = ["1", "1", "1", "1", "1", "1"][: max(5, position + 1)]
    fields[position] = field
    text = " ".join(fields)
    document = f'dags: {{d: {{schedule: "{text}", tasks: {{a: {{operator: a.B}}}}}}}}'
    assert (not _core.check_config([("a.yaml", document)], {})["problems"]) == croniter.is_valid(text), text


def test_validate_prints_every_error_and_fails(tmp_path, capsys):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD, "utf-8")
    bad.write_text("dags:\n  d:\n    shedule: null\n    tasks: {a: {operator: Nope}}\n", "utf-8")
    assert main(["validate", str(good)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["validate", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f'{bad}:3:5: unknown key "shedule" in DAG d (did you mean "schedule"?)',
        f'{bad}:4:27: unknown operator "Nope" (hint: an operator of this package, or an import path)',
    ]
    assert "3 DAGs are right in 2 files, 2 errors" in err
    assert main(["validate", "--json", str(bad), str(tmp_path / "nowhere.yaml")]) == 1
    told = json.loads(capsys.readouterr().out)
    places = [(problem["line"], problem["column"], problem["suggestion"]) for problem in told["problems"]]
    assert places == [(3, 5, "schedule"), (4, 27, None), (1, 1, None)]
    assert (told["dags"], told["files"]) == ([], 2)


def test_schema_prints_it(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_the_command_line_needs_no_airflow(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD, "utf-8")
    code = (
        "import sys; sys.modules['airflow'] = None\n"
        "from quant_framework.cli import main\n"
        f"raise SystemExit(main(['validate', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_source_that_no_package_brings_is_told_at_its_dag(tmp_path, capsys):
    """The core does not know the sources of other packages."""
    dag = "{type: backfill, symbols: [BTC], timeframes: [1h], source: coinalise}"
    (tmp_path / "dags.yaml").write_text(f"dags:\n  nightly: {dag}\n")
    assert main(["validate", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert f"{tmp_path}/dags.yaml:2:3: DAG nightly: unknown source 'coinalise'" in shown
    assert "did you mean 'coinalyze'?" in shown
