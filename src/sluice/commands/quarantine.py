"""`sluice quarantine ls` and `show`: what silver refused, and why; these only read."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import age_text, invocation, print_table, say
from sluice.errors import UsageError
from sluice.schemas import ERROR_CODES, QUARANTINE_OPEN

if TYPE_CHECKING:
    from sluice.serving.lake import OpenLake
    from sluice.serving.quarantine import Group, Refused
    from sluice.tables.selection import Selection

app = typer.Typer(
    name="quarantine",
    help="Look at what silver refused, and let it be judged anew or discard it.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json")]
Code = Annotated[str | None, typer.Option(help="Only this error code.")]
Device = Annotated[str | None, typer.Option(help="Only this device, where it could be read.", metavar="DEVICE_ID")]
Since = Annotated[str | None, typer.Option(help="Only what was quarantined from this moment on.", metavar="TIME")]
_GROUP_COLUMNS = ("error_code", "stage", "records", "oldest", "newest", "attempts", "example", "detail")
_RECORD_COLUMNS = ("record", "error_code", "stage", "device_id", "quarantined", "age", "attempts", "status", "detail")
_NUMBERS = ("records", "attempts")
_HEX_BYTES = 16


class Stage(str, Enum):
    """Where silver refused a record."""

    parse = "parse"
    rules = "rules"
    deduplicate = "deduplicate"


class Status(str, Enum):
    """What became of a quarantined record."""

    open = "open"
    replayed = "replayed"
    discarded = "discarded"
    all = "all"


def register(parent: typer.Typer) -> None:
    """Adds `sluice quarantine`."""
    parent.add_typer(app)


@app.command("ls")
def list_quarantine(
    ctx: typer.Context,
    code: Code = None,
    device: Device = None,
    stage: Annotated[Stage | None, typer.Option(help="Only what was refused there.")] = None,
    since: Since = None,
    status: Annotated[Status, typer.Option(help="Only records in this state.")] = Status.open,
    per_device: Annotated[bool, typer.Option("--per-device", help="One line per device too.")] = False,
    records: Annotated[bool, typer.Option("--records", help="Single records, the newest first.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="With --records: at most N; 0: all.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what silver refused, by error code and stage: how many, how old, an example."""
    from sluice.serving.quarantine import list_groups

    selection = selection_of(code, device, stage, since)
    lake = _lake(ctx)
    if records:
        _list_records(lake, selection, status.value, limit, as_json)
        return
    groups = list_groups(lake, selection, status.value, per_device=per_device)
    now = datetime.now(timezone.utc)
    if as_json:
        found = [{**asdict(group), **_ages(group, now)} for group in groups]
        print_plain_json({"status": status.value, "records": sum(group.records for group in groups), "groups": found})
        return
    _print_groups(groups, status.value, now, per_device)


@app.command("show")
def show(
    ctx: typer.Context,
    record: Annotated[str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET")],
    most: Annotated[
        int, typer.Option("--bytes", min=0, help="Of key, value and headers at most N each; 0: all.")
    ] = 512,
    as_json: AsJson = False,
) -> None:
    """Show one quarantined record: its bytes as text and hex, its headers, why it was refused, what became of it.

    TOPIC:GENERATION:PARTITION:OFFSET where a topic was made anew. Exit 1 if it is not in quarantine.
    """
    from sluice.serving.quarantine import read_record

    found = read_record(_lake(ctx), record)
    if as_json:
        print_plain_json(_as_json(found, most or None))
    else:
        _print_record(found, most or None)


def selection_of(
    code: str | None, device: str | None, stage: Stage | None, since: str | None, records: list[str] | None = None
) -> Selection:
    """What the options of a command select.

    Raises:
        UsageError: a code is unknown, or a time or coordinates are not written as such.
    """
    from sluice.serving.quarantine import at_of
    from sluice.serving.target import parse_moment
    from sluice.tables.selection import Selection

    if code is not None and code not in ERROR_CODES:
        raise UsageError(f"there is no error code {code!r}", f"one of {', '.join(ERROR_CODES)}")
    moment = parse_moment(since) if since is not None else None
    if since is not None and moment is None:
        raise UsageError(f"--since {since!r}: no RFC 3339 time with an offset", "e.g. 2026-03-01T12:00:00Z")
    places = tuple(sorted({at_of(each) for each in records or ()}, key=str))
    return Selection(code, device, stage.value if stage else None, moment, places)


def _list_records(lake: OpenLake, selection: Selection, status: str, limit: int, as_json: bool) -> None:
    from sluice.serving.quarantine import count_records, list_records
    from sluice.serving.records import coordinates_of

    rows, total = list_records(lake, selection, status, limit), count_records(lake, selection, status)
    if as_json:
        listed = [{"coordinates": str(coordinates_of(row)), **row} for row in rows]
        print_plain_json({"status": status, "records": total, "listed": listed})
        return
    now = datetime.now(timezone.utc)
    if rows:
        print_table(_RECORD_COLUMNS, ([*_cells(row, now)] for row in rows), _NUMBERS)
    say(f"{len(rows):,} of {total:,} records; the bytes of one: sluice quarantine show RECORD" if rows else _NOTHING)


_NOTHING = "no such record is in quarantine"


def _cells(row: dict[str, Any], now: datetime) -> list[Any]:
    from sluice.serving.records import coordinates_of

    known = [row[name] for name in ("error_code", "stage", "device_id", "first_seen_at")]
    age = age_text((now - row["first_seen_at"]).total_seconds())
    return [str(coordinates_of(row)), *known, age, row["attempts"], row["status"], row["error_detail"]]


def _ages(group: Group, now: datetime) -> dict[str, float]:
    ages = {"oldest_seconds": now - group.oldest_at, "newest_seconds": now - group.newest_at}
    return {name: round(age.total_seconds(), 1) for name, age in ages.items()}


def _print_groups(groups: list[Group], status: str, now: datetime, per_device: bool) -> None:
    if not groups:
        say("nothing is in quarantine" if status == QUARANTINE_OPEN else _NOTHING)
        return
    columns = list(_GROUP_COLUMNS)
    if per_device:
        columns.insert(2, "device_id")
    rows = []
    for group in groups:
        ages = _ages(group, now)
        cells = [group.error_code, group.stage, group.records]
        cells += [age_text(ages["oldest_seconds"]), age_text(ages["newest_seconds"]), group.most_attempts]
        cells += [group.samples[0]["coordinates"], group.samples[0]["error_detail"]]
        if per_device:
            cells.insert(2, group.device_id)
        rows.append(cells)
    print_table(columns, rows, _NUMBERS)
    total = sum(group.records for group in groups)
    say(f"{total:,} records; the bytes of one: sluice quarantine show RECORD")


def _print_record(found: Refused, most: int | None) -> None:
    from sluice.serving.story import rule_text, values_text
    from sluice.serving.values import cell

    row = found.row
    say(f"record {found.coordinates}: {row['status']}")
    say(f"  {row['stage']}: {row['error_code']}, {row['error_detail']}")
    for name in ("device_id", "kafka_timestamp", "first_seen_at", "last_seen_at", "attempts"):
        say(f"  {name:<16} {cell(row[name]) if row[name] is not None else 'unknown'}")
    for rule in found.rules:
        say(f"  rule {rule['rule_id']} failed in {rule['promotion_id']}")
        say(f"    saw   {values_text(rule)}")
        say(f"    rule  {rule_text(rule)}")
    for promotion in found.promotions:
        by = f" by {promotion['decided_by']}" if promotion["decided_by"] else ""
        why = f": {promotion['why']}" if promotion["why"] else ""
        moment = cell(promotion["decided_at"])
        say(f"  promotion {promotion['promotion_id']} ({promotion['kind']}{by}, {moment}){why}")
    for header in row["headers"] or ():
        _print_bytes(f"header {header['key']}", header["value"], most)
    _print_bytes("key", row["key"], most)
    _print_bytes("value", row["value"], most)
    if row["status"] != QUARANTINE_OPEN:
        say(f"  where it is now: sluice trace {found.coordinates}")


def _print_bytes(name: str, content: bytes | None, most: int | None) -> None:
    from sluice.serving.values import bytes_text

    if content is None:
        say(f"  {name}: null")
        return
    shown = content[:most]
    cut = f", the first {len(shown):,} of them" if len(shown) < len(content) else ""
    say(f"  {name}: {len(content):,} bytes{cut}")
    if content:
        say(f"    {bytes_text(shown)}")
    for start in range(0, len(shown), _HEX_BYTES):
        line = shown[start : start + _HEX_BYTES]
        readable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line)
        say(f"    {start:08x}  {line.hex(' '):<{3 * _HEX_BYTES - 1}}  {readable}")


def _as_json(found: Refused, most: int | None) -> dict[str, Any]:
    raw = ("headers", "key", "value")
    return {
        "coordinates": str(found.coordinates),
        **{name: value for name, value in found.row.items() if name not in raw},
        "rules": list(found.rules),
        "promotions": list(found.promotions),
        "headers": [{"key": each["key"], **(_bytes(each["value"], most) or {})} for each in found.row["headers"] or ()],
        "key": _bytes(found.row["key"], most),
        "value": _bytes(found.row["value"], most),
    }


def _bytes(content: bytes | None, most: int | None) -> dict[str, Any] | None:
    from sluice.serving.values import bytes_text

    if content is None:
        return None
    shown = content[:most]
    return {"bytes": len(content), "is_cut": len(shown) < len(content), "text": bytes_text(shown), "hex": shown.hex()}


def _lake(ctx: typer.Context) -> OpenLake:
    from sluice.serving.lake import open_lake

    return open_lake(invocation(ctx).settings().lake.path)


def print_plain_json(value: Any) -> None:
    """Prints one JSON document that cannot do anything to a terminal."""
    from sluice.serving.values import plain, to_json

    typer.echo(to_json(plain(value)))
