"""One connection by its name, and the difference between "there is none" and "nobody could say".

Airflow 3 raises the same for both: ``Connection.get`` takes every failure of a secrets backend, or of the API server
behind a task, for "not here". So where it finds nothing, each place is asked again for what it has to say.
"""

from __future__ import annotations

from typing import Any

from quant_framework.airflow.compat import (
    AirflowException,
    AirflowNotFoundException,
    Connection,
    secrets_backends,
    supervisor_lacks_connection,
)
from quant_framework.errors import InvalidError, QuantFrameworkError, UnavailableError

__all__ = ["connection"]


def connection(conn_id: str) -> Any:
    """The connection.

    Args:
        conn_id: its name.

    Raises:
        InvalidError: there is none, or what stands there is no connection.
        UnavailableError: Airflow's API server or a secrets backend did not answer; the task may be retried.

    """
    try:
        return Connection.get(conn_id)
    except AirflowNotFoundException:
        raise reason(conn_id) from None


def reason(conn_id: str) -> QuantFrameworkError:
    """Why no place has the connection. What a backend raised is not told, as it may hold the secret."""
    for backend in secrets_backends():
        name = type(backend).__name__
        if name == "ExecutionAPISecretsBackend":
            if not supervisor_lacks_connection(conn_id):
                return UnavailableError(f"Airflow's API server did not give connection {conn_id!r}")
            continue
        try:
            backend.get_connection(conn_id=conn_id)
        except (AirflowException, ValueError, TypeError):
            return InvalidError(f"connection {conn_id!r} cannot be read", f"mend what {name} has for it")
        except Exception as error:
            return UnavailableError(f"{name} did not give connection {conn_id!r} ({type(error).__name__})")
    return InvalidError(f"there is no connection {conn_id!r}", "add it: airflow connections add ...")
