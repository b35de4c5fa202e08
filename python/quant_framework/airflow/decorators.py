"""``@task.quant_backfill``: a backfill whose symbols and range a function decides at run time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from inspect import iscoroutinefunction
from typing import Any, ClassVar

from quant_framework.airflow.compat import (
    AirflowFailException,
    Context,
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)
from quant_framework.orchestration.operators import BackfillOperator

__all__ = ["quant_backfill_task"]

REQUIRED = ("symbols", "timeframes")
NAMES = (*REQUIRED, "data_types")
MOMENTS = ("start", "end")


class QuantBackfillDecoratedOperator(DecoratedOperator, BackfillOperator):
    """A ``BackfillOperator`` that asks a function what to fetch, before each try and after each parking."""

    template_fields: Sequence[str] = (  # pyright: ignore[reportIncompatibleVariableOverride]  # Airflow's bases differ
        *DecoratedOperator.template_fields,
        *BackfillOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **BackfillOperator.template_fields_renderers,
        **DecoratedOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.quant_backfill"
    # The UI shows what the function chose.
    overwrite_rtif_after_execution = True

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if iscoroutinefunction(python_callable):
            raise TypeError("@task.quant_backfill wants a plain function, not an async one")
        kwargs = {name: [] for name in REQUIRED} | kwargs
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def execute(self, context: Context) -> Any:
        """Ask the function, then run the backfill."""
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        chosen = checked(self.python_callable.__name__, self.python_callable(*self.op_args, **arguments))
        for name, value in chosen.items():
            setattr(self, name, value)
        missing = [name for name in REQUIRED if not getattr(self, name)]
        if missing:
            raise AirflowFailException(
                f"{self.python_callable.__name__} chose no {missing[0]}, and @task.quant_backfill has none"
            )
        return super().execute(context)


def checked(function: str, chosen: Any) -> dict[str, Any]:
    """What ``function`` returned, if it is a choice; ``None`` as a value leaves the decorator's."""
    known = (*NAMES, *MOMENTS)
    if not isinstance(chosen, Mapping):
        raise AirflowFailException(
            f"{function} returned {type(chosen).__name__}; @task.quant_backfill wants a dict of {', '.join(known)}"
        )
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise AirflowFailException(f"{function} returned the key {unknown[0]!r}; use {', '.join(known)}")
    for name, value in chosen.items():
        if not (value is None or (right_names(value) if name in NAMES else isinstance(value, str | datetime))):
            wanted = "a list of texts" if name in NAMES else "a datetime or ISO 8601 text"
            raise AirflowFailException(f"{function} returned {name} as {type(value).__name__}; it must be {wanted}")
    return {name: value for name, value in chosen.items() if value is not None}


def right_names(value: Any) -> bool:
    """A single text would be taken for one name per letter."""
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def quant_backfill_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """Make a backfill of a function that returns what to fetch.

    Args:
        python_callable: returns a dict with any of ``symbols, timeframes, data_types, start, end``; what it leaves out
            comes from the decorator's arguments.
        kwargs: of ``BackfillOperator``.

    """
    # The function's annotation says what it chose, not what the task returns.
    kwargs.setdefault("multiple_outputs", False)
    return task_decorator_factory(python_callable, decorated_operator_class=QuantBackfillDecoratedOperator, **kwargs)
