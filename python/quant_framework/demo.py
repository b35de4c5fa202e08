"""`python -m quant_framework.demo`: a DAG through Airflow, on embedded defaults, against the offline exchange."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from quant_framework.cli.series import gaps, is_series, span
from quant_framework.ingestion.backfill import LocalCheckpointStore
from quant_framework.testing import OfflineExchange

DAG_ID = "demo"
DAG = """# Airflow reads only files that hold the words "airflow" and "dag".
from quant_framework.orchestration.dag_builders import BackfillDagBuilder

dag = BackfillDagBuilder(
    dag_id="demo",
    symbols=["BTC", "ETH"],
    timeframes=["1h", "1d"],
    data_types=["ohlcv", "open_interest"],
    start="2026-10-01",
).build()
"""
BARS = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}


def environment(home: Path, url: str) -> dict[str, str]:
    """Airflow and the product on embedded defaults under ``home``."""
    return os.environ | {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "QUANT_FRAMEWORK_HOME": str(home),
        "QUANT_FRAMEWORK_BASE_URL": url,
        "COINALYZE_API_KEY": "offline",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def airflow(variables: dict[str, str], *command: str) -> None:
    """Run one Airflow command; its output is shown only where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *command],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"airflow {' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def show(home: Path) -> None:
    """What lies in the lake and the checkpoints."""
    store = LocalCheckpointStore(home / "checkpoints")
    for key in store.list_sync():
        checkpoint = store.load_sync(key)
        if not is_series(key) or checkpoint is None:
            continue
        source, data_type, symbol, timeframe = key.split("/")
        folder = home / "lake" / "bronze" / f"source={source}" / f"dataset={data_type}" / f"symbol={symbol}"
        files = list((folder / f"timeframe={timeframe}").glob("*.parquet"))
        bars = sum((high - low) // BARS[timeframe] for low, high in checkpoint.data)
        whole = span(checkpoint)
        covered = f"{whole[0]:%Y-%m-%d} .. {whole[1]:%Y-%m-%d}" if whole else "nothing"
        print(f"  {key:<46} {bars:>4} bars in {len(files)} objects, covered {covered}, {gaps(checkpoint)}")


def main() -> None:
    """Run the demo."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path(".demo"), help="where everything goes (default ./.demo)")
    home: Path = options.parse_args().home.resolve()
    file = home / "dags" / "demo.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(DAG)
    # The same end for every run of one day, so that the second asks for nothing.
    end = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=28)
    with OfflineExchange() as exchange:
        variables = environment(home, exchange.url)
        print("preparing Airflow (SQLite)", flush=True)
        airflow(variables, "db", "migrate")
        print(f"running {file} through Airflow", flush=True)
        conf = json.dumps({"start": start.isoformat(), "end": end.isoformat()})
        airflow(variables, "dags", "test", DAG_ID, "--conf", conf)
        asked = exchange.stats()
    show(home)
    print(f"the exchange was asked {asked['requests']} times (weight {asked['weight']})")
    print(f"Parquet: {home / 'lake' / 'bronze'}")
    print("the same against the real API:")
    print(
        f"  COINALYZE_API_KEY=... quant-framework backfill --symbols BTC,ETH --timeframes 1h,1d "
        f"--data-types ohlcv,open_interest --start {start:%Y-%m-%d} --end {end:%Y-%m-%d}"
    )


if __name__ == "__main__":
    main()
