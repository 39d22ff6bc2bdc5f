"""The ledgers against themselves and against the tables they speak of."""

from __future__ import annotations

import re

from sluice.schemas import (
    APPROVE,
    BATCH,
    BRONZE_EVENTS,
    GOLD_HELD,
    HELD_APPROVED,
    HELD_REJECTED,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    REJECT,
    REPLAY,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.audit.books import Books
from sluice.serving.audit.findings import Finding, Named, Outcome
from sluice.serving.audit.opening import SILVER_REBUILD, STREAM
from sluice.serving.audit.places import READ, count_rows

_IS_REBUILD = f"starts_with(promotion_id, '{SILVER_REBUILD}')"
# Which column of the ledger counts the rows that a promotion of a kind has in a table, whatever their status by now.
# Rows of an old promotion that are promoted later take the new promotion's id; what stays in quarantine keeps its own,
# but not where a replay from bronze made it anew: such a replay says of how many rows it took the place.
_COUNTED = {
    "silver": (
        (SILVER_READINGS, "rows_promoted", "true"),
        (SILVER_DUPLICATES, "rows_duplicate", "true"),
        (SILVER_QUARANTINE, "rows_quarantined", f"(kind IN ('{BATCH}', '{APPROVE}') OR {_IS_REBUILD})"),
        (SILVER_HELD, "rows_held", f"kind = '{BATCH}'"),
    ),
    "gold": ((GOLD_HELD, "rows_held", f"kind IN ('{BATCH}', '{REPLAY}')"),),
}
# What a decision about a hold left behind: rows of the held promotion with a status, and the column that counts them.
_DECIDED = {
    "silver": (
        (SILVER_HELD, APPROVE, HELD_APPROVED, "rows_in"),
        (SILVER_HELD, REJECT, HELD_REJECTED, "rows_held"),
    ),
    # A minute that was rejected is judged anew, and superseded, when a reading touches it.
    "gold": ((GOLD_HELD, APPROVE, HELD_APPROVED, "rows_in"),),
}


def check_silver_ledger(books: Books) -> Outcome:
    """Silver's ledger adds up, has no gap, and counts what is in the tables and in bronze."""
    if not books.has(OPS_SILVER_PROMOTIONS):
        return Outcome(skipped="silver has no ledger yet")
    outcome = _check(books, "silver")
    read, covered = books.number(_ROWS_READ), _records_covered(books)
    counts = {**outcome.counts, "rows_in": read, "bronze_records": covered}
    problems = [*outcome.problems, *(_differing_batches(books, read, covered) if read != covered else [])]
    return Outcome(counts, problems, outcome.notes)


def check_gold_ledger(books: Books) -> Outcome:
    """Gold's ledger adds up, has no gap, and counts what gold/held has."""
    if not books.has(OPS_GOLD_PROMOTIONS):
        return Outcome(skipped="gold has no ledger yet")
    return _check(books, "gold")


def _check(books: Books, layer: str) -> Outcome:
    unknown, is_wrong = _unknown(books, layer)
    problems = [
        *books.finding("ledger rows whose counts do not add up", _wrong_sums(layer)),
        *books.finding("promotions that stand in the ledger more than once", _repeated(layer)),
        *books.finding("gaps and overlaps in what the ledger says was read", _broken_chain(layer)),
        *(books.finding("promotions that the ledger does not have", unknown) if is_wrong else []),
        *books.finding("counts of the ledger that the tables do not have", _differing_counts(layer)),
    ]
    notes = [] if is_wrong else books.finding("promotion not in the ledger yet, the next start finishes it", unknown)
    return Outcome({"promotions": books.number(f"SELECT count(*) FROM {layer}_ledger")}, problems, notes)  # noqa: S608


# Of a micro-batch that read records which retention took away since, bronze cannot tell how many there were.
_TOUCHED = f"SELECT promotion_id FROM closing WHERE \"table\" = '{BRONZE_EVENTS.full_name}'"  # noqa: S608
_COMPARED = f"in_scope AND kind = '{BATCH}' AND promotion_id NOT IN ({_TOUCHED})"
_ROWS_READ = f"SELECT sum(rows_in) FROM silver_ledger WHERE {_COMPARED}"  # noqa: S608


def _records_covered(books: Books) -> int:
    """Records of bronze that the compared micro-batches read."""
    if not books.number("SELECT count(*) FROM still_open"):
        return count_rows(books, READ)
    later = f'FROM placed_events LEFT JOIN still_open USING ({STREAM}) WHERE "offset" > coalesce(upto, -1)'
    return books.number(f"SELECT count(*) {later} AND place = '{READ}'")


def _wrong_sums(layer: str) -> str:
    return f"""
        SELECT promotion_id AS item,
            format('rows_in {{}} is not {{}} promoted + {{}} quarantined + {{}} duplicate + {{}} held',
            rows_in, rows_promoted, rows_quarantined, rows_duplicate, rows_held) AS detail
        FROM {layer}_ledger
        WHERE rows_in IS DISTINCT FROM rows_promoted + rows_quarantined + rows_duplicate + rows_held
    """  # noqa: S608 (our own names)


def _repeated(layer: str) -> str:
    return f"""
        SELECT promotion_id AS item, count(*) || ' rows' AS detail FROM {layer}_ledger
        GROUP BY promotion_id HAVING count(*) > 1
    """  # noqa: S608 (our own names)


def _broken_chain(layer: str) -> str:
    """A micro-batch begins in the version after the one its predecessor ended in, or goes on within that one.

    The first checkpoint begins with batch 0; one that was rebuilt later goes on with the numbers.
    """
    return f"""
        WITH ordered AS (
            SELECT *, lag(to_version) OVER same AS version_before, coalesce(lag(batch_id) OVER same,
                CASE WHEN is_first THEN -1 ELSE batch_id - 1 END) AS batch_before
            FROM (SELECT DISTINCT promotion_id, generation, batch_id, from_version, to_version,
                generation = arg_min(generation, decided_at) OVER () AS is_first
                FROM {layer}_ledger WHERE kind = '{BATCH}')
            WINDOW same AS (PARTITION BY generation ORDER BY batch_id)
        )
        SELECT promotion_id AS item, CASE
            WHEN batch_id <> batch_before + 1 THEN format('batch {{}} comes after {{}}', batch_id,
                CASE batch_before WHEN -1 THEN 'none' ELSE 'batch ' || batch_before END)
            WHEN from_version <> version_before + 1
                THEN format('begins in version {{}}, the batch before ended in {{}}', from_version, version_before)
            ELSE format('begins in version {{}} and ends in {{}}', from_version, to_version) END AS detail
        FROM ordered
        WHERE batch_id <> batch_before + 1 OR from_version <> version_before + 1 OR to_version < from_version - 1
    """  # noqa: S608 (our own names)


def _unknown(books: Books, layer: str) -> tuple[str, bool]:
    """SQL that names the promotions which only the tables know, and whether that is wrong.

    An owner finishes a micro-batch before it begins the next, and a decision about a hold likewise; after a death it
    carries out the decisions first. So of those that the ledger, read after all tables, does not know, one micro-batch
    that comes after all that it knows may be on its way, and one decision.
    """
    unknown = f"""
        SELECT promotion_id, place, rows FROM written ANTI JOIN {layer}_later USING (promotion_id)
        WHERE starts_with(place, '{layer}.')
    """  # noqa: S608 (our own names)
    named = f"""
        SELECT coalesce(promotion_id, '(none)') AS item,
            string_agg(format('{{}} in {{}}', total, place), ', ' ORDER BY place) AS detail
        FROM (SELECT promotion_id, place, sum(rows)::BIGINT AS total FROM ({unknown}) GROUP BY ALL) GROUP BY 1
    """  # noqa: S608 (our own names)
    ids = [promotion_id for (promotion_id,) in books.rows(f"SELECT DISTINCT promotion_id FROM ({unknown})")]  # noqa: S608
    batches = [found for each in ids if (found := re.fullmatch(f"{layer}-([^-]+)-([0-9]+)", each or ""))]
    others = len(ids) - len(batches)
    later = f"SELECT count(*) FROM {layer}_rows WHERE kind = '{BATCH}' AND generation = ? AND batch_id > ?"  # noqa: S608
    passed = any(books.number(later, [found[1], int(found[2])]) for found in batches)
    return named, None in ids or len(batches) > 1 or others > 1 or passed


def _differing_counts(layer: str) -> str:
    """The rows of each promotion by the ledger and by the tables; of those that retention touched some may be gone."""
    own = [
        f"SELECT promotion_id, promotion_id AS subject, '{table.full_name}' AS place, NULL AS status, "  # noqa: S608
        f"'{column}' AS counter, {column} - {_replaced(table)} AS expected, {_replaced(table, done=False)} AS leaving "
        f"FROM {layer}_ledger AS l WHERE in_scope AND {kinds}"
        for table, column, kinds in _COUNTED[layer]
    ]
    decided = [
        f"SELECT promotion_id, parent_promotion_id, '{table.full_name}', '{status}', '{column}', {column}, 0 "  # noqa: S608
        f"FROM {layer}_ledger WHERE in_scope AND kind = '{kind}'"
        for table, kind, status, column in _DECIDED[layer]
    ]
    return f"""
        SELECT wanted.promotion_id AS item, format('{{}} {{}}, {{}} has {{}}{{}}', counter, expected, wanted.place,
            coalesce(sum(rows), 0)::BIGINT, coalesce(' ' || wanted.status || ' of ' || subject, '')) AS detail
        FROM ({" UNION ALL ".join((*own, *decided))}) AS wanted LEFT JOIN written
        ON written.promotion_id = subject AND written.place = wanted.place
        AND (wanted.status IS NULL OR written.status = wanted.status)
        LEFT JOIN closing ON closing.promotion_id = wanted.promotion_id AND closing."table" = wanted.place
        GROUP BY wanted.promotion_id, subject, wanted.place, wanted.status, counter, expected, leaving
        HAVING NOT coalesce(coalesce(sum(rows), 0) BETWEEN expected - leaving AND expected, false)
        AND NOT (any_value(closing."table") IS NOT NULL AND coalesce(sum(rows), 0) < expected)
    """  # noqa: S608 (our own names)


def _replaced(table: Table, *, done: bool = True) -> str:
    """SQL of how many rows of a promotion replays have taken the place of in a table, or are about to."""
    return (
        f"coalesce((SELECT sum(rows)::BIGINT FROM replaced AS r WHERE r.promotion_id = l.promotion_id "  # noqa: S608
        f"AND r.place = '{table.full_name}' AND {'' if done else 'NOT '}r.is_done), 0)"
    )


def _differing_batches(books: Books, read: int, covered: int) -> list[Finding]:
    """The micro-batches whose rows_in is not the number of bronze records up to their last offsets."""
    found = books.finding(
        "micro-batches whose rows_in is not the number of bronze records they read",
        f"""
        WITH ends AS (SELECT * FROM batch_ends SEMI JOIN silver_ledger AS l
            ON l.promotion_id = batch_ends.promotion_id AND l.in_scope),
        counted AS (
            SELECT ends.promotion_id, count(*) AS records FROM bronze.events AS e ASOF JOIN ends
            ON e.topic = ends.topic AND e.topic_generation = ends.topic_generation
            AND e.partition = ends.partition AND e."offset" <= ends.last_offset
            GROUP BY ALL
        )
        SELECT promotion_id AS item, format('rows_in {{}}, bronze has {{}}', rows_in, coalesce(records, 0)) AS detail
        FROM silver_ledger LEFT JOIN counted USING (promotion_id)
        WHERE {_COMPARED} AND rows_in <> coalesce(records, 0)
        """,  # noqa: S608 (our own names)
    )
    told = Named("ops.silver_promotions", f"rows_in {read} together, bronze has {covered}")
    return found or [Finding("records more or fewer than the ledger says were read", abs(read - covered), (told,))]
