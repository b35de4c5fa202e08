"""What the command line does with YAML files of DAGs, without Airflow: ``validate | schema``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from quant_framework import _core, config_files

TEXTS = {
    "validate": "check YAML files of DAGs; every error with its file, line and column",
    "schema": "print the JSON Schema of YAML files of DAGs, for editors",
}


def add_to(commands: Any) -> None:
    """Add the commands to a parser's sub-commands."""
    for name, text in TEXTS.items():
        commands.add_parser(name, help=text, description=text)
    commands.choices["validate"].add_argument("paths", nargs="+", metavar="PATH", help="files and folders")


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


COMMANDS = {"validate": validate, "schema": schema}
"""By name; each answers whether everything is well."""
