"""A part of silver made anew from bronze: its records read, judged and deduplicated under today's rulebook.

Which records those are is fixed by the decision: those of a span of bronze that silver had read, and the copies of
their events beyond it, in one version of each table. The order: the decision; the request by which gold follows; what
comes into quarantine and duplicates; the readings, all in one commit; what leaves quarantine and duplicates; the ledger
row. So no record is ever in no place. Repeated after a death it reads the same versions again, decides the same, and
Delta drops what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.approvals import Action
from sluice.pipelines.gold_minutes import hours_of
from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.replay_part import Outcome, Part, covers_now, judge_part, take_part
from sluice.schemas import (
    COORDINATES,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.tables.delta import Transaction, Upsert, read_table, replace_rows
from sluice.tables.frames import append
from sluice.tables.lake import Lake
from sluice.tables.requests import Answer, Request, leave_request
from sluice.tables.spans import Buckets, Span, read_span
from sluice.transforms.hours import merge_hours

if TYPE_CHECKING:
    from sluice.pipelines.silver import SilverJob
    from sluice.pipelines.silver_work import Work

LAYER, FOLLOWING = "silver", "gold"
_OUTDATED = "; the running job reads new records as it did until it is restarted"
_PLACES = {SILVER_READINGS: "readings", SILVER_DUPLICATES: "duplicates", SILVER_QUARANTINE: "quarantine"}


@dataclass(frozen=True)
class Rehearsal:
    """What a replay would do.

    Attributes:
        beyond: records it would take in because they repeat an event of the span.
        before, after: records by place: readings, duplicates, quarantine.
        refused_before, refused_after: those in quarantine by error code.
    """

    beyond: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    refused_before: Mapping[str, int]
    refused_after: Mapping[str, int]


def promotion_of(request: Request) -> str:
    """The promotion_id of a request to make part of a layer anew, the same however often it is begun."""
    return f"{request.layer}-{schemas.REBUILD}-{request.request_id}"


def rebuild_actions(job: SilverJob) -> dict[str, Action]:
    """What the owner of silver does about a replay from bronze, by the action of the request."""
    return {schemas.REBUILD: partial(_carry_out, job)}


def _carry_out(job: SilverJob, spark: SparkSession, lake: Lake, request: Request) -> Answer:
    promotion_id, span = promotion_of(request), read_span(request.subject)
    ledger = read_table(spark, lake, OPS_SILVER_PROMOTIONS)
    if done := ledger.where(F.col("promotion_id") == promotion_id).collect():
        return Answer(True, told(done[0].asDict()))
    decision = job.keeper.decisions.find(promotion_id)
    covers = decision.covers if decision else covers_now(lake, span)
    # One that was begun is finished under the texts it was decided under, whatever the files hold by now.
    rulebook = None if decision else job.rulebook_of_today(spark)
    with kept_in_memory() as keeper:
        part = take_part(spark, lake, covers, keeper)
        if decision is None and part.wanted.isEmpty():
            return Answer(True, nothing_to_do(span))
        transaction = Transaction(f"{LAYER}:{schemas.REBUILD}:{request.request_id}", 0)
        work = job.begin(part.records, promotion_id, None, transaction, rulebook)
        work.kind, work.overridden, work.covers = schemas.REPLAY, (request.by, why_of(span, request.why)), covers
        work.noted = part.noted()
        outcome = judge_part(job, work, part, lake, keeper)
        decision = work.decision or job.decide(work, outcome.decided)
        _leave_to_gold(work, lake, part, request)
        _write(work, lake, part, outcome)
    job.record(work, decision)
    message = told(decision.promotion)
    return Answer(True, message if rulebook is None or job.works_under(rulebook) else f"{message}{_OUTDATED}")


def why_of(span: Span, why: str) -> str:
    """What the ledger says of why a part was made anew."""
    return f"{span}: {why}" if why else str(span)


def _leave_to_gold(work: Work, lake: Lake, part: Part, request: Request) -> None:
    """Asks gold's owner for every hour that a reading has left or come into; it waits until silver has answered."""
    hours = work.tally.hours | set(hours_of(part.old[SILVER_READINGS], "event_time"))
    if hours:
        subject = Buckets(tuple(merge_hours(hours)), work.promotion_id).as_text()
        leave_request(lake, Request(request.request_id, FOLLOWING, schemas.REBUILD, subject, request.by, request.why))


def _write(work: Work, lake: Lake, part: Part, outcome: Outcome) -> None:
    # Gold's stream and the dead letters take what is appended for new, and pass over what changes rows: apart.
    for table, rows, counter in (
        (SILVER_QUARANTINE, outcome.refused, "rows_quarantined"),
        (SILVER_DUPLICATES, outcome.copies, "rows_duplicate"),
    ):
        new = _without(rows, part.old[table])
        if work.rows[counter] and not new.isEmpty():
            append(new, lake, table, work.transaction, is_few=False)
    _replace(outcome.readings, work, lake, part, SILVER_READINGS)
    for table, rows in ((SILVER_QUARANTINE, outcome.refused), (SILVER_DUPLICATES, outcome.copies)):
        known = part.old[table].select(*COORDINATES)
        if not known.isEmpty():
            _replace(rows.join(known, on=list(COORDINATES), how="left_semi"), work, lake, part, table)


def _replace(rows: DataFrame, work: Work, lake: Lake, part: Part, table: Table) -> None:
    gone = _without(part.old[table].select(*COORDINATES), rows).withColumn("stays", F.lit(False))
    whole = rows.select(*table.column_names).withColumn("stays", F.lit(True))
    after_appends = Transaction(work.transaction.application, work.transaction.version + 1)
    how = Upsert(COORDINATES, part.bound)
    replace_rows(whole.unionByName(gone, allowMissingColumns=True), lake, table, how, after_appends)


def _without(rows: DataFrame, others: DataFrame) -> DataFrame:
    names = rows.columns
    return rows.join(others.select(*COORDINATES), on=list(COORDINATES), how="left_anti").select(*names)


def rehearse(job: SilverJob, spark: SparkSession, lake: Lake, span: Span) -> Rehearsal:
    """Judges and deduplicates a part of bronze as a replay would, and writes nothing."""
    rulebook = job.rulebook_of_today(spark)
    nothing = Transaction(f"{LAYER}:rehearsal", 0)
    with kept_in_memory() as keeper:
        part = take_part(spark, lake, covers_now(lake, span), keeper)
        work = job.begin(part.records, nothing.application, None, nothing, rulebook)
        outcome = judge_part(job, work, part, lake, keeper)
        refused = outcome.refused.groupBy("error_code").count().collect()
        known = part.old[SILVER_QUARANTINE].where(F.col("status") == schemas.QUARANTINE_OPEN)
        before = {place: part.old[table].count() for table, place in _PLACES.items()}
        refused_before = known.groupBy("error_code").count().collect()
        beyond = part.wanted.where("is_beyond").count()
    by_code = [{row["error_code"]: row["count"] for row in rows} for rows in (refused_before, refused)]
    rows = work.rows
    after = {"readings": rows["rows_promoted"], "duplicates": rows["rows_duplicate"]}
    return Rehearsal(
        beyond,
        {**before, "quarantine": sum(by_code[0].values())},
        {**after, "quarantine": rows["rows_quarantined"]},
        *by_code,
    )


def told(row: Mapping[str, Any]) -> str:
    """What a replay did, for people.

    Args:
        row: its ledger row.
    """
    counts = f"{row['rows_promoted']:,} readings, {row['rows_duplicate']:,} duplicates"
    beyond = dict(row.get("rule_counts") or {}).get(schemas.BEYOND_RANGE)
    further = f"; {beyond:,} of them are copies that lie beyond the range" if beyond else ""
    return f"{row['rows_in']:,} records replayed: {counts}, {row['rows_quarantined']:,} in quarantine{further}"


def nothing_to_do(span: Span) -> str:
    """The answer where silver has read no record of a span, or all of them are held or discarded."""
    return f"nothing replayed: silver has no record {span}"
