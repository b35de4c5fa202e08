"""Buckets as hosts, ``bucket.s3.test``, as AWS has them: in a child whose hosts file knows the name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from checkpoint_processes import make_bucket
from quant_framework.ingestion.backfill import MinIOCheckpointStore
from servers import DOMAIN, SeaweedS3

KEY = "test/ohlcv/BTC/1m"
CHILD = """
import sys
from datetime import datetime, timezone
from quant_framework.ingestion.backfill import MinIOCheckpointStore
bucket, endpoint, access, secret, region, path_style = sys.argv[1:]
store = MinIOCheckpointStore(bucket, "below", endpoint, access, secret, region, path_style=path_style == "True")
day = [datetime(2024, 1, number, tzinfo=timezone.utc) for number in (1, 2)]
store.commit_sync("test/ohlcv/BTC/1m", data=[tuple(day)])
print(store.list_sync())
"""


def with_hosts(hosts: Path, *command: str) -> list[str]:
    """``command`` in a mount namespace of its own, with ``hosts`` as its hosts file."""
    return ["unshare", "-Urm", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts), *command]


@pytest.fixture(scope="module")
def server():
    with SeaweedS3() as server:
        yield server


@pytest.mark.parametrize("path_style", [False, True])
def test_a_bucket_in_the_host_and_a_bucket_in_the_path_are_the_same(path_style, server, tmp_path):
    bucket = make_bucket(server)
    hosts = tmp_path / "hosts"
    # Only the one form resolves: a request of the other kind finds no server.
    hosts.write_text(f"127.0.0.1 {DOMAIN if path_style else f'{bucket}.{DOMAIN}'}\n")
    if not shutil.which("unshare") or subprocess.run(with_hosts(hosts, "true"), check=False).returncode:
        pytest.skip("no namespaces to be had here (unshare -Urm)")
    endpoint = f"http://{DOMAIN}:{urlsplit(server.endpoint).port}"
    arguments = [bucket, endpoint, server.access_key, server.secret_key, server.region, str(path_style)]
    command = with_hosts(hosts, sys.executable, "-c", CHILD, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == f"['{KEY}']\n", done.stderr
    keys = (server.access_key, server.secret_key, server.region)
    assert MinIOCheckpointStore(bucket, "below", server.endpoint, *keys).load_sync(KEY).data
