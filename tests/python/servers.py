"""Real servers on free loopback ports, each in a folder of its own, killed by process group."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from certificates import Authority

DOMAIN = "s3.test"
"""A bucket is served as a host below it too."""
ACCESS, SECRET, REGION = "test-access-key", "test-secret-key", "us-east-1"
# Below the kernel's own range: no outgoing connection takes the port of a server that is about to start again.
LOWEST, HIGHEST = 12_000, 22_000
# gRPC ports are the HTTP port + 10,000.
NEIGHBOUR = 10_000
GRPC_PORTS = {"master.port", "volume.port", "filer.port", "admin.port", "s3.port"}
START_SECONDS = 180
# Names in the kernel, gone with this process: no other test process is given the same port.
_claims: list[socket.socket] = []


def free_port() -> int:
    """A port that no test process was given, whose gRPC neighbour is free too."""
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as one, socket.socket() as two:
            try:
                claim.bind(f"\0quant-framework-test-port-{port}")
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + NEIGHBOUR))
            except OSError:
                claim.close()
                continue
        _claims.append(claim)
        return port


class Server:
    """One program, ready when entered. A server says how to ``prepare``, its ``command`` and when it is ``ready``."""

    process: subprocess.Popen | None = None

    def prepare(self) -> None:
        raise NotImplementedError

    def command(self) -> list[object]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)
        self._wait()

    def kill(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{type(self).__name__} ended: {self._last_words()}")
            if self.ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{type(self).__name__} was not ready within {START_SECONDS} s: {self._last_words()}")

    def _last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


@dataclass(frozen=True)
class S3Address:
    """An S3 server that runs already."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = REGION


class SeaweedS3(Server):
    """SeaweedFS's S3 gateway with checked credentials; buckets appear with their first object."""

    access_key, secret_key, region = ACCESS, SECRET, REGION

    def __init__(self, tls: bool = False) -> None:
        self.tls = tls
        self.ca_file: Path | None = None
        self.flags: dict[str, object] = {}

    def prepare(self) -> None:
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        keys = [{"accessKey": ACCESS, "secretKey": SECRET}]
        config = {"identities": [{"name": "test", "credentials": keys, "actions": actions}]}
        (self.folder / "s3.json").write_text(json.dumps(config))
        self.flags = self._flags()
        self.endpoint = f"http://127.0.0.1:{self.flags['s3.port']}"
        if self.tls:
            authority = Authority(self.folder)
            port = free_port()
            self.endpoint, self.ca_file = f"https://127.0.0.1:{port}", authority.ca_file
            certificate = {"s3.cert.file": authority.cert_file, "s3.key.file": authority.key_file}
            self.flags |= {"s3.port.https": port} | certificate
        self.trust = ssl.create_default_context(cafile=self.ca_file)

    def _flags(self) -> dict[str, object]:
        return {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            # Each bucket takes seven, and by itself the server makes as many as fit the disk that is free.
            "volume.max": 5000,
            "admin.ui": "false",
            "webdav": "false",
            **{name: free_port() for name in GRPC_PORTS},
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "filer.localSocket": self.folder / "f.sock",
            "s3.localSocket": self.folder / "s.sock",
            "s3.config": self.folder / "s3.json",
            "s3.domainName": DOMAIN,
        }

    def command(self) -> list[object]:
        weed = [Path(sys.executable).with_name("weed"), "-logtostderr=true", "mini"]
        return [*weed, *(f"-{name}={value}" for name, value in self.flags.items())]

    def kill(self) -> None:
        super().kill()
        for name in GRPC_PORTS & self.flags.keys():  # it leaves these, whatever the temporary folder is
            path = Path(f"/tmp/seaweedfs-{name.removesuffix('.port')}-grpc-{self.flags[name] + NEIGHBOUR}.sock")
            path.unlink(missing_ok=True)

    def ready(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=5, context=self.trust).close()
        except urllib.error.HTTPError:
            return True  # it answers: an anonymous listing is refused
        except OSError:
            return False
        return True
