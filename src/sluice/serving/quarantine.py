"""What silver refused, from silver/quarantine without Spark: in groups, as single records, and one with its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.errors import EventUnknown, TargetInvalid
from sluice.schemas import COORDINATES, QUARANTINE_OPEN, QUARANTINE_STATUSES, SILVER_QUARANTINE
from sluice.serving.evidence import Configs, failed_rules
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake
from sluice.serving.promotions import promotions_about
from sluice.serving.records import Coordinates, coordinates_of
from sluice.serving.retries import judging_promotion, later_promotions, read_retries
from sluice.serving.target import RecordAt, read_target
from sluice.tables.selection import At, Selection

Row = dict[str, Any]
ALL = "all"
STATUSES = (*QUARANTINE_STATUSES, ALL)
SAMPLES = 3
_RAW = ("headers", "key", "value")
_LISTED = tuple(name for name in SILVER_QUARANTINE.column_names if name not in _RAW)


@dataclass(frozen=True)
class Group:
    """Quarantined records that were refused alike.

    Attributes:
        device_id: None where records are not told apart by it, or it is not known.
        oldest_at, newest_at: when the first and the last of them was quarantined, UTC.
        most_attempts: how often one of them was judged at most.
        samples: of some, the newest first, `coordinates` and `error_detail`.
    """

    error_code: str
    stage: str
    device_id: str | None
    records: int
    oldest_at: datetime
    newest_at: datetime
    most_attempts: int
    samples: tuple[Row, ...]


@dataclass(frozen=True)
class Refused:
    """One quarantined record.

    Attributes:
        row: its columns of silver/quarantine.
        rules: the rules it broke, see `evidence.failed_rules`.
        promotions: ledger rows of the promotions that refused, replayed or discarded it, the earliest first.
    """

    row: Row
    rules: tuple[Row, ...]
    promotions: tuple[Row, ...]

    @property
    def coordinates(self) -> Coordinates:
        """Where it stood in Kafka."""
        return coordinates_of(self.row)


def list_groups(
    lake: OpenLake, selection: Selection, status: str = QUARANTINE_OPEN, *, per_device: bool = False
) -> list[Group]:
    """The selected records by error code and stage, the most first.

    Args:
        status: one of STATUSES.
        per_device: by device too.
    """
    where, parameters = _where(selection, status)
    device = "device_id" if per_device else "NULL::VARCHAR"
    sql = f"""SELECT error_code, stage, {device} AS device_id, count(*) AS records,
        min(first_seen_at) AS oldest_at, max(first_seen_at) AS newest_at, max(attempts) AS most_attempts,
        arg_max(
            struct_pack(topic, topic_generation, "partition", "offset", error_detail),
            (first_seen_at, topic_generation, "offset", "partition"), {SAMPLES}
        ) AS samples
        FROM silver.quarantine WHERE {where}
        GROUP BY error_code, stage, 3 ORDER BY records DESC, error_code, stage, device_id"""  # noqa: S608 (our own names)
    rows = TableFiles(lake).query(sql, parameters, [SILVER_QUARANTINE])
    return [Group(**{**row, "samples": tuple(map(_sample, row["samples"]))}) for row in rows]


def _sample(found: Row) -> Row:
    return {"coordinates": str(coordinates_of(found)), "error_detail": found["error_detail"]}


def list_records(lake: OpenLake, selection: Selection, status: str, limit: int) -> list[Row]:
    """The selected records without their bytes, the ones quarantined last first.

    Args:
        status: one of STATUSES.
        limit: at most so many; 0 for all.
    """
    where, parameters = _where(selection, status)
    columns = ", ".join(f'"{name}"' for name in _LISTED)
    order = 'ORDER BY first_seen_at DESC, topic, topic_generation, "partition", "offset"'
    most = f"LIMIT {limit}" if limit else ""
    sql = f"SELECT {columns} FROM silver.quarantine WHERE {where} {order} {most}"  # noqa: S608 (our own names)
    return TableFiles(lake).query(sql, parameters, [SILVER_QUARANTINE])


def count_records(lake: OpenLake, selection: Selection, status: str) -> int:
    """How many records are selected."""
    where, parameters = _where(selection, status)
    sql = f"SELECT count(*) AS records FROM silver.quarantine WHERE {where}"  # noqa: S608 (our own names)
    return int(TableFiles(lake).query(sql, parameters, [SILVER_QUARANTINE])[0]["records"])


def count_open(lake: OpenLake, selection: Selection) -> int:
    """How many records a replay or a discard would be about."""
    return count_records(lake, selection, QUARANTINE_OPEN)


def read_outcome(lake: OpenLake, promotion_id: str) -> tuple[Row, dict[str, int]]:
    """The ledger row of a replay or a discard, and the records that it refused once more or discarded, by error code.

    Both are empty as long as it has no ledger row.
    """
    files = TableFiles(lake)
    row = next((each for each in read_retries(files) if each["promotion_id"] == promotion_id), None)
    if row is None:
        return {}, {}
    sql = """SELECT error_code, count(*) AS records FROM silver.quarantine
        WHERE last_seen_at = $at AND first_seen_at < $at GROUP BY error_code ORDER BY error_code"""
    found = files.query(sql, {"at": row["decided_at"]}, [SILVER_QUARANTINE])
    return row, {each["error_code"]: each["records"] for each in found}


def read_record(lake: OpenLake, text: str) -> Refused:
    """The quarantined record at TOPIC[:GENERATION]:PARTITION:OFFSET, with its bytes.

    Raises:
        TargetInvalid: the text is not of that form, or means records of several generations.
        EventUnknown: no such record is in quarantine.
    """
    files = TableFiles(lake)
    target = at_of(text)
    parameters = {"topic": target.topic, "partition": target.partition, "offset": target.offset}
    where = 'topic = $topic AND partition = $partition AND "offset" = $offset'
    wanted = {"partition": [target.partition], "offset": [target.offset]}
    rows = files.rows(SILVER_QUARANTINE, where, parameters, wanted)
    rows = [row for row in rows if target.generation in (None, row["topic_generation"])]
    if not rows:
        raise EventUnknown(f"{target} is not in silver.quarantine", f"sluice trace {target} tells where it is")
    if len(rows) > 1:
        found = ", ".join(str(coordinates_of(row)) for row in rows)
        raise TargetInvalid(f"{target} is in several generations of the topic", f"ask for one of {found}")
    return _explain(files, rows[0])


def at_of(text: str) -> At:
    """The coordinates that a text writes.

    Raises:
        TargetInvalid: it writes none.
    """
    (target,) = read_target(text, "coordinates")
    if not isinstance(target, RecordAt):
        raise TargetInvalid(f"{text!r} are no coordinates", "write TOPIC:PARTITION:OFFSET")
    return At(target.topic, target.generation, target.partition, target.offset)


def _explain(files: TableFiles, row: Row) -> Refused:
    first = promotions_about(files, {row["promotion_id"]} - {None}, ())
    retries = read_retries(files)
    judged_by = judging_promotion(SILVER_QUARANTINE, row, {each["promotion_id"]: each for each in first}, retries)
    rules = failed_rules(SILVER_QUARANTINE, row, judged_by, Configs(files))
    return Refused(row, tuple(rules), (*first, *later_promotions(row, retries)))


def _where(selection: Selection, status: str) -> tuple[str, dict[str, object]]:
    """SQL over silver.quarantine, and its parameters."""
    wanted, parameters = ["true"], dict[str, object]()
    named = {"error_code": selection.code, "device_id": selection.device_id, "stage": selection.stage}
    for column, value in {**named, "status": None if status == ALL else status}.items():
        if value is not None:
            wanted.append(f"{column} = ${column}")
            parameters[column] = value
    if selection.since is not None:
        wanted.append("first_seen_at >= $since")
        parameters["since"] = selection.since
    if selection.records:
        places = [_is_at(number, each, parameters) for number, each in enumerate(selection.records)]
        wanted.append(f"({' OR '.join(places)})")
    return " AND ".join(wanted), parameters


def _is_at(number: int, record: At, parameters: dict[str, object]) -> str:
    named = dict(zip(COORDINATES, record, strict=True))
    given: Sequence[str] = [name for name, value in named.items() if value is not None]
    parameters.update({f"{name}_{number}": named[name] for name in given})
    return "(" + " AND ".join(f'"{name}" = ${name}_{number}' for name in given) + ")"
