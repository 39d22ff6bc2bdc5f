"""Gold to the operational store: opens both, publishes each table, again every so often if asked. No Spark."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from sluice.errors import LakeMissing, SluiceError
from sluice.pipelines.following import follow
from sluice.serving.lake import OpenLake, open_lake
from sluice.serving.publish.difference import Row
from sluice.serving.publish.place import open_store
from sluice.serving.publish.publishing import Publication, Published
from sluice.serving.publish.store import Store
from sluice.serving.publish.tables import DEVICES, STORE_TABLES
from sluice.settings import Settings, read_yaml
from sluice.transforms.registry import parse_registry

# The earliest time that an event may have: the registry file knows only what holds now.
ALWAYS = datetime(2000, 1, 1, tzinfo=timezone.utc)
_ALWAYS_MICROS = int(ALWAYS.timestamp()) * 1_000_000

Told = Callable[["Publishing"], None]


@dataclass(frozen=True)
class Publishing:
    """One pass over all tables.

    Attributes:
        store: what and where it is, for people.
        missing: Delta tables that the lake does not have yet.
    """

    store: str
    tables: tuple[Published, ...]
    missing: tuple[str, ...]

    @property
    def refused(self) -> int:
        """Rows that stand refused in the store."""
        return sum(table.refused for table in self.tables)


@dataclass
class Publisher:
    """Publishes a lake to the store that the settings name, which stays open between two passes.

    Attributes:
        environment: where the DSN may stand; os.environ unless given.
    """

    settings: Settings
    environment: Mapping[str, str] | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    _store: Store | None = field(default=None, init=False)

    def publish(self, again: bool = False) -> Publishing:
        """Brings the store up to the lake.

        Args:
            again: compare all rows, and take over a store that holds another lake's.

        Raises:
            LakeMissing: there is no lake, or neither minutes nor latest readings.
            DependencyError: the store cannot be reached, or another process publishes to it.
            StoreRefused: it holds something else.
        """
        lake = open_lake(self.settings.lake.path)
        if self._store is None:
            self._store = open_store(self.settings.publish, self.environment)
            self._prepare(self._store)
        try:
            with self._store.naming_errors():
                return self._pass(lake, self._store, again)
        except SluiceError:
            self.close()
            raise

    def _prepare(self, store: Store) -> None:
        try:
            with store.naming_errors():
                store.prepare(self.settings.publish.retention_days)
        except SluiceError:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the store."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _pass(self, lake: OpenLake, store: Store, again: bool) -> Publishing:
        publication = Publication(store, self._kept_from(), again, self.clock)
        there = set(lake.tables())
        if there.isdisjoint(table.source for table in STORE_TABLES if table is not DEVICES):
            raise LakeMissing(
                f"the lake at {lake.path} has no gold tables yet", "the gold job creates them: `sluice run --once`"
            )
        done, missing = [], []
        for table in STORE_TABLES:
            if table.source in there:
                done.append(publication.of_lake(lake, table))
            elif table is DEVICES:
                rows = registry_rows(self.settings)
                digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
                done.append(publication.of_rows(table, digest, rows))
            else:
                missing.append(table.source)
        return Publishing(store.name, tuple(done), tuple(missing))

    def _kept_from(self) -> datetime | None:
        days = self.settings.publish.retention_days
        if days is None:
            return None
        # Whole days, so that it moves once a day.
        today = self.clock().replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=days)


def registry_rows(settings: Settings) -> list[Row]:
    """The devices of the registry file, a row for each of their metrics, valid for all times that events may have.

    Raises:
        RegistryInvalid, YamlInvalid: the file cannot be applied.
    """
    path = settings.devices.path
    return [
        (
            *(device.device_id, device.customer, device.site, device.latitude, device.longitude),
            *(device.expected_interval_seconds, metric.name, metric.unit, metric.minimum, metric.maximum),
            *(_ALWAYS_MICROS, None),
        )
        for device in parse_registry(read_yaml(path), str(path)).devices
        for metric in device.metrics
    ]


def publish_from_settings(settings: Settings, told: Told, *, every_seconds: float | None, again: bool = False) -> None:
    """Publishes once, or until Ctrl-C or SIGTERM.

    Args:
        told: is given what each pass did.
        every_seconds: between two passes; None for one pass.
        again: in the first pass; see `Publisher.publish`.
    """
    publisher = Publisher(settings)
    first = [again]

    def step() -> None:
        told(publisher.publish(again=first[0]))
        first[0] = False

    try:
        if every_seconds is None:
            step()
        else:
            follow(step, every_seconds)
    finally:
        publisher.close()


def job_main() -> int:
    """Entry point of the job: publishes once, or every `--every` seconds.

    Returns:
        The exit code: 0 done, 1 rows were refused, else that of the error, which is printed in one line.
    """
    import argparse
    from pathlib import Path

    from sluice.errors import EXIT_DONE, EXIT_NOT_ALL_RIGHT, naming_full_disk, print_error
    from sluice.pipelines.driver import start_logging
    from sluice.settings import load_settings

    parser = argparse.ArgumentParser(description="Gold's tables to PostgreSQL or SQLite.")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="go on until stopped, so many seconds apart")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file over conf/base.yaml")
    arguments = parser.parse_args()
    if arguments.every is not None and not 0 < arguments.every < float("inf"):
        parser.error("--every must be greater than 0")
    last: list[Publishing] = []

    def told(found: Publishing) -> None:
        last[:] = [found]
        for table in found.tables:
            print(in_one_line(table))  # noqa: T201 (the job's output)

    try:
        start_logging()
        with naming_full_disk():
            publish_from_settings(load_settings(arguments.config), told, every_seconds=arguments.every)
    except SluiceError as error:
        print_error(error)
        return error.exit_code
    return EXIT_NOT_ALL_RIGHT if last and last[0].refused else EXIT_DONE


def in_one_line(table: Published) -> str:
    """What became of a table, for people."""
    version = "" if table.to_version is None else f" version {table.to_version}"
    refused = f", {table.refused:,} rows stand refused" if table.refused else ""
    whole = f" (all rows compared: {table.whole})" if table.whole else ""
    return (
        f"{table.table}: {table.source}{version}: {table.upserted:,} upserted, {table.deleted:,} deleted{refused}, "
        f"{table.seconds:.1f} s{whole}"
    )
