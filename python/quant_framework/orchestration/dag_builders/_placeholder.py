"""The DAG that stands for one that cannot be made, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quant_framework.airflow.compat import DAG, AirflowFailException, BaseOperator

TAG = "config-error"


class ConfigErrorOperator(BaseOperator):
    """Fails without a retry, and says what is wrong with the configuration."""

    ui_color = "#f8d7da"

    def __init__(self, *, errors: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.errors = list(errors)

    def execute(self, context: Any) -> None:
        """Fail."""
        raise AirflowFailException("; ".join(self.errors))


def placeholder(dag_id: str, errors: Sequence[str]) -> DAG:
    """A DAG without a schedule that shows ``errors``."""
    lines = "\n".join(f"- {error}" for error in errors)
    dag = DAG(
        dag_id,
        description=errors[0] if errors else None,
        schedule=None,
        tags=[TAG],
        doc_md=f"The configuration of this DAG is wrong:\n\n{lines}\n",
    )
    ConfigErrorOperator(task_id="config_error", errors=errors, retries=0, dag=dag)
    return dag
