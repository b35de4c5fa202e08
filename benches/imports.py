"""Milliseconds that this package adds to a process that imports it, and to Airflow where it is installed.

First ``make build-dist``. The argument: how many rounds; they take all scenes in turn, each in a fresh process. There
Airflow discovers its providers without this package first, so that everything else is loaded, and then with it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 21
DISCOVERY = """
import sys, time
if sys.version_info >= (3, 12):
    from importlib import metadata
else:
    import importlib_metadata as metadata  # as Airflow does
everything = list(metadata.distributions())
others = [known for known in everything if known.name != "quant-framework"]
metadata.distributions = lambda: others
from airflow._shared import module_loading
from airflow._shared.providers_discovery import providers_discovery
from airflow.providers_manager import ProvidersManager
assert "quant-framework" not in ProvidersManager().providers
validator = providers_discovery._create_provider_info_schema_validator()
def discover():
    module_loading._get_grouped_entry_points.cache_clear()
    known, began = {}, time.perf_counter()
    providers_discovery.discover_all_providers_from_packages(known, validator)
    return time.perf_counter() - began, known
without = min(discover()[0] for _ in range(3))
metadata.distributions = lambda: everything
assert "quant_framework" not in sys.modules
took, known = discover()
assert "quant-framework" in known and "quant_framework._core" not in sys.modules
print(without, took)
"""
SCENES = {
    "python": "pass",
    "import quant_framework": "import quant_framework",
    "provider_info (no importlib.metadata yet)": (
        "from quant_framework.airflow.provider_info import get_provider_info; get_provider_info()"
    ),
    "importlib.metadata": "import importlib.metadata; importlib.metadata.version('apache-airflow')",
    "the core": "import quant_framework._core",
    "operators": "import quant_framework.orchestration.operators",
    "airflow.sdk.BaseOperator": "from airflow.sdk import BaseOperator",
}


def run(code: str) -> tuple[float, str]:
    """How long a fresh interpreter takes, and what it prints."""
    began = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return time.perf_counter() - began, printed


def main() -> None:
    """Print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    times: dict[str, list[float]] = {name: [] for name in SCENES}
    found: list[list[float]] = []
    for code in SCENES.values():
        run(code)
    for _ in range(rounds):
        for name, code in SCENES.items():
            times[name].append(run(code)[0] * 1e3)
        found.append([float(part) * 1e3 for part in run(DISCOVERY)[1].split()])
    print(f"| fresh process, {rounds} rounds | ms (median) | least - most | more than python |\n|---|---|---|---|")
    for name, taken in times.items():
        more = statistics.median(one - bare for one, bare in zip(taken, times["python"], strict=True))
        print(f"| {name} | {statistics.median(taken):.1f} | {min(taken):.1f} - {max(taken):.1f} | {more:.1f} |")
    added = [took - without for without, took in found]
    print(
        f"\nAirflow's discovery of providers: {statistics.median(without for without, _ in found):.1f} ms; with this "
        f"package {statistics.median(added):.1f} ms more ({min(added):.1f} - {max(added):.1f})"
    )


if __name__ == "__main__":
    main()
