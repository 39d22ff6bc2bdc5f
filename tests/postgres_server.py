"""A real PostgreSQL server in a folder of its own, for tests; found where distributions put it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

PASSWORD = "canary-p4ssw0rd"
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Server:
    """A running server; databases are made on demand."""

    folder: Path

    def dsn(self, database: str = "postgres") -> str:
        """Where a database is, for its owner; with the password."""
        return f"host={self.folder} port=5432 dbname={database} user=sluice password={PASSWORD}"

    def new_database(self, name: str) -> str:
        """The DSN of a database made just now."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.dsn(name)


def find_programs() -> Path | None:
    """The folder with initdb and postgres; None where there is none."""
    for folder in ["/usr/local/bin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)]:
        if all((Path(folder) / name).exists() for name in ("initdb", "postgres")):
            return Path(folder)
    found = shutil.which("initdb")
    return Path(found).parent if found and shutil.which("postgres", path=str(Path(found).parent)) else None


def _as_other_user(folder: Path) -> list[str]:
    """What stands before a command so that it does not run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return []
    import pwd

    for name in _ACCOUNTS:
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            os.chown(folder, account.pw_uid, account.pw_gid)
            return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    raise RuntimeError(f"none of the accounts {', '.join(_ACCOUNTS)} exists, and PostgreSQL does not run as root")


@contextmanager
def running_server(programs: Path, folder: Path) -> Iterator[Server]:
    """A server on a socket in the folder, which must have a short path that others may enter."""
    user = _as_other_user(folder)
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    initdb = [*user, str(programs / "initdb"), "-D", str(data), "-U", "sluice", "-E", "UTF8", "--locale=C"]
    subprocess.run(
        [*initdb, "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "--no-instructions"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    options = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "shared_buffers=16MB")
    given = [part for option in options for part in ("-c", option)]
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [*user, str(programs / "postgres"), "-D", str(data), *given], stdout=log, stderr=log, cwd=folder
    )
    try:
        server = Server(folder)
        _await(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=30)
        log.close()


def _await(server: Server, process: subprocess.Popen[bytes], timeout_seconds: float = 30) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            psycopg.connect(server.dsn()).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
