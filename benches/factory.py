"""Seconds to load 200 DAGs of 4 tasks: by hand, from YAML, and by dag-factory; and one of the 200, as a worker does.

First ``make build-dist``. dag-factory 1.1 is measured where the interpreter has it: ``pip install dag-factory==1.1.0``.
Arguments: how many DAGs, how many rounds. Rounds are interleaved; medians. ``fresh`` is a new process, less the time of
importing Airflow's DAG and operators. In ``many files`` each is named like its DAG, in ``other names`` it is not.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WANTED = "_AIRFLOW_PARSING_CONTEXT_DAG_ID"
EMPTY = "airflow.providers.standard.operators.empty.EmptyOperator"
BASH = "airflow.providers.standard.operators.bash.BashOperator"
IMPORTS = f"""from datetime import datetime, timedelta, timezone
from airflow.sdk import DAG
from {EMPTY.rpartition(".")[0]} import EmptyOperator
from {BASH.rpartition(".")[0]} import BashOperator
"""
OURS = """from quant_framework.orchestration.dag_builders import DagFactory  # airflow dag
DagFactory({path!r}).register(globals())
"""
THEIRS = """import dagfactory  # airflow dag
dagfactory.load_yaml_dags(globals_dict=globals(), dags_folder={path!r})
"""


def by_hand(number: int) -> str:
    """One DAG as an author writes it."""
    return f"""
with DAG(
    dag_id="dag_{number}", schedule="0 2 * * *", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), tags=["bench"],
    max_active_runs=1, catchup=False, default_args={{"retries": 3, "retry_delay": timedelta(minutes=5)}},
) as dag_{number}:
    begin = EmptyOperator(task_id="begin")
    left = BashOperator(task_id="left", bash_command="echo {{{{ ds }}}}")
    right = BashOperator(task_id="right", bash_command="echo {number}")
    end = EmptyOperator(task_id="end")
    begin >> [left, right] >> end
"""


def as_yaml(number: int, is_theirs: bool) -> str:
    """The same in YAML."""
    common = f"""  schedule: "0 2 * * *"
  {"" if is_theirs else "start_date: 2026-01-01T00:00:00Z"}
  tags: [bench]
  max_active_runs: 1
  catchup: false
  default_args:
    {"start_date: 2026-01-01" if is_theirs else "retries: 3"}
    {"retries: 3" if is_theirs else "retry_delay: 5m"}
    {"retry_delay_sec: 300" if is_theirs else ""}
  tasks:
    begin:
      operator: {EMPTY}
    left:
      operator: {BASH}
      bash_command: "echo {{{{ ds }}}}"
      dependencies: [begin]
    right:
      operator: {BASH}
      bash_command: "echo {number}"
      dependencies: [begin]
    end:
      operator: {EMPTY}
      dependencies: [left, right]
"""
    lines = [line for line in common.splitlines() if line.strip()]
    return "\n".join([f"dag_{number}:", *lines, ""])


def indented(text: str) -> str:
    """One level deeper."""
    return "".join(f"  {line}\n" for line in text.splitlines())


def write(folder: Path, count: int) -> dict[str, Path]:
    """The loaders by name."""
    loaders = {name: folder / f"{name}.py" for name in ("hand", "one file", "many files", "other names", "single")}
    loaders["hand"].write_text(IMPORTS + "".join(by_hand(number) for number in range(count)))
    for name in ("one file", "many files", "other names", "single"):
        (folder / f"yaml {name}").mkdir()
        loaders[name].write_text(OURS.format(path=str(folder / f"yaml {name}")))
    blocks = [indented(as_yaml(number, False)) for number in range(count)]
    (folder / "yaml one file" / "all.yaml").write_text("dags:\n" + "".join(blocks))
    (folder / "yaml single" / "all.yaml").write_text("dags:\n" + blocks[count // 2])
    for number, block in enumerate(blocks):
        (folder / "yaml many files" / f"dag_{number}.yaml").write_text("dags:\n" + block)
        (folder / "yaml other names" / f"file_{number}.yaml").write_text("dags:\n" + block)
    if importlib.util.find_spec("dagfactory"):
        for name in ("one file", "many files"):
            theirs = folder / f"theirs {name}"
            theirs.mkdir()
            loaders[f"dag-factory, {name}"] = folder / f"dag-factory {name}.py"
            loaders[f"dag-factory, {name}"].write_text(THEIRS.format(path=str(theirs)))
            texts = [as_yaml(number, True) for number in range(count)]
            if name == "one file":
                (theirs / "all.yml").write_text("".join(texts))
            for number, text in enumerate(texts if name == "many files" else ()):
                (theirs / f"file_{number}.yml").write_text(text)
    return loaders


def load(loader: Path, wanted: str | None) -> int:
    """Run a loader as Airflow does; how many DAGs it leaves."""
    os.environ.pop(WANTED, None)
    if wanted:
        os.environ[WANTED] = wanted
    from airflow.sdk import DAG

    return len({value.dag_id for value in runpy.run_path(str(loader)).values() if isinstance(value, DAG)})


def cases(loaders: dict[str, Path], count: int) -> dict[str, Callable[[], float]]:
    """Name to a function that answers how long one load takes."""
    wanted = f"dag_{count // 2}"

    def timed(loader: Path, wanted: str | None, expected: int) -> Callable[[], float]:
        def run() -> float:
            gc.collect()  # what the last one left is not this one's
            start = time.perf_counter()
            found = load(loader, wanted)
            seconds = time.perf_counter() - start
            assert found == expected, f"{loader.name}: {found} DAGs"
            return seconds

        return run

    found = {name: timed(path, None, 1 if name == "single" else count) for name, path in loaders.items()}
    found |= {
        f"{name}, one wanted": timed(loaders[name], wanted, 1) for name in ("one file", "many files", "other names")
    }
    return found


def fresh(loader: Path, wanted: str | None) -> float:
    """The same in a new process, after the imports that every way needs."""
    code = (
        f"{IMPORTS}\nimport runpy, time\nstart = time.perf_counter()\nrunpy.run_path({str(loader)!r})\n"
        "print(time.perf_counter() - start)"
    )
    environment = {name: value for name, value in os.environ.items() if name != WANTED}
    environment |= {WANTED: wanted} if wanted else {}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(answer.stdout.split()[-1])


def main() -> None:
    """Print a table."""
    count, rounds = (int(text) for text in [*sys.argv[1:], "200", "15"][:2]) if len(sys.argv) > 2 else (200, 15)
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"  # dag-factory logs each file
    with tempfile.TemporaryDirectory() as folder:
        loaders = write(Path(folder), count)
        known = cases(loaders, count)
        warm: dict[str, list[float]] = {name: [] for name in known}
        for run in known.values():
            run()
        for _ in range(rounds):
            for name, run in known.items():
                warm[name].append(run())
        cold: dict[str, list[float]] = {name: [] for name in known}
        for _ in range(max(3, rounds // 3)):
            for name in known:
                wanted = f"dag_{count // 2}" if name.endswith("wanted") else None
                cold[name].append(fresh(loaders[name.removesuffix(", one wanted")], wanted))
    print(f"| {count} DAGs of 4 tasks | warm, ms (median) | by hand = 1 | fresh, ms (median) |\n|---|---|---|---|")
    hand = statistics.median(warm["hand"])
    for name in known:
        middle, first = statistics.median(warm[name]), statistics.median(cold[name])
        print(f"| {name} | {middle * 1e3:.2f} | {middle / hand:.2f} | {first * 1e3:.1f} |")


if __name__ == "__main__":
    main()
