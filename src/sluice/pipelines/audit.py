"""The audit of the lake that the settings name, against its topic where a broker has it. Starts no Spark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import pyarrow as pa
import yaml

from sluice.errors import BooksUnreadable, BrokerDown, CheckpointLost, LakeMissing
from sluice.pipelines.start import find_broker
from sluice.schemas import LEDGERS, OPS_CONFIGS
from sluice.serving.audit.audit import audit
from sluice.serving.audit.findings import Audit
from sluice.serving.lake import OpenLake, open_lake
from sluice.settings import Settings
from sluice.sources.kafka import range_reader
from sluice.tables.decisions import Decisions
from sluice.tables.lake import Lake

# Looking up the gaps of bronze in its topic must not take longer than everything else.
LOOK_UP_SECONDS = 30.0


def audit_lake(settings: Settings, since: datetime | None, told: Callable[[str], object]) -> Audit:
    """Whether the books balance; see `serving.audit.audit.audit`.

    Raises:
        BooksUnreadable: there is no lake, or not one table in it, or one that all checks need cannot be read.
        LakeTooNew: a newer version of Sluice wrote it.
    """
    try:
        lake = open_lake(settings.lake.path)
    except LakeMissing as error:
        raise BooksUnreadable(error.message, error.hint) from None
    registries = partial(_registered, lake)
    try:
        reader = range_reader(find_broker(settings), settings.kafka.options, LOOK_UP_SECONDS)
    except BrokerDown as error:
        return audit(lake, error, since, told, registries)
    try:
        return audit(lake, reader, since, told, registries)
    finally:
        reader.close()


def _registered(lake: OpenLake, registry_hash: str) -> pa.Table | None:
    """The rows of a registry that once decided something; None where its text is not to be found."""
    from sluice.pipelines.registered import registered_rows
    from sluice.transforms.registry import parse_registry

    text = _text_of(lake, registry_hash)
    return None if text is None else registered_rows(parse_registry(yaml.safe_load(text) or {}))


def _text_of(lake: OpenLake, registry_hash: str) -> str | None:
    for layer in LEDGERS:
        try:
            return Decisions(Lake(lake.path).checkpoint_path(layer)).find_text("registry", registry_hash)
        except CheckpointLost:
            continue
    if OPS_CONFIGS.full_name not in lake.tables():
        return None
    sql = "SELECT text FROM ops.configs WHERE kind = 'registry' AND hash = $hash"
    found = lake.sql(sql, {"hash": registry_hash}).fetchall()
    return str(found[0][0]) if found else None
