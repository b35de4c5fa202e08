"""What the command line does with YAML files of DAGs, without Airflow: ``validate`` of files, ``schema``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from quant_framework import _core, config_files

TEXT = "print the JSON Schema of YAML files of DAGs, for editors"


def add_to(commands: Any) -> None:
    """Add the command to a parser's sub-commands."""
    commands.add_parser("schema", help=TEXT, description=TEXT)


def validate(arguments: argparse.Namespace) -> bool:
    """Print everything that is wrong."""
    checked = config_files.check(arguments.paths)
    problems, dags = checked["problems"], [spec["dag_id"] for spec in checked["dags"]]
    if arguments.json:
        print(json.dumps({"dags": dags, "files": checked["files"], "problems": problems}))
        return not problems
    for problem in problems:
        print(problem["text"])
    counts = f"{len(dags)} DAGs are right in {checked['files']} files, {len(problems)} errors"
    print(counts, file=sys.stderr)
    return not problems


def schema(arguments: argparse.Namespace) -> bool:
    """Print the JSON Schema."""
    print(json.dumps(_core.config_schema(), indent=None if arguments.json else 2))
    return True


COMMANDS = {"schema": schema}
"""By name; each answers whether everything is well."""
