"""What the page reads, once for each version of the tables it comes from, whoever looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import streamlit as st

from sluice.dashboard.alerts import read_alerts
from sluice.dashboard.decisions import read_decisions
from sluice.dashboard.fleet import read_fleet, read_ranges
from sluice.dashboard.freshness import read_freshness
from sluice.dashboard.quality import read_quality
from sluice.dashboard.refused import read_reasons
from sluice.dashboard.trends import read_activity, read_hours, read_trends
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_ALERTS,
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    GOLD_QUALITY_SCORES,
    GOLD_READINGS_1MIN,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.lake import OpenLake, open_lake
from sluice.serving.promotions import open_holds

# Table and newest version; None for a table that is not there.
Versions = tuple[tuple[str, int | None], ...]
Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")
_LEDGERS = (OPS_SILVER_PROMOTIONS, OPS_GOLD_PROMOTIONS)
# What each reader reads: its answer stands until one of these tables has a newer version.
_READ_BY: Mapping[Callable[..., object], tuple[Table, ...]] = {
    read_freshness: (BRONZE_EVENTS, SILVER_READINGS, GOLD_READINGS_1MIN, GOLD_LATEST_READINGS),
    read_fleet: (GOLD_LATEST_READINGS, OPS_SILVER_PROMOTIONS),
    read_ranges: (OPS_SILVER_PROMOTIONS,),
    read_trends: (GOLD_READINGS_1MIN,),
    read_activity: (GOLD_READINGS_1MIN,),
    read_hours: (GOLD_READINGS_1MIN,),
    read_quality: (GOLD_QUALITY_SCORES,),
    read_reasons: (SILVER_QUARANTINE,),
    open_holds: (SILVER_HELD, GOLD_HELD, *_LEDGERS),
    read_decisions: _LEDGERS,
    read_alerts: (GOLD_ALERTS,),
}
_READERS = {reader.__name__: reader for reader in _READ_BY}


class Reading:
    """Answers about one lake, each kept for all visitors until a table that it comes from has a newer version.

    Not to be shared between threads.

    Raises:
        LakeMissing: there is no lake, or not one table in it.
    """

    def __init__(self, path: Path) -> None:
        lake = open_lake(path)
        self._path = str(lake.path)
        wanted = {table.full_name for tables in _READ_BY.values() for table in tables}
        self._versions = {name: lake.delta(name).version() for name in lake.tables() if name in wanted}

    def ask(
        self, reader: Callable[Concatenate[OpenLake, Asked], Answer], *values: Asked.args, **named: Asked.kwargs
    ) -> Answer:
        """What a reader answers about the lake with the given values, which must be hashable.

        Raises:
            SluiceError: what the reader raises.
        """
        versions = tuple((table.full_name, self._versions.get(table.full_name)) for table in _READ_BY[reader])
        answer: Answer = _answer(self._path, versions, reader.__name__, values, tuple(sorted(named.items())))
        return answer


@st.cache_data(max_entries=128, show_spinner=False)
def _answer(
    path: str,
    versions: Versions,  # noqa: ARG001 (part of what an answer is kept under)
    reader: str,
    values: tuple[object, ...],
    named: tuple[tuple[str, object], ...],
) -> Any:
    return _READERS[reader](open_lake(path), *values, **dict(named))
