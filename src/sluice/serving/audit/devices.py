"""gold/devices: periods of a device and metric that do not overlap, the open ones what the registry says."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from sluice.errors import BooksUnreadable
from sluice.schemas import GOLD_DEVICES
from sluice.serving.audit.books import Books
from sluice.serving.audit.days import moment_text
from sluice.serving.audit.findings import Finding, Outcome
from sluice.serving.audit.pages import RESTORE, source_of

# The rows of a registry by its hash (device_id, metric and what they are registered with); None where it is not known.
Registries = Callable[[str], pa.Table | None]

_AT = "concat_ws(' ', device_id, metric)"
_PERIOD = (
    f"concat('valid from ', {moment_text('epoch_us(valid_from)')}, "
    f"' to ', coalesce({moment_text('epoch_us(valid_to)')}, 'now'))"
)
_OVERLAPPING = f"""
SELECT {_AT} AS item, {_PERIOD} AS detail FROM (
    SELECT *, lead(valid_from) OVER (PARTITION BY device_id, metric ORDER BY valid_from, valid_to NULLS LAST) AS next
    FROM gold.devices
) WHERE valid_from IS NULL OR valid_to <= valid_from OR (next IS NOT NULL AND coalesce(next < valid_to, true))
"""  # noqa: S608 (our own names)


def check_devices(books: Books, registries: Registries) -> Outcome:
    """No device and metric is registered twice at one time, and those that are now are those of the registry."""
    pages, registered = books.pages(GOLD_DEVICES), books.registered
    if registered is None:
        return Outcome(skipped="no registry has been taken in yet")
    if pages is None:
        raise BooksUnreadable(f"the lake at {books.lake.path} has lost {GOLD_DEVICES.full_name}", RESTORE)
    books.show(GOLD_DEVICES, source_of(GOLD_DEVICES, books.files(GOLD_DEVICES)))
    problems = list(books.finding("devices that are registered twice at one time", _OVERLAPPING))
    rows = registries(registered.registry_hash)
    # Written since: it stands for another registry, which is noted afterwards.
    is_newer = pages.version > registered.versions[GOLD_DEVICES.full_name]
    if rows is not None and not is_newer:
        problems += _differing(books, rows)
    open_rows = books.number("SELECT count(*) FROM gold.devices WHERE valid_to IS NULL")
    compared = 0 if rows is None or is_newer else open_rows
    return Outcome({"registered": open_rows, "compared": compared}, problems)


def _differing(books: Books, rows: pa.Table) -> list[Finding]:
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    current = f"SELECT {names} FROM gold.devices WHERE valid_to IS NULL"  # noqa: S608 (our own names)
    books.connection.register("registered", rows)
    try:
        return [
            *books.finding(
                "devices that the registry has otherwise, or not at all",
                f"SELECT {_AT} AS item, '' AS detail FROM ({current} EXCEPT ALL FROM registered)",  # noqa: S608
            ),
            *books.finding(
                "devices of the registry that are not there so",
                f"SELECT {_AT} AS item, '' AS detail FROM (FROM registered EXCEPT ALL {current})",  # noqa: S608
            ),
        ]
    finally:
        books.connection.unregister("registered")
