"""The wheel as a stranger gets it: what is in it, and a fresh Airflow environment in which the examples run.

``QF_WHEEL`` names the wheel (``make wheel`` does); else one is packed of the build that is tested.
"""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import quant_framework

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
UV = (sys.executable, "-m", "uv")
LARGEST = 15_000_000
"""Bytes of an optimised wheel."""
# Each of them may be the first one, which packs the wheel and makes the environment.
pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(1800)]


def run(*command: object, cwd: Path | None = None, **variables: str) -> str:
    """What a command prints; it must succeed."""
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=environment | variables, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    if given := os.environ.get("QF_WHEEL"):
        return Path(given).resolve()
    out = tmp_path_factory.mktemp("wheel")
    run(BIN / "maturin", "build", "--locked", "--profile", "dev", "--out", out, cwd=ROOT, VIRTUAL_ENV=str(BIN.parent))
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def inside(wheel) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as archive:
        yield archive


def environment(folder: Path, wheel: Path, *constraints: object) -> Path:
    """The folder of programs of a new environment: an Airflow, the wheel and its extras."""
    run(*UV, "venv", "--quiet", "--python", os.path.realpath(sys.executable), folder)
    wanted = [f"quant-framework[airflow,ccxt,testing] @ {wheel.as_uri()}", "pyarrow"]
    python = folder / "bin" / "python"
    run(*UV, "pip", "install", "--quiet", "--python", python, *constraints, *wanted)
    run(*UV, "pip", "check", "--python", python)
    return folder / "bin"


def run_examples(programs: Path, folder: Path) -> None:
    """The tests of the examples, which need no other file of the tests, with the installed package."""
    where = run(programs / "python", "-c", "import quant_framework; print(quant_framework.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(programs.parent), "the installed one, not the checkout"
    shutil.copytree(ROOT / "dags_examples", folder / "dags_examples")
    tests = folder / "tests" / "python"
    tests.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "python" / "test_examples.py", tests)
    run(programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, cwd=folder)


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory) -> Path:
    """An environment of the Airflow of the lock file."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    return environment(folder, wheel, "--constraint", ROOT / "requirements" / "dev.lock")


def test_one_wheel_for_every_python_from_3_10(wheel):
    assert re.fullmatch(r"quant_framework-[\d.]+-cp310-abi3-(manylinux_2_\d+|linux)_\w+\.whl", wheel.name), wheel.name
    report = json.loads(run(BIN / "abi3audit", "--strict", "--report", wheel))
    (audited,) = [one["result"] for spec in report["specs"].values() for one in spec["wheel"]]
    assert (audited["computed"], audited["non_abi3_symbols"], audited["future_abi3_objects"]) == ("3.10", [], {})


def test_what_is_in_it(inside):
    names = inside.namelist()
    top = {name.split("/")[0] for name in names}
    version = quant_framework.__version__
    assert top == {"quant_framework", f"quant_framework-{version}.dist-info"}
    for needed in ("py.typed", "_core.pyi", "_core.abi3.so", "testing/fixtures.py", "airflow/provider_info.py"):
        assert f"quant_framework/{needed}" in names
    licenses = {Path(name).name for name in names if "/licenses/" in name}
    assert licenses >= {"LICENSE", "THIRD_PARTY_LICENSES"}
    assert not [name for name in names if "test_" in name or name.endswith((".rs", ".pyc"))]


def test_what_it_says_of_itself(inside):
    (name,) = [name for name in inside.namelist() if name.endswith(".dist-info/METADATA")]
    said = email.message_from_bytes(inside.read(name))
    assert said["Version"] == quant_framework.__version__
    assert (said["License-Expression"], said["Requires-Python"]) == ("Apache-2.0", ">=3.10")
    assert said.get_all("Provides-Extra") == ["airflow", "ccxt", "testing"]
    always = [text for text in said.get_all("Requires-Dist") or [] if "extra ==" not in text]
    assert always == [], "whatever is installed beside it stays as it is"
    assert "# quant_framework" in said.get_payload()


@pytest.mark.skipif("QF_WHEEL" not in os.environ, reason="only the optimised wheel has a limit: make wheel")
def test_it_is_small_and_runs_on_older_systems(wheel):
    assert wheel.stat().st_size < LARGEST
    assert "manylinux" in wheel.name
    assert re.search(
        r"consistent with\s+the\s+following\s+platform\s+tag:\s*\"manylinux", run(BIN / "auditwheel", "show", wheel)
    )


def test_every_crate_that_is_linked_has_its_licence_in_it():
    tree = ("cargo", "tree", "--locked", "--features", "python", "--edges", "normal", "--prefix", "none")
    used = {tuple(line.split()[:2]) for line in run(*tree, "--format", "{p}", cwd=ROOT).splitlines() if line}
    texts = (ROOT / "THIRD_PARTY_LICENSES").read_text()
    told = set(re.findall(r"(?m)^  (\S+) (\d\S*)(?:  https?://\S+)?$", texts))
    missing = {(name, version[1:]) for name, version in used if name != "quant_framework"} - told
    assert not missing, "make licenses"


def test_an_environment_of_airflow_takes_it_and_the_examples_run(fresh, tmp_path):
    assert run(fresh / "quant-framework", "--version").split()[-1] == quant_framework.__version__
    run_examples(fresh, tmp_path)


OLDER = {"3.1.8": "2026-03-20", "3.2.2": "2026-06-15"}
"""The last patch of each older Airflow that is supported, and when the packages that it fits to were the newest."""


@pytest.mark.skipif("QF_WHEEL" not in os.environ, reason="only before a release: make wheel")
@pytest.mark.parametrize("version", OLDER)
def test_older_airflows_take_it_and_the_examples_run(version, wheel, tmp_path):
    (tmp_path / "airflow.txt").write_text(f"apache-airflow=={version}\n")
    of_then = ("--exclude-newer", OLDER[version], "--constraint", tmp_path / "airflow.txt")
    run_examples(environment(tmp_path / "venv", wheel, *of_then), tmp_path)


def test_the_demo_runs_where_there_is_no_checkout(fresh, tmp_path):
    first = run(fresh / "python", "-m", "quant_framework.demo", cwd=tmp_path)
    assert "0 gaps" in first
    second = run(fresh / "python", "-m", "quant_framework.demo", cwd=tmp_path)
    assert "was asked 0 times" in second


def test_the_source_distribution_is_whole(tmp_path):
    run(BIN / "maturin", "sdist", "--out", tmp_path, cwd=ROOT)
    (packed,) = tmp_path.glob("quant_framework-*.tar.gz")
    with tarfile.open(packed) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    tracked = run(
        "git", "ls-files", "src", "python", "Cargo.lock", "LICENSE", "THIRD_PARTY_LICENSES", cwd=ROOT
    ).splitlines()
    assert names >= {*tracked, "PKG-INFO"}
    assert not [
        name
        for name in names
        if name.endswith((".so", ".pyc")) or "/." in name or name.startswith(("target/", "dist/"))
    ]
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    run("cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--no-deps", cwd=folder)
