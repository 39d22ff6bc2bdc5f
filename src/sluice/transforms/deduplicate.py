"""Exact deduplication by event key, at any lateness and without state.

Keys are first compared as 64-bit hashes, which is cheap and finds every repeat; only rows whose hash stands
there twice are then compared exactly. So the cost grows with the batch, the slice of silver whose event times
the batch touches, and the number of repeats, never with the age of the lake.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from sluice.schemas import CANONICAL_VALUES, COORDINATES, EVENT_KEY

# What deduplication reads of candidates and of silver/readings.
COMPARED_COLUMNS = (*COORDINATES, *EVENT_KEY, *CANONICAL_VALUES)
_KEPT = tuple(f"kept_{name}" for name in COORDINATES)
REPEAT_COLUMNS = (*COORDINATES, *EVENT_KEY, *_KEPT, "is_conflict")


def with_hashes(rows: DataFrame) -> DataFrame:
    """Rows in COMPARED_COLUMNS, and `key_hash`, a bigint that rows of one event key share."""
    return rows.select(*COMPARED_COLUMNS, F.xxhash64(*EVENT_KEY).alias("key_hash"))


def resolve_repeats(candidates: DataFrame, existing: DataFrame | None, taken: DataFrame) -> DataFrame:
    """The candidates whose event key is taken, with the coordinates of the row that keeps it.

    An existing row keeps its key; among candidates the one with the lowest coordinates does. A repeat with
    other canonical values than the kept row is a conflict (null equals null, -0.0 was made 0.0 before).

    Args:
        candidates: of the batch's events, as `with_hashes` returns.
        existing: of silver/readings, likewise; None for no row.
        taken: `key_hash`, at least of every key that more than one row has.

    Returns:
        REPEAT_COLUMNS, one row per repeat.
    """
    pool = candidates.withColumn("_existing", F.lit(False))
    if existing is not None:
        pool = pool.unionAll(existing.withColumn("_existing", F.lit(True)))
    return _resolve(pool.join(F.broadcast(taken), on="key_hash", how="left_semi"))


def _resolve(pool: DataFrame) -> DataFrame:
    order = [F.col("_existing").desc(), *map(F.col, COORDINATES)]
    by_key = Window.partitionBy(*EVENT_KEY).orderBy(*order)
    whole = by_key.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    kept = F.first(F.struct(*COORDINATES, *CANONICAL_VALUES)).over(whole)
    ranked = pool.withColumn("_rank", F.row_number().over(by_key)).withColumn("_kept", kept)
    same = reduce(Column.__and__, [F.col(name).eqNullSafe(F.col(f"_kept.{name}")) for name in CANONICAL_VALUES])
    coordinates = [F.col(f"_kept.{name}").alias(f"kept_{name}") for name in COORDINATES]
    repeats = ranked.where((F.col("_rank") > 1) & ~F.col("_existing"))
    return repeats.select(*COORDINATES, *EVENT_KEY, *coordinates, (~same).alias("is_conflict"))
