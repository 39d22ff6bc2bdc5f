"""Every hostile message there is, through a real broker and all layers: none stops them, each is in one place."""

from __future__ import annotations

import os
from collections import Counter

from sluice.schemas import (
    BRONZE_EVENTS,
    COORDINATES,
    DUPLICATE_CONFLICT,
    RULE_FAILED,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    TIME_OUT_OF_RANGE,
    TOO_LARGE,
)
from sluice.tables.rows import read_rows
from tests.streaming.conftest import Workshop
from tests.unit.transforms.messages import BERLIN_DEVICE, cases

# Its time zone stands in a registry that this lake does not have.
CASES = sorted(
    (case for case in cases() if BERLIN_DEVICE.encode() not in (case.message or b"")),
    key=lambda case: case.message is None,
)
TWENTY_MEBIBYTES = os.urandom(20 * 1024 * 1024)


def test_each_hostile_message_is_where_its_contract_says_and_nothing_stops(workshop: Workshop) -> None:
    workshop.send([case.message for case in CASES if case.message is not None])
    # Kafka takes no record that has neither key nor value.
    workshop.send([case.message for case in CASES if case.message is None], key=b"k")
    workshop.send([TWENTY_MEBIBYTES])
    workshop.drain()
    sent = len(CASES) + 1
    assert len(read_rows(workshop.lake, BRONZE_EVENTS, ["offset"])) == sent
    refused = {
        row["offset"]: row["error_code"]
        for row in read_rows(workshop.lake, SILVER_QUARANTINE, ["offset", "error_code"])
    }
    expected = {number: case.outcome for number, case in enumerate(CASES) if isinstance(case.outcome, str)}
    expected[len(CASES)] = TOO_LARGE
    assert {number: refused.get(number) for number in expected} == expected
    # What could be read may still break a rule, or be the same event in another spelling.
    assert {refused[number] for number in set(refused) - set(expected)} <= {
        RULE_FAILED,
        DUPLICATE_CONFLICT,
        TIME_OUT_OF_RANGE,
    }
    places = Counter(
        row["offset"]
        for table in (SILVER_READINGS, SILVER_QUARANTINE, SILVER_DUPLICATES)
        for row in read_rows(workshop.lake, table, COORDINATES)
    )
    assert places == dict.fromkeys(range(sent), 1)
    assert workshop.audit() == {}
