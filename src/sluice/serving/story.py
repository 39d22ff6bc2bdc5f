"""A trace told in the order of time, a line an occurrence; the texts may hold anything, so print them harmlessly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from sluice.schemas import (
    APPROVE,
    BRONZE_EVENTS,
    DISCARD,
    DUPLICATE_CONFLICT,
    QUARANTINE_DISCARDED,
    QUARANTINE_OPEN,
    REJECT,
    REPLAY,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.records import coordinates_of
from sluice.serving.trace import HELD, MISSING, PENDING, Event, Record
from sluice.serving.values import plain

Row = dict[str, Any]
# Of what happened at one moment, what is told first.
_STEPS = (BRONZE_EVENTS, SILVER_HELD, SILVER_READINGS, SILVER_DUPLICATES, SILVER_QUARANTINE)
# What people asked for.
_PEOPLES = (APPROVE, REJECT, REPLAY, DISCARD)
_MOST_TEXT = 240
_LAST = datetime.max.replace(tzinfo=timezone.utc)
_ENDS = {
    HELD: "waits in silver.held: sluice gate show {promotion}",
    PENDING: "pending: silver has not read it yet",
    MISSING: "in no table of silver, though silver has read past it: sluice audit tells more",
}


class Step(NamedTuple):
    """Something that happened, or, last of all, how things stand.

    Attributes:
        at: when it happened; None where that is unknown, and of how things stand.
        is_now: it is how things stand.
    """

    at: datetime | None
    what: str
    is_now: bool = False


def story(event: Event) -> list[Step]:
    """What happened to an event and its copies, the earliest first; what has no time stands at the end."""
    ledger = {row["promotion_id"]: row for row in event.promotions}
    steps: list[tuple[int, Step]] = []
    for record in event.records:
        for table, row in record.places:
            steps.append((_STEPS.index(table), _step(record, table, row, ledger)))
            if table is SILVER_QUARANTINE and (row["attempts"] or 1) > 1 and row["status"] != QUARANTINE_DISCARDED:
                steps.append((_STEPS.index(table), _refused_again(record, row, event.promotions)))
        if record.state in _ENDS:
            promotion = (record.row(SILVER_HELD) or {}).get("promotion_id")
            end = _ENDS[record.state].format(promotion=promotion)
            steps.append((len(_STEPS), Step(None, f"{record.coordinates} {end}", is_now=True)))
    steps += [(len(_STEPS), _decision(row)) for row in event.promotions if row["kind"] in _PEOPLES]
    for row in event.promotions:
        if row["layer"] == "gold":
            steps.append((len(_STEPS), Step(_moment(row["decided_at"]), f"{_named(row)} wrote its minutes")))
    return [step for _, step in sorted(steps, key=lambda item: (item[1].at or _LAST, item[0]))]


def _step(record: Record, table: Table, row: Row, ledger: Mapping[str, Row]) -> Step:
    at = record.coordinates
    promotion = ledger.get(row.get("promotion_id", ""), {})
    decided_at = _moment(promotion.get("decided_at"))
    by = _named(promotion) if promotion else f"{row.get('promotion_id')}, which has no ledger row,"
    if table is BRONZE_EVENTS:
        size = f"{len(row['value']):,} bytes" if row["value"] is not None else "no value"
        sent = _text(row["kafka_timestamp"])
        return Step(_moment(row["ingested_at"]), f"{at} landed in bronze.events ({size}, Kafka time {sent})")
    if table is SILVER_HELD:
        return Step(decided_at, f"{by} held {at} with its batch; that is {row['status']} now")
    if table is SILVER_QUARANTINE:
        return Step(_moment(row["first_seen_at"]), f"{by} {_refusal(record, row)}")
    if table is SILVER_DUPLICATES:
        kept = coordinates_of(row, "kept_")
        return Step(decided_at, f"{by} dropped {at} as a copy; {kept} is kept")
    flag = f"quality {row['quality_flag']}, schema version {row['schema_version']}"
    return Step(_moment(row["promoted_at"]), f"{by} promoted {at} to silver.readings ({flag})")


def _refusal(record: Record, row: Row) -> str:
    status = "" if row["status"] == QUARANTINE_OPEN else f"; that is {row['status']} now"
    if (row["attempts"] or 1) > 1:
        # The reason that the row states is the latest one.
        return f"quarantined {record.coordinates}{status}"
    what = "conflicting copy " if row["error_code"] == DUPLICATE_CONFLICT else ""
    return f"quarantined {what}{record.coordinates}: {row['error_code']}, {row['error_detail']}{status}"


def _refused_again(record: Record, row: Row, promotions: Iterable[Row]) -> Step:
    at = row["last_seen_at"]
    by = next((_named(each) for each in promotions if each["kind"] == REPLAY and each["decided_at"] == at), "a replay")
    reason = f"{row['error_code']}, {row['error_detail']}"
    return Step(_moment(at), f"{by} refused {record.coordinates} again: {reason}; attempt {row['attempts']}")


def _decision(row: Row) -> Step:
    who = f" by {row['decided_by']}" if row["decided_by"] else ""
    why = f": {row['why']}" if row["why"] else ""
    what = f"{row['promotion_id']}: {row['kind']} of {row['parent_promotion_id'] or 'quarantined records'}{who}{why}"
    return Step(_moment(row["decided_at"]), what)


def _named(promotion: Row) -> str:
    kind = "" if promotion["kind"] == "batch" else f"{promotion['kind']}, "
    return f"{promotion['promotion_id']} ({kind}{promotion['verdict'] or 'no verdict'})"


def rule_text(rule: Row) -> str:
    """The rule of a failed rule, in a line: type, arguments, severity."""
    entry = rule["rule"]
    if entry is None:
        return "its text is not in ops.configs"
    arguments = ", ".join(f"{name}={_text(value)}" for name, value in (entry.get("kwargs") or {}).items())
    return f"{entry.get('type')}({arguments}), {entry.get('severity')}"


def values_text(rule: Row) -> str:
    """The values a failed rule saw, in a line."""
    return ", ".join(f"{column} = {_seen(value)}" for column, value in rule["values"].items()) or "unknown"


def _seen(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _text(value)
    unit = f" {value['unit']}" if value.get("unit") else ""
    return f"{_text(value['sent'])}{unit} (sent as {value['field']})"


def minute_text(row: Row) -> str:
    """A minute of gold, in a line."""
    unit = f" {row['unit']}" if row["unit"] else ""
    spread = f"mean {_text(row['value_mean'])}{unit}, min {_text(row['value_min'])}, max {_text(row['value_max'])}"
    out = f", {row['out_of_range_count']} out of range" if row["out_of_range_count"] else ""
    return f"{_text(row['bucket'])} {row['metric']}: {row['reading_count']} readings, {spread}{out}"


def _moment(value: Any) -> datetime | None:
    # Beyond what Python's times can hold, a time is a text.
    return value if isinstance(value, datetime) else None


def _text(value: Any) -> str:
    text = str(plain(value)) if value is not None else "null"
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
