"""An exchange to test against offline, for this package's tests and for authors' own DAG tests."""

from quant_framework.testing.exchange import OfflineExchange
from quant_framework.testing.faults import Fault

__all__ = ["Fault", "OfflineExchange"]
