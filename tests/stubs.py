"""Copies the docstrings of the compiled core into its stub: types are written by hand there, docs in Rust.

`make stubs` writes the file; tests/python/test_types.py fails where it is not what this makes.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

from quant_framework import _core

STUB = Path(__file__).parents[1] / "python" / "quant_framework" / "_core.pyi"
SLOTS = {"__new__", "__eq__", "__ne__", "__len__"}
"""Methods whose docs are Python's own."""


def without_docs(body: list[ast.stmt]) -> list[ast.stmt]:
    """Everything but docstrings and ``...``."""
    return [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]


def documented(node: ast.ClassDef | ast.FunctionDef, thing: Any) -> None:
    """Give ``node`` the docstring of ``thing``."""
    rest = without_docs(node.body)
    lines = inspect.cleandoc(thing.__doc__).splitlines() if thing.__doc__ and node.name not in SLOTS else []
    margin = " " * (node.col_offset + 4)
    text = "\n".join(line if not (number and line) else margin + line for number, line in enumerate(lines))
    if len(lines) > 1:
        text += f"\n{margin}"
    docs = [ast.Expr(ast.Constant(text))] if lines else []
    node.body = [*docs, *rest] or [ast.Expr(ast.Constant(...))]


def generated() -> str:
    """The stub with every docstring, formatted."""
    tree = ast.parse(STUB.read_text("utf-8"))
    tree.body = [
        part for part in tree.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
    ]
    tree.body.insert(0, ast.Expr(ast.Constant(inspect.cleandoc(_core.__doc__ or ""))))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        thing = getattr(_core, node.name)
        documented(node, thing)
        for part in node.body:
            if isinstance(node, ast.ClassDef) and isinstance(part, ast.FunctionDef):
                documented(part, inspect.getattr_static(thing, part.name))
    text = ast.unparse(tree)
    for how in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        command = [sys.executable, "-m", "ruff", *how, "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    STUB.write_text(generated(), "utf-8")
