"""The tables of one statement as they were at a moment, or the only one of them at a version."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from sluice.errors import QueryInvalid
from sluice.serving.versions import Version
from sluice.tables.reading import connect

if TYPE_CHECKING:
    from sluice.serving.lake import OpenLake

# Statements that list tables must see all of them; everything else only pays for those it names.
CATALOGUE = re.compile(r"\b(show|information_schema|pg_catalog|sqlite_master|duckdb_\w+)\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r"\$\w+|\?")


def snapshot(lake: OpenLake, text: str, as_of: Version, optional: Collection[str] = ()) -> dict[str, int]:
    """The tables that a statement reads, with the version that each is to be read at.

    Args:
        as_of: a moment: each table at its newest version then; or the version of the one table it reads.
        optional: tables that are left out where they did not exist yet.

    Raises:
        LakeMissing: a table has no such version.
        QueryInvalid: a version was given, and the statement reads more or less than one table.
    """
    names = _read_by(lake, text)
    if not isinstance(as_of, int):
        return {name: lake.version_of(name, as_of) for name in names if not _is_younger(lake, name, as_of, optional)}
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise QueryInvalid(
            f"version {as_of} is one table's, and the query reads {len(names)}: {listed}",
            "give a time: each table is read at its newest version then",
        )
    return {names[0]: lake.version_of(names[0], as_of)}


def _is_younger(lake: OpenLake, name: str, moment: datetime, optional: Collection[str]) -> bool:
    if name not in optional:
        return False
    versions = lake.versions(name)
    return versions.oldest == 0 and versions.commit(0).written_at > moment


def _read_by(lake: OpenLake, text: str) -> list[str]:
    """The existing tables that a statement reads; where DuckDB cannot tell, those it mentions."""
    if CATALOGUE.search(_COMMENT.sub("", text)):
        return lake.tables()
    try:
        # It does not tell of statements with parameters.
        found = connect().get_table_names(_PARAMETER.sub("NULL", text), qualified=True)
    except duckdb.Error:
        return lake.mentioned(text)
    read = {each.split(" AS ")[0].replace('"', "").lower() for each in found}
    return [name for name in lake.tables() if name in read]
