"""What is wrong with a builder's configuration, a line each; nothing here raises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from quant_framework import settings
from quant_framework.airflow.compat import Asset, AssetAlias
from quant_framework.airflow.connections import refuse_secrets
from quant_framework.errors import InvalidError
from quant_framework.ingestion.backfill import open_checkpoint_store
from quant_framework.ingestion.writers import BronzeWriter
from quant_framework.orchestration.operators.base import BaseDataOperator, is_template
from quant_framework.orchestration.tasks.running import aware

TEXTS = (
    *("description", "source", "lake", "checkpoint", "rate_limit", "pool"),
    *("minio_conn_id", "postgres_conn_id", "rate_limit_conn_id", "market_data_conn_id"),
)
DICTS = ("adapter_options", "operator_options", "default_args", "dag_options")
MOMENTS = ("start", "end")
OPENED: dict[str, Callable[[str], Any]] = {"lake": BronzeWriter, "checkpoint": open_checkpoint_store}
RESERVED = ("task_id", "symbols", "timeframes", "data_types")


def check_values(values: Mapping[str, Any]) -> list[str]:
    """Types and forms of a builder's own arguments."""
    errors = [] if is_name(values["dag_id"]) else [f"dag_id must be a text that is not empty, not {values['dag_id']!r}"]
    errors += [
        f"{name} must be a text, not {values[name]!r}" for name in TEXTS if not isinstance(values[name], str | None)
    ]
    errors += [
        f"{name} must be a dict, not {values[name]!r}" for name in DICTS if not isinstance(values[name], dict | None)
    ]
    if not isinstance(values["silver"], bool):
        errors.append(f"silver must be True or False, not {values['silver']!r}")
    errors += _outlets(values["outlets"])
    errors += [error for name in MOMENTS if (error := _moment(name, values.get(name)))]
    operator = values["operator"]
    if operator is not None and not (isinstance(operator, type) and issubclass(operator, BaseDataOperator)):
        errors.append(f"operator must be an operator class of this package or one of yours, not {operator!r}")
    return errors + list(_places(values))


def _places(values: Mapping[str, Any]) -> Iterator[str]:
    if values["rate_limit"] and values["rate_limit_conn_id"]:
        yield "rate_limit and rate_limit_conn_id name two places; leave one out"
    for name in ("lake", "checkpoint", "rate_limit", "adapter_options", "source"):
        try:
            _check(name, values[name])
        except InvalidError as error:
            yield str(error)


def _check(name: str, value: Any) -> None:
    refuse_secrets(**{name: value})
    if not isinstance(value, str) or not value or is_template(value):
        return
    if name == "source":
        settings.check_source(value)
    elif opened := OPENED.get(name):
        opened(value)


def _outlets(outlets: Any) -> list[str]:
    is_list = isinstance(outlets, Sequence) and not isinstance(outlets, str | bytes)
    if outlets is None or (is_list and all(isinstance(one, Asset | AssetAlias | str) for one in outlets)):
        return []
    return [f"outlets must be a list of assets or of their names, not {outlets!r}"]


def _moment(name: str, value: Any) -> str | None:
    if value is None or is_template(value):
        return None
    try:
        aware(value, name)
    except InvalidError as error:
        return str(error)
    return None


def is_name(value: Any) -> bool:
    """Whether ``value`` is a text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def check_names(argument: str, values: Any) -> list[str]:
    """What is wrong with a list of names."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        return [f"{argument} must be a list of names, not {values!r}"]
    if not values:
        return [f"{argument} is empty"]
    wrong = [value for value in values if not is_name(value)]
    twice = sorted({value for value in values if is_name(value) and list(values).count(value) > 1})
    return [f"{argument} holds {value!r}, which is no name" for value in wrong] + [
        f"{argument} holds {value!r} twice" for value in twice
    ]


def check_options(what: str, options: Any, target: Any) -> list[str]:
    """Names that none of ``target``'s constructors takes, or that the builder says itself."""
    if not isinstance(options, dict) or not isinstance(target, type) or not options:
        return []
    known = {name for part in target.__mro__ if "__init__" in vars(part) for name in _parameters(part)}
    errors = []
    for name in sorted(map(str, options)):
        if what == "operator" and name in RESERVED:
            errors.append(f"operator_options must not hold {name!r}, which the builder says")
        elif name not in known:
            close = get_close_matches(name, known, 1)
            errors.append(f"{what} has no argument {name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))
    return errors


def _parameters(part: type) -> list[str]:
    return [
        name for name in inspect.signature(vars(part)["__init__"]).parameters if name not in ("self", "args", "kwargs")
    ]


def one_line(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InvalidError) else f"{type(error).__name__}: {text}"
