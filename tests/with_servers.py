"""Runs a command with one S3 server and one PostgreSQL for all its tests: ``with_servers.py COMMAND ARGS...``.

A server that the environment names already is not started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path


def start(stack: ExitStack) -> dict[str, str]:
    """The environment of the command."""
    sys.path.insert(0, str(Path(__file__).with_name("python")))
    from postgres_server import Postgres
    from servers import SeaweedS3

    environment = dict(os.environ)
    if "QF_TEST_S3" not in environment:
        s3 = stack.enter_context(SeaweedS3())
        environment["QF_TEST_S3"] = s3.endpoint
        environment |= {"QF_TEST_S3_ACCESS": s3.access_key, "QF_TEST_S3_SECRET": s3.secret_key}
    if "QF_TEST_POSTGRES" not in environment:
        environment["QF_TEST_POSTGRES"] = stack.enter_context(Postgres()).dsn
    return environment


def run(command: list[str], environment: dict[str, str]) -> int:
    """The command's exit code, as a shell tells it."""
    process = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal tells the command too
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        return run(sys.argv[1:], start(stack))


if __name__ == "__main__":
    sys.exit(main())
