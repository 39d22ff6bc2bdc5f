"""Minutes, hours and days, out of gold; hours and days come from minutes where the lake has no tables of them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from sluice.api.asking import Question, Rows, arrow_columns, row_limit
from sluice.api.minute_percentiles import add_percentiles
from sluice.api.moments import DAY, SECOND
from sluice.api.parameters import AggregatesOf
from sluice.api.problems import wrong
from sluice.api.readings import as_rows, read_place
from sluice.api.timed_pages import Page, Position, Wanted, read_page
from sluice.schemas import GOLD_READINGS_1MIN
from sluice.tables.reading import connect

MINUTES = GOLD_READINGS_1MIN.full_name
TABLES_OF = {"minute": MINUTES, "hour": "gold.readings_1hour", "day": "gold.readings_1day"}
WIDTHS = {"minute": 60 * SECOND, "hour": 3600 * SECOND, "day": DAY}
COLUMNS = tuple(name for name in GOLD_READINGS_1MIN.column_names if name != GOLD_READINGS_1MIN.partition_by)
_COUNTS = ("minutes_with_readings", "missing_minutes", "alert_count")
_ROLLED_UP = pa.schema(
    [*((name, pa.float64()) for name in ("value_p50", "value_p95")), *((name, pa.int64()) for name in _COUNTS)]
)
_DEFAULT_DAYS = 1.0
_MOST_MINUTES = 300_000
# Mean and deviation of parts put together: sums of squares around the mean of the whole, not around zero.
_ROLL_UP = """
WITH minutes AS (SELECT *, time_bucket(to_microseconds($width), bucket) AS whole FROM rows),
means AS (
    SELECT
        whole, device_id, metric, sum(reading_count) AS n,
        sum(value_mean * reading_count) / sum(reading_count) AS mean
    FROM minutes GROUP BY ALL
)
SELECT
    whole AS bucket, device_id, metric, any_value(unit) AS unit,
    any_value(n)::BIGINT AS reading_count, any_value(mean) AS value_mean,
    min(value_min) AS value_min, max(value_max) AS value_max,
    CASE WHEN any_value(n) > 1 THEN sqrt(sum(
        coalesce(value_stddev, 0) ** 2 * (reading_count - 1) + reading_count * (value_mean - mean) ** 2
    ) / (any_value(n) - 1)) END AS value_stddev,
    sum(out_of_range_count)::BIGINT AS out_of_range_count,
    NULL::DOUBLE AS expected_count, NULL::DOUBLE AS completeness_percent,
    max(updated_at) AS updated_at,
    NULL::DOUBLE AS value_p50, NULL::DOUBLE AS value_p95,
    count(*) AS minutes_with_readings, NULL::BIGINT AS missing_minutes, NULL::BIGINT AS alert_count
FROM minutes JOIN means USING (whole, device_id, metric)
GROUP BY ALL
ORDER BY bucket, device_id, metric
"""


def list_aggregates(question: Question, given: AggregatesOf) -> Rows:
    """Aggregates of a time: buckets that begin in `[since, until)`."""
    asked, settings = question.asked, question.asked.service.settings
    kind = f"aggregates-{given.interval}"
    since, until, after = read_place(kind, given, asked.at, _DEFAULT_DAYS, settings.max_range_days)
    columns = arrow_columns(MINUTES, COLUMNS)
    wanted = Wanted(
        time="bucket",
        tie="metric",
        columns=columns if given.interval == "minute" else pa.schema([*columns, *_ROLLED_UP]),
        since=since,
        until=until,
        limit=row_limit(given.limit, settings),
        device_id=given.device_id,
        metric=given.metric,
        customers=asked.customers,
        width=WIDTHS[given.interval],
        after=after,
    )
    table = asked.table(TABLES_OF[given.interval])
    if table is None and given.interval != "minute":
        return as_rows(kind, _roll_up(question, wanted), since, until)
    page = read_page(asked.service.files, table, asked.snapshot.owners, wanted, question.deadline)
    if given.percentiles and given.interval == "minute":
        page = page._replace(rows=add_percentiles(question, page.rows))
    return as_rows(kind, page, since, until)


def _roll_up(question: Question, wanted: Wanted) -> Page:
    """The same page out of minutes; how many readings were expected is not known of minutes that have none."""
    asked, width = question.asked, wanted.width
    first = -(-wanted.since // width) * width
    begin = first if wanted.after is None else max(first, wanted.after.time)
    minutes = replace(
        wanted,
        columns=arrow_columns(MINUTES, COLUMNS),
        since=begin,
        until=-(-wanted.until // width) * width,
        limit=_MOST_MINUTES,
        width=WIDTHS["minute"],
        after=None,
    )
    rows, end = read_page(asked.service.files, asked.table(MINUTES), asked.snapshot.owners, minutes, question.deadline)
    if end is not None:
        raise wrong("since", f"more than {_MOST_MINUTES} minutes to put together: ask for one device or a shorter time")
    connection = connect()
    with question.deadline.interrupting(connection):
        connection.register("rows", rows)
        whole = connection.sql(_ROLL_UP, params={"width": width}).to_arrow_table().cast(wanted.columns)
    start = 0 if wanted.after is None else _rows_up_to(whole, wanted.after)
    shown = whole.slice(start, wanted.limit)
    if start + wanted.limit >= whole.num_rows:
        return Page(shown, None)
    last = shown.slice(shown.num_rows - 1).to_pylist()[0]
    time = shown["bucket"].cast(pa.int64())[-1].as_py()
    return Page(shown, Position(time, last["device_id"], last["metric"]))


def _rows_up_to(rows: pa.Table, after: Position) -> int:
    times = rows["bucket"].cast(pa.int64()).to_pylist()
    keys = zip(times, rows["device_id"].to_pylist(), rows["metric"].to_pylist(), strict=True)
    last = (after.time, after.device_id, "\U0010ffff" if after.tie is None else after.tie)
    return sum(key <= last for key in keys)
