"""An exchange to test against offline, for this package's tests and for authors' own DAG tests."""

from quant_framework.testing.archive import OfflineArchive
from quant_framework.testing.exchange import OfflineExchange
from quant_framework.testing.faults import Fault
from quant_framework.testing.limits import Limits

__all__ = ["Fault", "Limits", "OfflineArchive", "OfflineExchange"]
