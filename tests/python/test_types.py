"""The types of the public API, judged by those who judge them at an author's: stubtest, mypy and basedpyright."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typing_extensions

from documented import modules
from quant_framework.ingestion.adapters import CcxtAdapter, CoinalyzeAdapter
from quant_framework.orchestration import ports, tasks

pytestmark = pytest.mark.timeout(1200)  # checkers read all of Airflow, and share the machine with the other tests
ROOT = Path(__file__).parents[2]
STRANGERS = ROOT / "tests" / "typing"
AIRFLOWS = re.compile(
    r"Type of metaclass unknown"
    r"|Type of base class \"[\w.]*(Operator|BaseDagBuilder)\" is partially unknown"
    r"|Type of parameter \"operator\" is partially unknown"
)
"""What ``--verifytypes`` says of every subclass of Airflow's BaseOperator, even of an empty one."""


def run(*command: str, folder: Path = ROOT, **variables: str) -> str:
    """What a tool of this environment prints; ``python -m`` before its name."""
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | variables
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    return f"{done.stdout}{done.stderr[-2000:]}exit code {done.returncode}"


def module(path: Path) -> ModuleType:
    """A file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_stub_has_the_docstrings_of_the_core():
    stubs = module(ROOT / "tests" / "stubs.py")
    assert stubs.generated() == stubs.STUB.read_text("utf-8"), "run make stubs"


def test_stubtest_agrees_with_the_stub_and_needs_no_exceptions(tmp_path):
    told = run("mypy.stubtest", "quant_framework._core", MYPY_CACHE_DIR=str(tmp_path))
    assert told.startswith("Success: no issues found in 1 module"), told


def test_mypy_finds_nothing_in_the_package_nor_in_the_code_of_strangers(tmp_path):
    ours = run("mypy", "--cache-dir", str(tmp_path))
    assert "Success: no issues found in" in ours, ours
    assert int(re.findall(r"in (\d+) source files", ours)[0]) > 95
    files = sorted(path.name for path in STRANGERS.glob("*.py"))
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path)]
    theirs = run("mypy", *options, *files, folder=STRANGERS, MYPYPATH=str(STRANGERS))
    assert f"Success: no issues found in {len(files)} source files" in theirs, theirs


def test_basedpyright_finds_nothing_in_the_package():
    told = run("basedpyright", "--warnings")
    assert told.endswith("0 errors, 0 warnings, 0 notes\nexit code 0"), told


def test_basedpyright_finds_nothing_in_the_code_of_strangers():
    told = run("basedpyright", "--warnings", "-p", str(STRANGERS / "pyrightconfig.json"))
    assert told.endswith("0 errors, 0 warnings, 0 notes\nexit code 0"), told


@pytest.mark.parametrize("line", ["BinanceAdapter('spot')", "reveal: int = FetchRequest"])
def test_a_line_that_stops_being_wrong_is_noticed(tmp_path, line):
    """The files of what is wrong prove something only if a right line with an excuse is an error."""
    shutil.copy(STRANGERS / "pyrightconfig.json", tmp_path)
    text = f"from quant_framework.ingestion.adapters import BinanceAdapter, FetchRequest\n{line}"
    (tmp_path / "code.py").write_text(f"{text}  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]\n")
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache")]
    assert "[unused-ignore]" in run("mypy", *options, "code.py", folder=tmp_path)
    assert "reportUnnecessaryTypeIgnoreComment" in run("basedpyright", "-p", str(tmp_path), folder=tmp_path)


def test_all_of_the_public_api_has_known_types(tmp_path):
    options = ["--verifytypes", "quant_framework", "--ignoreexternal", "--outputjson"]
    told = run("basedpyright", *options, folder=tmp_path, PYTHONPATH=str(ROOT / "python"))
    report: dict[str, Any] = json.loads(told[: told.rindex("}") + 1])["typeCompleteness"]
    assert report["exportedSymbolCounts"]["withKnownType"] > 1800
    unknown = [
        (symbol["name"], one["message"])
        for symbol in report["symbols"]
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
        for one in symbol["diagnostics"]
        if not AIRFLOWS.match(one["message"])
    ]
    assert unknown == []


PROTOCOLS = {
    "ADAPTERS": ports.IDataAdapter,
    "WRITERS": ports.IDataWriter,
    "STORES": ports.ICheckpointStore,
    "STRATEGIES": ports.IChunkStrategy,
    "LIMITERS": ports.IRateLimiter,
    "REPORTERS": ports.IProgressReporter,
    "CONTEXTS": ports.IWorkflowContext,
    "WORKFLOWS": ports.IWorkflow,
    "OPERATORS": ports.IOperator,
    "BUILDERS": ports.IDagBuilder,
}


def test_native_parts_are_what_their_protocols_say_when_the_program_runs():
    native = module(STRANGERS / "native.py")
    for name, protocol in PROTOCOLS.items():
        for kind in getattr(native, name):
            # A protocol with a property is asked for by its instances alone.
            is_one = hasattr(kind, "fetch") if name == "ADAPTERS" else issubclass(kind, protocol)
            assert is_one, (kind, name)
    made = (*native.functions(), CoinalyzeAdapter("key"), CcxtAdapter("kraken"))
    assert [isinstance(one, ports.IDataAdapter) for one in made] == [True, False, False, True, True]


def test_parts_of_authors_are_what_their_protocols_say_when_the_program_runs(monkeypatch):
    monkeypatch.syspath_prepend(STRANGERS)
    parts = module(STRANGERS / "parts.py")
    assert all(isinstance(one, ports.IDataAdapter) for one in parts.ADAPTERS)
    assert all(isinstance(one, ports.IDataWriter) for one in parts.WRITERS)
    assert all(isinstance(one, ports.ICheckpointStore) for one in parts.STORES)
    assert isinstance(parts.STRATEGY, ports.IChunkStrategy)
    assert not isinstance(parts.STRATEGY, ports.IRateLimiter)


def test_the_package_runs_without_typing_extensions():
    """Only checkers need it, which bring it with them: the wheel depends on nothing."""
    names = [name for name in modules() if not re.search(r"\.(airflow|operators|dag_builders|fixtures)\b", name)]
    assert len(names) > 50
    program = (
        f"import sys, importlib; sys.modules['typing_extensions'] = None; [*map(importlib.import_module, {names})]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", tasks.__all__)
def test_airflow_can_read_what_task_functions_return(name):
    """It makes an XCom of every key of a dict that the annotation promises."""
    kind = typing_extensions.get_type_hints(getattr(tasks, name))["return"]
    is_dict = isinstance(kind, type) and issubclass(kind, dict)
    assert is_dict == (name not in ("delete_checkpoint", "validate_staged"))
