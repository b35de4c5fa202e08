"""An auth manager of Airflow with rights per DAG: nobody but the admin may read ``secret_dag``."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PickyAuthManager(SimpleAuthManager):
    """As the simple one, but for one DAG, and for what the tasks of another returned."""

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        dag_id = details.id if details else None
        entity = access_entity.name if access_entity else None
        refused = dag_id == "secret_dag" or (dag_id == "secret_results" and entity == "XCOM")
        if refused and user.role != "admin":
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
