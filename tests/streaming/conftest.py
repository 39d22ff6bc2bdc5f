"""A workshop per test: a topic on the real broker, a lake, and the layers drained one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer
from pyspark.sql import DataFrame, SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.pipelines.audit import audit_lake
from sluice.pipelines.driver import Driver, StopSignal
from sluice.schemas import LAYERS, TABLES, Table
from sluice.settings import Settings, load_settings
from sluice.tables.lake import Lake
from tests.topics import new_topic

if TYPE_CHECKING:
    from tests.streaming.crash.scenes import Scenes

# What differs between two runs that did the same.
BOOKKEEPING = {
    "ingested_at",
    "ingest_date",
    "kafka_timestamp",
    "promoted_at",
    "promotion_id",
    "first_seen_at",
    "last_seen_at",
    "updated_at",
    "valid_from",
    "valid_to",
}


@dataclass
class Workshop:
    """One test's topic and lake."""

    spark: SparkSession
    broker: RunningBroker
    settings: Settings

    def send(self, messages: Sequence[bytes | dict[str, Any] | None], **options: Any) -> None:
        """Sends messages to partition 0 in order, dicts as JSON; `options` go to the producer's send."""
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap_servers, max_request_size=33_000_000)
        try:
            for message in messages:
                value = json.dumps(message).encode() if isinstance(message, dict) else message
                producer.send(self.settings.kafka.topic, value, **{"partition": 0, **options})
        finally:
            producer.close()

    def drain(self, layers: Sequence[str] = LAYERS) -> None:
        """Runs the layers as `sluice run --once` does, in the tests' session."""
        self.lake.prepare()
        Driver(self.spark, self.settings, self.broker.bootstrap_servers, StopSignal()).drain(layers)

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake.path)

    def read(self, table: Table) -> DataFrame:
        return self.spark.read.format("delta").load(self.lake.table_path(table))

    def content(self) -> dict[str, list[str]]:
        """Every table's rows without bookkeeping, in an order of their own: equal for equal lakes."""
        found = {}
        for table in TABLES:
            if table.layer == "ops" or not self.lake.has_table(table):
                continue
            columns = [name for name in table.column_names if name not in BOOKKEEPING]
            rows = self.read(table).select(*columns).toJSON().collect()
            found[table.full_name] = sorted(rows)
        return found

    def audit(self) -> dict[str, list[str]]:
        """What `sluice audit` finds wrong, by check; empty where the books balance. Reads the topic as well."""
        kafka = self.settings.kafka.model_copy(update={"bootstrap_servers": self.broker.bootstrap_servers})
        found = audit_lake(self.settings.model_copy(update={"kafka": kafka}), None, lambda _: None)
        assert found.balances is not None
        wrong = {check.name: check.outcome.problems for check in found.checks if check.outcome.problems}
        return {name: [f"{each.what}: {each.first}" for each in problems] for name, problems in wrong.items()}

    def with_settings(self, **options: Any) -> Workshop:
        """The same topic under other settings, e.g. another lake (`lake__path`)."""
        changed = {key.replace("__", "."): value for key, value in options.items()}
        same = {"lake.path": str(self.settings.lake.path), "kafka.topic": self.settings.kafka.topic}
        return Workshop(self.spark, self.broker, load_settings(options={**same, **changed}, environment={}))


def open_workshop(spark: SparkSession, broker: RunningBroker, lake: Path) -> Workshop:
    """A workshop with a new topic of two partitions."""
    options = {"lake.path": str(lake), "kafka.topic": new_topic(broker, 2)}
    return Workshop(spark, broker, load_settings(options=options, environment={}))


@pytest.fixture
def workshop(spark: SparkSession, broker: RunningBroker, tmp_path: Path) -> Workshop:
    return open_workshop(spark, broker, tmp_path / "lake")


@pytest.fixture(scope="session")
def scenes(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Lakes with work left to do, and what an undisturbed run makes of them; each made when it is first asked for."""
    from tests.streaming.crash.scenes import Scenes

    folder = tmp_path_factory.mktemp("scenes")
    return Scenes(open_workshop(spark, broker, folder / "lake"), folder)


def reading(value: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A version-2 event of a registered device; give what should differ."""
    return {
        "schema_version": 2,
        "event_id": "e1",
        "device_id": "sensor-0001",
        "timestamp": "2024-03-01T10:00:00Z",
        "temperature": value,
        **fields,
    }
