"""The contracts other programs read: tables, their columns, error codes, flags. Data only, no Spark.

Column types are Spark SQL type names. All times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

LAKE_FORMAT = 1

# Error codes of quarantined records, in the order in which they are decided.
EMPTY_MESSAGE = "EMPTY_MESSAGE"
TOO_LARGE = "TOO_LARGE"
TOO_DEEP = "TOO_DEEP"
NOT_UTF8 = "NOT_UTF8"
NOT_JSON = "NOT_JSON"
NOT_OBJECT = "NOT_OBJECT"
DUPLICATE_FIELD = "DUPLICATE_FIELD"
UNKNOWN_VERSION = "UNKNOWN_VERSION"
AMBIGUOUS_VERSION = "AMBIGUOUS_VERSION"
MISSING_FIELD = "MISSING_FIELD"
WRONG_TYPE = "WRONG_TYPE"
NO_METRIC = "NO_METRIC"
BAD_ID = "BAD_ID"
BAD_TIME = "BAD_TIME"
TIME_WITHOUT_OFFSET = "TIME_WITHOUT_OFFSET"
TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
RULE_FAILED = "RULE_FAILED"
DUPLICATE_CONFLICT = "DUPLICATE_CONFLICT"

ERROR_CODES = (
    EMPTY_MESSAGE,
    TOO_LARGE,
    TOO_DEEP,
    NOT_UTF8,
    NOT_JSON,
    NOT_OBJECT,
    DUPLICATE_FIELD,
    UNKNOWN_VERSION,
    AMBIGUOUS_VERSION,
    MISSING_FIELD,
    WRONG_TYPE,
    NO_METRIC,
    BAD_ID,
    BAD_TIME,
    TIME_WITHOUT_OFFSET,
    TIME_OUT_OF_RANGE,
    RULE_FAILED,
    DUPLICATE_CONFLICT,
)

# What quarantine says of a DUPLICATE_CONFLICT, before the coordinates of the reading that is kept.
CONFLICT_DETAIL = "other values than the event at "

# Codes of records that could not be read at all, as `share_unreadable` counts them.
UNREADABLE_CODES = ERROR_CODES[: ERROR_CODES.index(RULE_FAILED)]

VALID = "valid"
OUT_OF_RANGE = "out_of_range"
SUSPECT = "suspect"
UNKNOWN_DEVICE = "unknown_device"
QUALITY_FLAGS = (OUT_OF_RANGE, SUSPECT, UNKNOWN_DEVICE, VALID)

PROMOTE = "PROMOTE"
PROMOTE_WITH_WARNINGS = "PROMOTE_WITH_WARNINGS"
HOLD = "HOLD"
EMPTY = "EMPTY"
ERROR = "ERROR"
VERDICTS = (PROMOTE, PROMOTE_WITH_WARNINGS, HOLD, EMPTY, ERROR)
# Nothing of a batch so judged is promoted: its rows are held.
REFUSING_VERDICTS = (HOLD, ERROR)

# What a promotion is: a micro-batch, or what was decided later about rows of one.
BATCH = "batch"
APPROVE = "approve"
REJECT = "reject"
# … or about quarantined records, of whichever promotions.
REPLAY = "replay"
DISCARD = "discard"
# What is asked for when part of a layer is to be made anew from the one below; the promotion is a replay.
REBUILD = "rebuild"
# Under these names such a promotion counts, among its rule_counts, whose rows it took the place of:
# replay:replaced:TABLE:PROMOTION_ID; and records it took in because they repeat an event of its range.
REPLAY_NOTE = "replay:"
REPLACED_ROWS = f"{REPLAY_NOTE}replaced:"
BEYOND_RANGE = f"{REPLAY_NOTE}beyond_range"

# Where silver refused a record: it cannot be read, breaks a critical row rule, or contradicts the event it repeats.
STAGES = ("parse", "rules", "deduplicate")

# Where held rows stand.
HELD_OPEN = "open"
HELD_APPROVED = "approved"
HELD_REJECTED = "rejected"
HELD_SUPERSEDED = "superseded"

# Canonical columns that are metrics, with their units; a reading event brings its own metric.
METRIC_UNITS = {
    "temperature_celsius": "°C",
    "humidity_percent": "%",
    "pressure_hpa": "hPa",
    "battery_percent": "%",
}
METRICS = tuple(METRIC_UNITS)
READING_METRIC = "value"

COORDINATES = ("topic", "topic_generation", "partition", "offset")
EVENT_KEY = ("device_id", "event_time", "event_id")

# Headers of a refused record that is sent to a topic: its coordinates, in one and each, and what is told of it.
DEAD_LETTER_IDENTITY = "sluice-coordinates"
DEAD_LETTER_TOLD = ("stage", "error_code", "error_detail", "promotion_id")
# Of one that is too large to be sent: the bytes of its value.
VALUE_LEFT_OUT = "sluice-value-left-out"


def dead_letter_header(name: str) -> str:
    """The header that holds a column of silver/quarantine."""
    return f"sluice-{name.replace('_', '-')}"


# What two copies of one event key are compared by.
CANONICAL_VALUES = (
    "temperature_celsius",
    "humidity_percent",
    "pressure_hpa",
    "battery_percent",
    "latitude",
    "longitude",
    "status",
    "firmware",
    "value",
)


def range_rules(metric: str) -> tuple[str, str]:
    """The rule_ids under which a reading of `metric` outside its registered range stands in `failed_rules`."""
    return f"{metric}_at_least_registered_min", f"{metric}_at_most_registered_max"


CRITICAL = "critical"
WARNING = "warning"
SEVERITIES = (CRITICAL, WARNING, "info")
DIMENSIONS = ("completeness", "validity", "uniqueness", "timeliness", "consistency")

# Bands of a quality score: good above one limit, warning from the other, critical below.
GOOD = "good"
GOOD_ABOVE, WARNING_FROM = 95.0, 80.0

# The device_id under which scores stand of records whose device is not known.
UNREADABLE_DEVICE = "(unreadable)"

# Where quarantined rows stand; those that were replayed are a place of the record no longer.
QUARANTINE_OPEN = "open"
QUARANTINE_REPLAYED = "replayed"
QUARANTINE_DISCARDED = "discarded"
QUARANTINE_STATUSES = (QUARANTINE_OPEN, QUARANTINE_REPLAYED, QUARANTINE_DISCARDED)
QUARANTINE_COUNTED = (QUARANTINE_OPEN, QUARANTINE_DISCARDED)

# How far an event's time may lie ahead of the Kafka timestamp of its record.
ACCEPTED_SECONDS_AHEAD = 300

Columns = tuple[tuple[str, str], ...]

_COORDINATES: Columns = (
    ("topic", "string"),
    ("topic_generation", "int"),
    ("partition", "int"),
    ("offset", "bigint"),
)
_HEADERS: Columns = (("headers", "array<struct<key:string,value:binary>>"),)
_RAW: Columns = (("key", "binary"), ("value", "binary"))


@dataclass(frozen=True)
class Table:
    """One Delta table: where it lies in the lake, its columns, and which of them prune files.

    Attributes:
        layer: bronze, silver, gold or ops; also the folder.
        name: the table's name; also the folder below the layer's.
        columns: (name, Spark SQL type) in order.
        partition_by: the partition column, or empty.
        statistics: columns whose minimum and maximum are kept per file.
    """

    layer: str
    name: str
    columns: Columns
    partition_by: str = ""
    statistics: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """`layer.name`, as it is queried."""
        return f"{self.layer}.{self.name}"

    @property
    def relative_path(self) -> str:
        """`layer/name`, below the lake's path."""
        return f"{self.layer}/{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(name for name, _ in self.columns)

    @property
    def ddl(self) -> str:
        """The columns as a Spark DDL string."""
        return ", ".join(f"`{name}` {kind}" for name, kind in self.columns)


BRONZE_EVENTS = Table(
    "bronze",
    "events",
    (
        *_COORDINATES,
        ("kafka_timestamp", "timestamp"),
        ("ingested_at", "timestamp"),
        ("ingest_date", "date"),
        *_HEADERS,
        *_RAW,
    ),
    "ingest_date",
    ("topic_generation", "partition", "offset", "kafka_timestamp", "ingested_at"),
)

SILVER_READINGS = Table(
    "silver",
    "readings",
    (
        ("event_id", "string"),
        ("device_id", "string"),
        ("event_time", "timestamp"),
        ("schema_version", "int"),
        ("temperature_celsius", "double"),
        ("humidity_percent", "double"),
        ("pressure_hpa", "double"),
        ("battery_percent", "double"),
        ("latitude", "double"),
        ("longitude", "double"),
        ("status", "string"),
        ("firmware", "string"),
        ("metric", "string"),
        ("value", "double"),
        ("customer", "string"),
        ("site", "string"),
        ("quality_flag", "string"),
        ("failed_rules", "array<string>"),
        *_COORDINATES,
        ("kafka_timestamp", "timestamp"),
        ("ingested_at", "timestamp"),
        ("promoted_at", "timestamp"),
        ("promotion_id", "string"),
        ("event_date", "date"),
    ),
    "event_date",
    ("device_id", "event_time", "partition", "offset", "promoted_at"),
)

SILVER_QUARANTINE = Table(
    "silver",
    "quarantine",
    (
        *_COORDINATES,
        ("kafka_timestamp", "timestamp"),
        ("device_id", "string"),
        ("stage", "string"),
        ("error_code", "string"),
        ("error_detail", "string"),
        ("failed_rules", "array<string>"),
        ("promotion_id", "string"),
        ("first_seen_at", "timestamp"),
        ("last_seen_at", "timestamp"),
        ("attempts", "int"),
        ("status", "string"),
        *_HEADERS,
        *_RAW,
    ),
    "",
    ("partition", "offset", "kafka_timestamp", "error_code", "first_seen_at", "status"),
)

SILVER_DUPLICATES = Table(
    "silver",
    "duplicates",
    (
        *_COORDINATES,
        ("device_id", "string"),
        ("event_time", "timestamp"),
        ("event_id", "string"),
        ("kept_topic", "string"),
        ("kept_topic_generation", "int"),
        ("kept_partition", "int"),
        ("kept_offset", "bigint"),
        ("promotion_id", "string"),
    ),
    "",
    ("partition", "offset", "event_time"),
)

SILVER_HELD = Table(
    "silver",
    "held",
    (*BRONZE_EVENTS.columns, ("promotion_id", "string"), ("status", "string")),
    "",
    ("partition", "offset", "promotion_id", "status"),
)

_GOLD_VALUES: Columns = (
    ("unit", "string"),
    ("reading_count", "bigint"),
    ("value_mean", "double"),
    ("value_min", "double"),
    ("value_max", "double"),
    ("value_stddev", "double"),
    ("out_of_range_count", "bigint"),
    ("expected_count", "double"),
    ("completeness_percent", "double"),
)
_GOLD_KEY: Columns = (("bucket", "timestamp"), ("device_id", "string"), ("metric", "string"))

GOLD_READINGS_1MIN = Table(
    "gold",
    "readings_1min",
    (*_GOLD_KEY, *_GOLD_VALUES, ("updated_at", "timestamp"), ("bucket_date", "date")),
    "bucket_date",
    ("bucket", "device_id", "metric"),
)

# What whole hours and days are made of: all of their minutes, and the readings and alerts behind these.
_ROLLED_UP: Columns = (
    *_GOLD_KEY,
    *_GOLD_VALUES,
    ("value_p50", "double"),
    ("value_p95", "double"),
    ("minutes_with_readings", "bigint"),
    ("missing_minutes", "bigint"),
    ("alert_count", "bigint"),
    ("updated_at", "timestamp"),
    ("bucket_date", "date"),
)
GOLD_READINGS_1HOUR = Table("gold", "readings_1hour", _ROLLED_UP, "bucket_date", ("bucket", "device_id", "metric"))
GOLD_READINGS_1DAY = Table("gold", "readings_1day", _ROLLED_UP, "bucket_date", ("bucket", "device_id", "metric"))
# How many minutes a bucket of each roll-up has.
ROLLUP_MINUTES = {GOLD_READINGS_1HOUR: 60, GOLD_READINGS_1DAY: 1440}

GOLD_DEVICES = Table(
    "gold",
    "devices",
    (
        ("device_id", "string"),
        ("metric", "string"),
        ("customer", "string"),
        ("site", "string"),
        ("latitude", "double"),
        ("longitude", "double"),
        ("expected_interval_seconds", "double"),
        ("unit", "string"),
        ("min", "double"),
        ("max", "double"),
        # Half-open; valid_to is null for what is registered now.
        ("valid_from", "timestamp"),
        ("valid_to", "timestamp"),
        ("registry_hash", "string"),
    ),
    "",
    ("device_id", "valid_from", "valid_to"),
)

GOLD_HELD = Table(
    "gold",
    "held",
    (
        *_GOLD_KEY,
        *_GOLD_VALUES,
        ("failed_rules", "array<string>"),
        ("promotion_id", "string"),
        ("status", "string"),
    ),
    "",
    ("bucket", "device_id", "status"),
)

GOLD_LATEST_READINGS = Table(
    "gold",
    "latest_readings",
    (
        ("device_id", "string"),
        ("metric", "string"),
        ("value", "double"),
        ("event_time", "timestamp"),
        ("quality_flag", "string"),
        ("expected_interval_seconds", "double"),
    ),
    "",
    ("device_id", "event_time"),
)

GOLD_QUALITY_SCORES = Table(
    "gold",
    "quality_scores",
    (
        ("day", "date"),
        ("customer", "string"),
        ("device_id", "string"),
        *((dimension, "double") for dimension in DIMENSIONS),
        ("score", "double"),
        ("band", "string"),
        ("received", "bigint"),
        ("readings", "bigint"),
        ("expected", "double"),
        ("quarantined", "bigint"),
        ("out_of_range", "bigint"),
        ("duplicates", "bigint"),
        ("judged", "bigint"),
        ("late", "bigint"),
        ("inconsistent", "bigint"),
        ("updated_at", "timestamp"),
    ),
    "day",
    ("device_id", "score"),
)

_LEDGER: Columns = (
    ("promotion_id", "string"),
    ("layer", "string"),
    ("kind", "string"),
    ("parent_promotion_id", "string"),
    ("batch_id", "bigint"),
    ("from_version", "bigint"),
    ("to_version", "bigint"),
    ("offsets", "map<string,bigint>"),
    ("suite", "string"),
    ("suite_hash", "string"),
    ("contract_hash", "string"),
    ("registry_hash", "string"),
    ("rows_in", "bigint"),
    ("rows_promoted", "bigint"),
    ("rows_quarantined", "bigint"),
    ("rows_duplicate", "bigint"),
    ("rows_held", "bigint"),
    ("rule_counts", "map<string,bigint>"),
    ("verdict", "string"),
    ("score", "double"),
    ("breaker_state", "string"),
    ("docs_page", "string"),
    ("decided_by", "string"),
    ("why", "string"),
    ("gate_seconds", "double"),
    ("total_seconds", "double"),
    ("decided_at", "timestamp"),
)

OPS_SILVER_PROMOTIONS = Table("ops", "silver_promotions", _LEDGER, "", ("batch_id", "to_version", "decided_at"))
OPS_GOLD_PROMOTIONS = Table("ops", "gold_promotions", _LEDGER, "", ("batch_id", "to_version", "decided_at"))
OPS_CONFIGS = Table(
    "ops",
    "configs",
    (
        ("kind", "string"),
        ("hash", "string"),
        ("text", "string"),
        ("first_used_at", "timestamp"),
    ),
    "",
    ("kind", "first_used_at"),
)

# One row an alert, as its last message of state said; written by the alert log alone.
ALERT_FIRING, ALERT_ACKNOWLEDGED, ALERT_RESOLVED = ALERT_STATUSES = ("firing", "acknowledged", "resolved")
GOLD_ALERTS = Table(
    "gold",
    "alerts",
    (
        ("alert_id", "string"),
        ("rule_id", "string"),
        ("severity", "string"),
        # A device's id, or what else the rule watches: gate:silver, gate:gold.
        ("subject", "string"),
        ("device_id", "string"),
        ("customer", "string"),
        ("site", "string"),
        ("metric", "string"),
        ("status", "string"),
        ("threshold", "double"),
        ("first_value", "double"),
        ("last_value", "double"),
        ("first_event_time", "timestamp"),
        ("last_event_time", "timestamp"),
        ("signal_count", "bigint"),
        ("text", "string"),
        ("runbook", "string"),
        ("opened_at", "timestamp"),
        ("acknowledged_at", "timestamp"),
        ("acknowledged_by", "string"),
        ("acknowledged_why", "string"),
        ("resolved_at", "timestamp"),
        ("resolved_why", "string"),
        ("updated_at", "timestamp"),
        ("alert_date", "date"),
    ),
    "alert_date",
    ("alert_id", "device_id", "status", "first_event_time"),
)

# What is no longer there, and audits must not look for: made when the first such thing happens.
OPS_FLOORS = Table(
    "ops",
    "floors",
    (
        ("table", "string"),
        # topic:topic_generation:partition for records of Kafka, else the column that dates the rows.
        ("range", "string"),
        # Offsets, or dates: from `since` (null: from the beginning) up to, and without, `before`.
        ("since", "string"),
        ("before", "string"),
        ("by", "string"),
        ("why", "string"),
        ("at", "timestamp"),
    ),
    "",
    ("table", "at"),
)

# The layer whose job owns each table, and creates it at its start.
LAYER_TABLES: dict[str, tuple[Table, ...]] = {
    "bronze": (BRONZE_EVENTS,),
    "silver": (
        SILVER_READINGS,
        SILVER_QUARANTINE,
        SILVER_DUPLICATES,
        SILVER_HELD,
        OPS_SILVER_PROMOTIONS,
        OPS_CONFIGS,
    ),
    "gold": (
        GOLD_READINGS_1MIN,
        GOLD_READINGS_1HOUR,
        GOLD_READINGS_1DAY,
        GOLD_HELD,
        GOLD_LATEST_READINGS,
        GOLD_DEVICES,
        GOLD_QUALITY_SCORES,
        OPS_GOLD_PROMOTIONS,
    ),
}
LAYERS = tuple(LAYER_TABLES)
# The ledger of each layer that has a gate, and where the gate holds rows.
LEDGERS = {"silver": OPS_SILVER_PROMOTIONS, "gold": OPS_GOLD_PROMOTIONS}
HELD_TABLES = {"silver": SILVER_HELD, "gold": GOLD_HELD}
# The table that a layer reads; bronze reads a topic.
UPSTREAM = {"silver": BRONZE_EVENTS, "gold": SILVER_READINGS}
TABLES = (*(table for tables in LAYER_TABLES.values() for table in tables), GOLD_ALERTS, OPS_FLOORS)
