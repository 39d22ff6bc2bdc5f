"""Hours, days and devices as the real job keeps them."""

from __future__ import annotations

from sluice.schemas import GOLD_DEVICES, GOLD_READINGS_1DAY, GOLD_READINGS_1HOUR, ROLLUP_MINUTES
from sluice.serving.lake import OpenLake
from sluice.tables.delta import current_version
from sluice.testing import utc
from tests.streaming.conftest import Workshop, reading

START, DAY = utc(2024, 3, 1, 10), utc(2024, 3, 1)
NAMES = ("reading_count", "value_mean", "value_p50", "value_p95", "minutes_with_readings", "missing_minutes")


def test_hours_and_days_follow_the_minutes_and_the_devices_the_registry(workshop: Workshop) -> None:
    first = [reading(float(n), event_id=f"e{n}", timestamp=f"2024-03-01T10:0{n}:00Z") for n in range(4)]
    workshop.send([*first, reading(500.0, event_id="impossible"), reading(7.0, device_id="stranger")])
    workshop.drain()
    assert workshop.audit() == {}

    def of(device: str) -> list[tuple[object, ...]]:
        found = []
        for table in ROLLUP_MINUTES:
            rows = OpenLake(workshop.lake).arrow(table.full_name).to_pylist()
            found += [(row["bucket"], *(row[name] for name in NAMES)) for row in rows if row["device_id"] == device]
        return found

    assert of("sensor-0001") == [
        (START, 4, 1.5, 1.0, 3.0, 4, 56),
        (DAY, 4, 1.5, 1.0, 3.0, 4, 1436),
    ]
    assert of("stranger") == [
        (START, 1, 7.0, 7.0, 7.0, 1, None),
        (DAY, 1, 7.0, 7.0, 7.0, 1, None),
    ]
    devices = OpenLake(workshop.lake).arrow(GOLD_DEVICES.full_name).to_pylist()
    # As conf/devices.yaml has them: 1,000 sensors of four metrics and 200 meters of one.
    assert (len(devices), {row["valid_to"] for row in devices}) == (4200, {None})
    (meter,) = [row for row in devices if row["device_id"] == "meter-0001"]
    assert (meter["metric"], meter["unit"], meter["min"], meter["max"]) == ("power_watt", "W", 0.0, 3500.0)

    workshop.send([reading(10.0, event_id="late", timestamp="2024-03-01T10:03:30Z")])
    workshop.drain()
    assert workshop.audit() == {}
    assert of("sensor-0001") == [
        (START, 5, 3.2, 2.0, 10.0, 4, 56),
        (DAY, 5, 3.2, 2.0, 10.0, 4, 1436),
    ]
    versions = [current_version(workshop.lake, table) for table in (GOLD_READINGS_1HOUR, GOLD_READINGS_1DAY)]
    assert (versions, current_version(workshop.lake, GOLD_DEVICES)) == ([2, 2], 1)
