"""Days and moments as numbers: a broker can stamp records later than Python's dates go."""

from __future__ import annotations

from sluice.serving.audit.books import Books

DAY_MICROS = 86_400_000_000
MINUTE_MICROS = 60_000_000


def days_in_scope(books: Books) -> set[int] | None:
    """The days since 1970-01-01 in which readings in scope lie; None where all are in scope."""
    if not books.scoped:
        return None
    days = books.rows(f"SELECT DISTINCT epoch_us(event_time) // {DAY_MICROS} FROM silver.readings")  # noqa: S608
    return {day for (day,) in days}


def moment_text(micros: str) -> str:
    """SQL of a moment, given in microseconds since 1970, as RFC 3339 in UTC without a needless fraction."""
    moment = f"make_timestamp({micros})"
    whole = f"strftime({moment}, '%Y-%m-%dT%H:%M:%SZ')"
    return f"CASE WHEN ({micros}) % 1000000 = 0 THEN {whole} ELSE strftime({moment}, '%Y-%m-%dT%H:%M:%S.%fZ') END"
