from __future__ import annotations

import pytest

from sluice.errors import InputInvalid
from sluice.sources.times import OffsetMissing, TimeReader, find_zone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-02-04 17:51:00", "2015-02-04T16:51:00Z"),
        ("2015-07-04 17:51", "2015-07-04T15:51:00Z"),
        (" 2015-02-04T17:51:59.5 ", "2015-02-04T16:51:59.500000Z"),
        ("2015-02-04 17:51:59,123456789", "2015-02-04T16:51:59.123456Z"),
        ("2015-02-04T17:51:00Z", "2015-02-04T17:51:00Z"),
        ("2015-02-04t17:51:00z", "2015-02-04T17:51:00Z"),
        ("2015-02-04T17:51:00-0330", "2015-02-04T21:21:00Z"),
        ("2015-12-31 23:30:00 -05:00", "2016-01-01T04:30:00Z"),
        ("1883-01-01 00:00:00", "1882-12-31T23:06:32Z"),
    ],
)
def test_times_become_utc(text: str, expected: str) -> None:
    times = TimeReader(find_zone("Europe/Berlin"))
    assert times.read(text) == expected
    assert (times.ambiguous, times.shifted) == (0, 0)


def test_of_a_time_that_occurs_twice_the_first_is_taken_and_counted() -> None:
    times = TimeReader(find_zone("Europe/Berlin"))
    # 2015-10-25: at 03:00 CEST the clock goes back to 02:00 CET.
    read = [times.read(f"2015-10-25 {clock}") for clock in ("01:59:59", "02:00:00", "02:59:59", "03:00:00")]
    assert read == ["2015-10-24T23:59:59Z", "2015-10-25T00:00:00Z", "2015-10-25T00:59:59Z", "2015-10-25T02:00:00Z"]
    assert (times.ambiguous, times.shifted) == (2, 0)


def test_a_time_that_does_not_occur_moves_forward_and_is_counted() -> None:
    times = TimeReader(find_zone("Europe/Berlin"))
    # 2015-03-29: at 02:00 CET the clock goes forward to 03:00 CEST.
    read = [times.read(f"2015-03-29 {clock}") for clock in ("01:59:59", "02:30:00", "03:00:00", "03:30:00")]
    assert read == ["2015-03-29T00:59:59Z", "2015-03-29T01:30:00Z", "2015-03-29T01:00:00Z", "2015-03-29T01:30:00Z"]
    assert (times.ambiguous, times.shifted) == (0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "04.02.2015 17:51",
        "2015-02-04",
        "17:51",
        "2015-02-30 00:00:00",
        "2015-02-04 24:00:00",
        "2015-02-04 17:51:60",
        "2015-02-04 17:51:00+99:00",
        "1423072260",
        "0001-01-01 00:00:00+01:00",
        "２015-02-04 17:51",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TimeReader(find_zone("UTC")).read(text)


def test_without_a_zone_only_times_with_an_offset_are_read() -> None:
    times = TimeReader(None)
    assert times.read("2015-02-04T17:51:00+01:00") == "2015-02-04T16:51:00Z"
    with pytest.raises(OffsetMissing):
        times.read("2015-02-04T17:51:00")


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(InputInvalid, match="unknown time zone"):
        find_zone(name)
