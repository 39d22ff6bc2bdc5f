"""`sluice publish` killed with SIGKILL in its transaction and between two: each minute once, as in gold, afterwards.

The publisher is held where it is to die by a lock of PostgreSQL, or by a trigger of SQLite that does not end.
"""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.integration.conftest import BIN, ROOT, environment
from tests.postgres_server import PASSWORD, Server
from tests.unit.serving.lake_builder import append, at, minute
from tests.unit.serving.publish import gold_lake as gold
from tests.unit.serving.publish.gold_lake import LATEST, MINUTES, in_gold, latest

NEW = [minute(at("12:02:00"), reading_count=99), minute(at("20:00:00"))]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return gold.gold_lake(tmp_path / "lake")


@contextmanager
def publisher(lake: Path, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """`sluice publish` in a process of its own, with all that it says in a file beside the lake."""
    given = gold.settings_of(lake)
    own = {"lake__path": lake, "devices__path": given.devices.path, "publish__path": given.publish.path, **settings}
    with (lake.parent / "said").open("ab") as said:
        command = [str(BIN / "sluice"), "publish"]
        process = subprocess.Popen(command, env=environment(**own), cwd=ROOT, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_that(is_so: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, "the publisher ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def said(lake: Path) -> str:
    """All that the publishers printed."""
    return (lake.parent / "said").read_text("utf-8")


def change(lake: Path) -> None:
    """A minute corrected, one new, one gone, and another latest reading."""
    gold.merge(lake, NEW[0])
    append(lake, MINUTES, [NEW[1]])
    gold.delete(lake, "bucket = '2026-03-01 12:00:00Z'")
    append(lake, LATEST, [latest("sensor-0002")])


@pytest.mark.parametrize(
    ("table", "minutes_arrived"),
    [("readings_1min", False), ("readings_latest", True)],
    ids=["between the minutes and their commit", "after it, between the latest readings and theirs"],
)
def test_postgres_has_all_of_a_transaction_or_nothing(
    postgres: Server, lake: Path, table: str, minutes_arrived: bool
) -> None:
    schema = f"killed_{table}"
    settings = gold.settings_of(lake, publish__schema_name=schema)
    given = {"publish__schema_name": schema, "publish_dsn": postgres.dsn()}
    gold.publish(settings, {"SLUICE_PUBLISH_DSN": postgres.dsn()})
    before = in_gold(lake, MINUTES), in_gold(lake, LATEST)
    change(lake)
    after = in_gold(lake, MINUTES), in_gold(lake, LATEST)

    with psycopg.connect(postgres.dsn()) as holder, psycopg.connect(postgres.dsn(), autocommit=True) as watcher:
        # The rows of a table come before its row of progress.
        progress = f"SELECT version FROM {schema}.sluice_progress WHERE table_name = %s FOR UPDATE"
        holder.execute(progress, [table])
        with publisher(lake, **given) as killed:
            await_that(lambda: _waits_for_a_lock(watcher), killed)
            killed.send_signal(signal.SIGKILL)
            assert killed.wait() == -signal.SIGKILL
        assert _minutes_and_latest(watcher, schema) == ((after if minutes_arrived else before)[0], before[1])

    with publisher(lake, **given) as second:
        assert second.wait(60) == 0, said(lake)
    with psycopg.connect(postgres.dsn()) as watcher:
        assert _minutes_and_latest(watcher, schema) == after
    assert PASSWORD not in said(lake)


def _waits_for_a_lock(watcher: psycopg.Connection[tuple[object, ...]]) -> bool:
    text = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'sluice publish' AND wait_event_type = 'Lock'"
    return watcher.execute(text).fetchone() is not None


def _minutes_and_latest(
    watcher: psycopg.Connection[tuple[object, ...]], schema: str
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    with watcher.cursor(row_factory=dict_row) as cursor:
        minutes, newest = (
            cursor.execute(f"SELECT * FROM {schema}.{table} ORDER BY {', '.join(gold.KEYS[table])}").fetchall()
            for table in ("readings_1min", "readings_latest")
        )
    return minutes, newest


def test_sqlite_has_all_of_a_transaction_or_nothing(lake: Path) -> None:
    settings = gold.settings_of(lake)
    gold.publish(settings)
    change(lake)
    path = settings.publish.path
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with sqlite3.connect(path) as watcher:
        before = _sqlite_minutes(path)
        watcher.execute(
            "CREATE TRIGGER endless BEFORE UPDATE ON sluice_progress WHEN new.table_name = 'readings_1min' "
            f"BEGIN SELECT ({endless}); END"
        )
    with publisher(lake) as killed:
        await_that(lambda: _seconds_in_transaction(path, killed) > 0.5, killed)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert _sqlite_minutes(path) == before

    with sqlite3.connect(path) as watcher:
        watcher.execute("DROP TRIGGER endless")
    with publisher(lake) as second:
        assert second.wait(60) == 0, said(lake)
    expected = [
        (row["bucket"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"), row["reading_count"]) for row in in_gold(lake, MINUTES)
    ]
    assert _sqlite_minutes(path) == expected != before


def _sqlite_minutes(path: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(path) as watcher:
        return watcher.execute("SELECT bucket, reading_count FROM readings_1min ORDER BY bucket").fetchall()


def _seconds_in_transaction(path: Path, process: subprocess.Popen[bytes]) -> float:
    """For how long a transaction has been open; 0 where none is."""
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            pass
        else:
            other.execute("ROLLBACK")
            _since.pop(process.pid, None)
            return 0.0
    return time.monotonic() - _since.setdefault(process.pid, time.monotonic())


_since: dict[int, float] = {}
