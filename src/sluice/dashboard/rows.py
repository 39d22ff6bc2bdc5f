"""Rows of the lake's tables as dictionaries, and errors for people where a file of them is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from sluice.serving.lake import OpenLake
from sluice.serving.readonly import explain

Row = dict[str, Any]


def select(lake: OpenLake, sql: str, parameters: Mapping[str, object], devices: tuple[str, ...] | None) -> list[Row]:
    """The rows of one SELECT of ours; files are chosen by their statistics.

    Args:
        devices: given to the statement as `$devices`, unless None.

    Raises:
        SluiceError: a file went away while it was read, or a table holds what it must not.
    """
    given = dict(parameters) if devices is None else {**parameters, "devices": list(devices)}
    try:
        relation = lake.sql(sql, given or None)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    except duckdb.Error as error:
        raise explain(error, sql, tuple(lake.tables())) from None
