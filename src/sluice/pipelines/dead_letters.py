"""What silver refuses, sent to a Kafka topic as well: at least once, beside the micro-batches, and never in their way.

The rows come from silver/quarantine, in the order of its versions; a file in silver's checkpoint folder says how far
they are sent. It is written after the broker has acknowledged them: a death between the two sends a few a second
time, and `sluice-coordinates` tells whoever reads them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from sluice.errors import SluiceError
from sluice.pipelines.start import find_broker
from sluice.schemas import (
    COORDINATES,
    DEAD_LETTER_IDENTITY,
    DEAD_LETTER_TOLD,
    QUARANTINE_OPEN,
    SILVER_QUARANTINE,
    VALUE_LEFT_OUT,
    dead_letter_header,
)
from sluice.settings import Settings
from sluice.sources.kafka import record_sender
from sluice.sources.kafka_records import OutgoingRecord, RecordSender
from sluice.tables.changes import appended_files, files_at
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake, write_atomically

logger = logging.getLogger("sluice")
LAYER = "silver"
_COLUMNS = (*COORDINATES, *DEAD_LETTER_TOLD, "status", "headers", "key", "value")
# Rows that are sent, acknowledged and written down together.
_CHUNK_ROWS, _CHUNK_BYTES = 500, 16 * 1024 * 1024
# A micro-batch that is due waits at most about so long.
_SLICE_SECONDS = 1.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Cursor:
    """How far the rows of silver/quarantine are sent.

    Attributes:
        version: of the table, of which `rows` are dealt with.
        is_whole: whether that is all the version holds, or only what it added.
    """

    version: int
    rows: int = 0
    is_whole: bool = False


class DeadLetters:
    """Sends to `quarantine.publish_topic`; owned by silver's job. Without that setting it does nothing.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, settings: Settings, lake: Lake, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._lake = lake
        self._clock = clock
        self._sender: RecordSender | None = None
        self._next_try = 0.0
        self._pause = _FIRST_PAUSE_SECONDS
        self._has_ended = False

    def is_due(self, has_ended: bool) -> bool:
        """Whether there is something to send and the broker may be asked; at the end of a drain all of it is."""
        self._has_ended = has_ended
        if self._settings.quarantine.publish_topic is None or not self._lake.has_table(SILVER_QUARANTINE):
            return False
        return self._clock() >= self._next_try and self._cursor().version <= self._newest()

    def publish(self) -> int:
        """Sends what is there, for about a second unless the drain has ended; how many records were sent.

        A broker that is away, or whatever else goes wrong, is told in the log and tried again later: nothing is passed
        over, and silver is not stopped.
        """
        until = float("inf") if self._has_ended else self._clock() + _SLICE_SECONDS
        sent = 0
        try:
            while self._clock() < until and (cursor := self._cursor()).version <= self._newest():
                sent += self._publish(cursor, until)
        except Exception as error:
            self._put_off(error.message if isinstance(error, SluiceError) else f"{type(error).__name__}: {error}")
        else:
            self._pause = _FIRST_PAUSE_SECONDS
        if sent:
            logger.info("%s: %s refused records sent to %s", LAYER, f"{sent:,}", self._topic)
        return sent

    def _publish(self, cursor: Cursor, until: float) -> int:
        """Sends rows of one version, and writes down how far."""
        find = files_at if cursor.is_whole else appended_files
        files = find(self._lake, SILVER_QUARANTINE, cursor.version)
        if files is None or not all(path.exists() for path in files):
            # Cleaned away meanwhile: some are sent twice rather than one not at all.
            self._keep(Cursor(self._newest(), is_whole=True))
            return 0
        sent = 0
        for rows in _chunks(files, cursor.rows):
            sent += self._send([row for row in rows if self._is_wanted(row, cursor)])
            cursor = replace(cursor, rows=cursor.rows + len(rows))
            self._keep(cursor)
            if self._clock() >= until:
                return sent
        self._keep(Cursor(cursor.version + 1))
        return sent

    def _is_wanted(self, row: Row, cursor: Cursor) -> bool:
        return row["stage"] in self._settings.quarantine.publish_stages and (
            not cursor.is_whole or row["status"] == QUARANTINE_OPEN
        )

    def _send(self, rows: list[Row]) -> int:
        if not rows:
            return 0
        sender = self._open()
        too_large = sender.send([outgoing(row) for row in rows])
        if too_large:
            # With its bytes it would be refused for ever, and all that come after it.
            sender.send([without_bytes(rows[place]) for place in too_large])
        return len(rows)

    def _open(self) -> RecordSender:
        if self._sender is None:
            self._sender = record_sender(find_broker(self._settings), self._topic, self._settings.kafka.options)
        return self._sender

    @property
    def _topic(self) -> str:
        return str(self._settings.quarantine.publish_topic)

    def _put_off(self, reason: str) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self._next_try = self._clock() + self._pause
        logger.warning(
            "%s: refused records wait to be sent to %s, and are tried again in %.0f s: %s",
            LAYER,
            self._topic,
            self._pause,
            reason,
        )
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def _newest(self) -> int:
        return current_version(self._lake, SILVER_QUARANTINE)

    def _cursor(self) -> Cursor:
        """Where to go on; without a file that says it, at all that is there now."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            return Cursor(int(content["version"]), int(content["rows"]), bool(content["is_whole"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Cursor(self._newest(), is_whole=True)

    def _keep(self, cursor: Cursor) -> None:
        write_atomically(self._path, json.dumps(asdict(cursor)) + "\n")

    @property
    def _path(self) -> Path:
        return self._lake.checkpoint_path(LAYER) / "dead_letters.json"


def _chunks(files: list[Path], skipped: int) -> Iterator[list[Row]]:
    """The rows of files, some at a time, without the first ones."""
    for path in files:
        for batch in _batches(path):
            rows = batch.to_pylist()
            if skipped < len(rows):
                yield rows[skipped:]
            skipped = max(0, skipped - len(rows))


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pyarrow.parquet.ParquetFile(path) as file:
        size = sum(file.metadata.row_group(number).total_byte_size for number in range(file.metadata.num_row_groups))
        fitting = _CHUNK_BYTES * max(1, file.metadata.num_rows) // max(1, size)
        yield from file.iter_batches(min(_CHUNK_ROWS, max(1, fitting)), columns=list(_COLUMNS))


def outgoing(row: Row) -> OutgoingRecord:
    """A quarantined record as it is sent: key and value as they were, ours before its own headers."""
    own = [(header["key"], header["value"] or b"") for header in row["headers"] or ()]
    return OutgoingRecord(row["key"], row["value"], [*_described(row), *own])


def without_bytes(row: Row) -> OutgoingRecord:
    """A quarantined record that is too large to be sent: its coordinates and reason, and how large it was."""
    size = len(row["value"] or b"")
    return OutgoingRecord(None, None, [*_described(row), (VALUE_LEFT_OUT, str(size).encode())])


def _described(row: Row) -> list[tuple[str, bytes]]:
    coordinates = [str(row[name]) for name in COORDINATES]
    named = {dead_letter_header(name): text for name, text in zip(COORDINATES, coordinates, strict=True)}
    told = {dead_letter_header(name): row[name] or "" for name in DEAD_LETTER_TOLD}
    # The first tells a record again that was sent twice.
    texts = {DEAD_LETTER_IDENTITY: ":".join(coordinates), **named, **told}
    return [(name, text.encode("utf-8", "replace")) for name, text in texts.items()]
