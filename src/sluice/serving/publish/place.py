"""Which store the settings and the environment name, and a way into it; the DSN is never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from sluice.errors import DependencyError, DsnInvalid
from sluice.sections import PublishSettings
from sluice.serving.publish.sqlite import SqliteStore
from sluice.serving.publish.store import Store

DSN_VARIABLE = "SLUICE_PUBLISH_DSN"
_MOST_BYTES = 64 * 1024


def open_store(settings: PublishSettings, environment: Mapping[str, str] | None = None) -> Store:
    """The PostgreSQL database of the DSN in the environment, else in publish.dsn_path; without one the SQLite file.

    Args:
        environment: os.environ unless given.

    Raises:
        DsnInvalid: the DSN cannot be read or understood, or others could read it too.
        DependencyError: the store cannot be reached, or another process publishes to it.
    """
    dsn = find_dsn(settings, os.environ if environment is None else environment)
    if dsn is None:
        return SqliteStore.open(settings.path)
    try:
        from sluice.serving.publish.postgres import PostgresStore
    except ImportError:
        raise DependencyError("psycopg is not installed", "pip install 'sluice[serving]'") from None
    return PostgresStore.open(dsn, settings)


def find_dsn(settings: PublishSettings, environment: Mapping[str, str]) -> str | None:
    """The DSN that is in force; None where there is none.

    Raises:
        DsnInvalid: as `open_store` says.
    """
    if (given := environment.get(DSN_VARIABLE, "").strip()) != "":
        return _checked(given, DSN_VARIABLE)
    if settings.dsn_path is None:
        return None
    return _checked(_read(settings.dsn_path), str(settings.dsn_path))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise DsnInvalid(f"{path} can be read by others than its owner", f"chmod 600 {path}")
            return file.read(_MOST_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise DsnInvalid(f"cannot read publish.dsn_path {path}: {error.strerror}", "check the path") from None
    except UnicodeDecodeError:
        raise DsnInvalid(f"{path} is not UTF-8", "write the DSN as one line of text") from None


def _checked(dsn: str, where: str) -> str:
    try:
        import psycopg
    except ImportError:
        raise DependencyError("psycopg is not installed", "pip install 'sluice[serving]'") from None
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        # Its message repeats what it did not understand, which may be the password.
        raise DsnInvalid(
            f"what {where} holds is no DSN that PostgreSQL understands (not shown)",
            "write postgresql://user:password@host:5432/database?sslmode=verify-full or host=… dbname=… user=…",
        ) from None
    if not dsn:
        raise DsnInvalid(f"{where} is empty", "write the DSN into it, or set publish.dsn_path to null")
    return dsn
