"""Whose a device is, over time: what a key of one customer may see of tables that name none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import append, at, build_lake, reading

from sluice.api.owners import BEGINNING, END, Interval, Owners, Span
from sluice.api.snapshot import LakeWatch


def owners(*spans: tuple[str | None, int, int]) -> Owners:
    return Owners({"d": [Span(customer, None, first, last) for customer, first, last in spans]})


@pytest.mark.parametrize(
    ("spans", "acme"),
    [
        ([("acme", 10, 20)], [(BEGINNING, END)]),
        ([("other", 10, 20)], []),
        ([(None, 10, 20)], []),
        ([("acme", 10, 20), ("other", 30, 40)], [(BEGINNING, 30)]),
        ([("other", 10, 20), ("acme", 30, 40)], [(21, END)]),
        ([(None, 10, 20), ("acme", 30, 40), ("other", 50, 60)], [(21, 50)]),
        ([("acme", 10, 30), ("other", 20, 40)], []),
        ([("acme", 20, 40), ("other", 10, 30)], [(31, END)]),
        ([("acme", 10, 40), ("other", 20, 30)], [(31, END)]),
        ([("acme", 20, 30), ("other", 10, 40)], []),
    ],
)
def test_a_time_is_a_customers_where_no_other_has_readings(
    spans: list[tuple[str | None, int, int]], acme: list[tuple[int, int]]
) -> None:
    found = owners(*spans).intervals("d", frozenset({"acme"}))

    assert found == [Interval("acme", None, since, until) for since, until in acme]


def test_a_single_reading_is_of_the_one_customer_whose_time_it_lies_in() -> None:
    found = owners(("acme", 10, 30), ("other", 20, 40))

    assert [getattr(found.owner_at("d", time), "customer", None) for time in (15, 25, 35, 50)] == [
        "acme",
        None,
        "other",
        None,
    ]
    assert found.sole_customer("d") is None
    assert owners(("acme", 10, 20)).sole_customer("d") == "acme"
    assert found.owner_at("unheard", 15) is None


def test_owners_follow_the_table_also_when_it_is_made_anew(tmp_path: Path) -> None:
    lake = build_lake(tmp_path / "lake", {"silver.readings": [reading(1, at("12:00:00"), customer="acme", site="n")]})
    watch = LakeWatch(lake, 1.0)

    def seen() -> list[tuple[str, str | None, str | None]]:
        watch.refresh()
        found = watch.snapshot().owners
        return sorted((each, span.customer, span.site) for each in found.devices if (span := found.newest(each)))

    assert seen() == [("sensor-0001", "acme", "n")]
    before = watch.snapshot()
    watch.refresh()
    assert watch.snapshot() is before

    append(lake, "silver.readings", [reading(2, at("12:00:05"), customer="other", site="s", device_id="b")])
    assert seen() == [("b", "other", "s"), ("sensor-0001", "acme", "n")]

    (lake / "silver" / "readings").rename(tmp_path / "gone")
    build_lake(lake, {"silver.readings": [reading(1, at("12:00:00"), device_id="c")]})
    append(lake, "silver.readings", [reading(2, at("12:00:00"), device_id="c")])
    assert seen() == [("c", None, None)]
