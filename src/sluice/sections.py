"""The sections of the settings, each with its keys, types and bounds; settings.py puts them together and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TOPIC_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"


class Section(BaseModel):
    """One section: no unknown keys, no changes, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LakeSettings(Section):
    path: Path


class KafkaSettings(Section):
    bootstrap_servers: str | None
    topic: str = Field(pattern=TOPIC_PATTERN)
    options: dict[str, str]
    wait_seconds: float = Field(ge=0)


class BrokerSettings(Section):
    data_path: Path
    port: int = Field(ge=0, le=65535)
    partitions: int = Field(ge=1, le=1000)
    heap_megabytes: int = Field(ge=128)
    max_message_bytes: int = Field(ge=1024)


class SparkSettings(Section):
    master: str
    driver_memory_megabytes: int = Field(ge=512)
    executor_memory_megabytes: int = Field(ge=512)
    shuffle_partitions: int = Field(ge=0)
    java_options: str
    jars_path: Path


class FileSettings(Section):
    path: Path


class BronzeSettings(Section):
    trigger_seconds: float = Field(ge=0)
    max_records_per_batch: int = Field(ge=1)


class SilverSettings(Section):
    trigger_seconds: float = Field(ge=0)
    max_megabytes_per_batch: int = Field(ge=1)
    max_message_bytes: int = Field(ge=1)
    max_nesting: int = Field(ge=1, le=500)
    max_text_characters: int = Field(ge=1)
    max_id_characters: int = Field(ge=1)
    late_after_seconds: float = Field(gt=0)


class QuarantineSettings(Section):
    publish_topic: str | None = Field(pattern=TOPIC_PATTERN)
    publish_stages: tuple[Literal["parse", "rules", "deduplicate"], ...] = Field(min_length=1)


class GoldSettings(Section):
    trigger_seconds: float = Field(ge=0)
    max_megabytes_per_batch: int = Field(ge=1)
    scores_every_seconds: float = Field(gt=0)


class GateSettings(Section):
    holds_to_open: int = Field(ge=1)
    probe_after_seconds: float = Field(gt=0)
    notice_after_hours: float = Field(gt=0)
    keep_results: int = Field(ge=1)
    candidate_path: Path | None


class DocsSettings(Section):
    max_promotions: int = Field(ge=1)


class RunSettings(Section):
    stop_grace_seconds: float = Field(ge=0)


class MaintainSettings(Section):
    """What `sluice maintain` makes of the tables; days that are null keep everything."""

    target_megabytes: int = Field(ge=1, le=4096)
    bronze_days: int | None = Field(ge=1)
    quarantine_days: int | None = Field(ge=1)
    duplicates_days: int | None = Field(ge=1)


class AlertsSettings(Section):
    """The real-time alert query, and the topics of alerts."""

    path: Path
    processed_topic: str = Field(pattern=TOPIC_PATTERN)
    topic: str = Field(pattern=TOPIC_PATTERN)
    dead_letter_topic: str = Field(pattern=TOPIC_PATTERN)
    state_topic: str = Field(pattern=TOPIC_PATTERN)
    mode: Literal["real_time", "micro"]
    duration_seconds: float = Field(ge=5)
    overlap: bool
    micro_seconds: float = Field(ge=0)
    start: Literal["latest", "earliest"]
    dead_letter_bytes: int = Field(ge=1)
    driver_memory_megabytes: int = Field(ge=512)
    watch_seconds: float = Field(gt=0)


class PublishSettings(Section):
    """Where `sluice publish` puts gold's tables for programs that ask a database."""

    path: Path
    dsn_path: Path | None
    schema_name: str = Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    retention_days: int | None = Field(ge=1)
    chunk_days: int = Field(ge=1)
    compress_after_days: int | None = Field(ge=1)


class ExportSettings(Section):
    path: Path
    format: Literal["parquet", "csv"]
    escape_formulas: bool


class ServeSettings(Section):
    """Of `sluice serve`: where it listens, who may ask, and how much one answer may cost."""

    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    keys_path: Path | None
    requests_per_second: float = Field(gt=0)
    burst_requests: int = Field(ge=1)
    max_concurrent: int = Field(ge=1, le=64)
    query_timeout_seconds: float = Field(gt=0)
    max_rows: int = Field(ge=1, le=100_000)
    max_range_days: float = Field(gt=0)
    cache_megabytes: int = Field(ge=1)
    refresh_seconds: float = Field(gt=0)


class DashboardSettings(Section):
    """What `sluice dashboard` listens at; a host that is no loopback address needs a password."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    password_path: Path | None
    refresh_seconds: float = Field(ge=2)


class DispatchSettings(Section):
    """The dispatcher of alerts: where it keeps what could not be delivered, and its own topic."""

    path: Path
    notice_topic: str = Field(pattern=TOPIC_PATTERN)
    group: str = Field(pattern=TOPIC_PATTERN)
    log_seconds: float = Field(gt=0)
