"""Which store the settings and the environment name, and a way into it; the DSN is never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sluice.errors import DependencyError, DsnInvalid, SecretMissing
from sluice.secret_files import read_secret_file
from sluice.sections import PublishSettings
from sluice.serving.publish.sqlite import SqliteStore
from sluice.serving.publish.store import Store

DSN_VARIABLE = "SLUICE_PUBLISH_DSN"


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
        return read_secret_file(path)
    except SecretMissing as error:
        raise DsnInvalid(f"publish.dsn_path: {error.message}", error.hint) from None


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
