"""What the public API says of itself: every public thing, and the sections of its docstring, in Google's style."""

from __future__ import annotations

import builtins
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import quant_framework
from quant_framework import errors

SECTIONS = ("Args", "Returns", "Raises")
HEADING = re.compile(r"^([A-Z]\w+):$")
ENTRY = re.compile(r"^    (\w+): \S")
REFERENCE = re.compile(r"(?:[Aa]s for|[Aa]s|[Ss]ee|[Aa]rguments of) ``([\w.]+)``")
PRIVATE = {"quant_framework.testing.__main__"}


@dataclass
class Thing:
    """A public module, class, function, method or property."""

    path: str
    object: Any

    @property
    def text(self) -> str:
        return inspect.cleandoc(self.object.__doc__ or "")


@dataclass
class Docstring:
    """The sections of a docstring by name: each the names that it describes, in order."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Docstring:
        found, section = cls(), None
        for line in text.splitlines():
            if heading := HEADING.match(line):
                section = heading[1]
                found.sections[section] = []
                found.unknown += [section] if section not in SECTIONS else []
            elif line and not line.startswith(" "):
                section = None
            elif section is not None and (entry := ENTRY.match(line)):
                found.sections[section].append(entry[1])
        return found

    def names(self, section: str) -> list[str]:
        return self.sections.get(section, [])


def modules() -> list[str]:
    """The public modules, and the compiled one."""
    walked = pkgutil.walk_packages(quant_framework.__path__, "quant_framework.")
    shown = [found.name for found in walked if not any(part.startswith("_") for part in found.name.split("."))]
    return ["quant_framework", "quant_framework._core", *sorted(set(shown) - PRIVATE)]


def things() -> Iterator[Thing]:
    """Everything public, once each."""
    seen: set[int] = set()
    for name in modules():
        module = importlib.import_module(name)
        yield Thing(name, module)
        names = getattr(module, "__all__", None) or [one for one in vars(module) if not one.startswith("_")]
        for one in names:
            found = getattr(module, one)
            is_ours = str(getattr(found, "__module__", "")).startswith("quant_framework")
            if not (inspect.isclass(found) or inspect.isroutine(found)) or not is_ours or id(found) in seen:
                continue
            seen.add(id(found))
            yield Thing(f"{name}.{one}", found)
            if inspect.isclass(found):
                yield from members(f"{name}.{one}", found)


def members(path: str, owner: type) -> Iterator[Thing]:
    """The public methods and properties that a class defines itself."""
    for name, held in vars(owner).items():
        if name.startswith("_"):
            continue
        plain = held.__func__ if isinstance(held, classmethod | staticmethod) else held
        if inspect.isroutine(plain) or isinstance(plain, property) or inspect.isgetsetdescriptor(plain):
            yield Thing(f"{path}.{name}", plain)


def parameters(thing: Any) -> dict[str, inspect.Parameter]:
    """What a call may give; empty where that cannot be told."""
    try:
        found = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return {}
    return {name: one for name, one in found.items() if name not in ("self", "cls")}


def described(thing: Any, seen: frozenset[int] = frozenset()) -> set[str]:
    """The arguments that a docstring describes, those of base classes and of what it refers to included."""
    if id(thing) in seen:
        return set()
    names: set[str] = set()
    for part in thing.__mro__ if inspect.isclass(thing) else (thing,):
        text = inspect.cleandoc(vars(part).get("__doc__") or "" if inspect.isclass(part) else part.__doc__ or "")
        names |= set(Docstring.parse(text).names("Args"))
        for reference in REFERENCE.findall(text):
            if (target := resolve(reference, thing)) is not None:
                names |= described(target, seen | {id(thing)})
    return names


def resolve(reference: str, beside: Any) -> Any:
    """What a docstring refers to: a dotted path, or a name of its module or of any public one."""
    if reference.startswith("quant_framework."):
        name, _, attribute = reference.rpartition(".")
        try:
            return getattr(importlib.import_module(name), attribute, None)
        except ImportError:
            return None
    first, *rest = reference.split(".")
    module = getattr(beside, "__module__", None)
    found = getattr(importlib.import_module(module), first, None) if module else None
    found = found or NAMED.get(first)
    return getattr(found, rest[0], None) if rest else found


def is_error(name: str) -> bool:
    """Whether one of our exceptions, or of Python's, has this name."""
    found = getattr(errors, name, None) or getattr(builtins, name, None)
    return inspect.isclass(found) and issubclass(found, Exception)


THINGS = list(things())
NAMED = {thing.path.rpartition(".")[2]: thing.object for thing in THINGS if not inspect.ismodule(thing.object)}
