"""Real servers from wheels, on free loopback ports, killed by process group."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCESS, SECRET = "test-access-key", "test-secret-key"
# gRPC ports are the HTTP port + 10,000.
HIGHEST = 55_000


def free_port() -> int:
    """A port whose gRPC neighbour is free too."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port >= HIGHEST:
                continue
            try:
                two.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class SeaweedS3:
    """SeaweedFS's S3 gateway with checked credentials; buckets appear with their first object."""

    access_key, secret_key, region = ACCESS, SECRET, "us-east-1"

    def __enter__(self) -> SeaweedS3:
        self.folder = Path(tempfile.mkdtemp(prefix="weed-"))
        config = self.folder / "s3.json"
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        keys = [{"accessKey": ACCESS, "secretKey": SECRET}]
        config.write_text(json.dumps({"identities": [{"name": "test", "credentials": keys, "actions": actions}]}))
        master, volume, filer, admin, s3 = (free_port() for _ in range(5))
        self.endpoint = f"http://127.0.0.1:{s3}"
        flags = {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "admin.ui": "false",
            "webdav": "false",
            "master.port": master,
            "volume.port": volume,
            "filer.port": filer,
            "admin.port": admin,
            "s3.port": s3,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "filer.localSocket": self.folder / "f.sock",
            "s3.localSocket": self.folder / "s.sock",
            "s3.config": config,
        }
        command = [Path(sys.executable).with_name("weed"), "-logtostderr=true", "mini"]
        self.log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(
            [*command, *(f"-{name}={value}" for name, value in flags.items())],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self._wait()
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"weed ended: {(self.folder / 'log').read_text()[-2000:]}")
            try:
                urllib.request.urlopen(self.endpoint, timeout=5)
            except urllib.error.HTTPError:
                return  # it answers: an anonymous listing is refused
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("weed did not start within 60 s")

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
