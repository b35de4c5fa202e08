"""Plain functions for TaskFlow: ``task(read_checkpoint)(series=...)``. They import no Airflow."""

from quant_framework.orchestration.tasks.checkpoint_tasks import delete_checkpoint, read_checkpoint, write_checkpoint

__all__ = ["delete_checkpoint", "read_checkpoint", "write_checkpoint"]
