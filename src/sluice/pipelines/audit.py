"""The audit of the lake that the settings name, against its topic where a broker has it. Starts no Spark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sluice.errors import BooksUnreadable, BrokerDown, LakeMissing
from sluice.pipelines.start import find_broker
from sluice.serving.audit.audit import audit
from sluice.serving.audit.findings import Audit
from sluice.serving.lake import open_lake
from sluice.settings import Settings
from sluice.sources.kafka import range_reader

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
    try:
        reader = range_reader(find_broker(settings), settings.kafka.options, LOOK_UP_SECONDS)
    except BrokerDown as error:
        return audit(lake, error, since, told)
    try:
        return audit(lake, reader, since, told)
    finally:
        reader.close()
