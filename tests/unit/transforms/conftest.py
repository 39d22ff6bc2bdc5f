"""The shipped contract and what both halves of reading make of messages, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from sluice.settings import home, read_yaml
from sluice.testing import bronze_rows
from sluice.transforms.contract import Contract, parse_contract
from sluice.transforms.parse import EVENT_COLUMNS, Limits, parse_events
from sluice.transforms.records import as_records
from sluice.transforms.suspects import decide_suspects

from .messages import BERLIN_DEVICE

Messages = Sequence[bytes | None]


class Readings(NamedTuple):
    """One row per message, in the order of the messages, `event_time` in microseconds."""

    parsed: list[Row]
    decided: list[Row]


def _collect(frame: DataFrame, *further: str) -> list[Row]:
    # In microseconds, since Python has no year 0 and none after 9999.
    times = {"event_time": F.unix_micros("event_time").alias("event_time")}
    columns = [times.get(name, F.col(name)) for name in EVENT_COLUMNS]
    return sorted(frame.select("offset", *columns, *further).collect(), key=lambda row: row["offset"])


@pytest.fixture(scope="session")
def shipped_contract() -> Contract:
    return parse_contract(read_yaml(home() / "conf" / "contract.yaml"))


@pytest.fixture(scope="session")
def read_messages(spark: SparkSession, shipped_contract: Contract) -> Callable[..., Readings]:
    """A function that gives what parse_events and decide_suspects make of messages."""
    zones = spark.createDataFrame([(BERLIN_DEVICE, "Europe/Berlin")], "device_id string, assume_time_zone string")

    def read(messages: Messages, contract: Contract = shipped_contract) -> Readings:
        records = as_records(bronze_rows(spark, messages))
        parsed = parse_events(records, contract, Limits())
        decided = decide_suspects(records, zones, contract, Limits())
        readings = Readings(
            _collect(parsed, "is_certain"), _collect(decided, "error_code", "error_detail", "unknown_fields")
        )
        assert len(readings.parsed) == len(readings.decided) == len(messages)
        return readings

    return read
