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


def find_repeats(candidates: DataFrame, existing: DataFrame) -> DataFrame:
    """The candidates whose event key is taken, with the coordinates of the row that keeps it.

    An existing row keeps its key; among candidates the one with the lowest coordinates does. A repeat with
    other canonical values than the kept row is a conflict (null equals null, -0.0 was made 0.0 before).

    Args:
        candidates: COMPARED_COLUMNS of the batch's events.
        existing: COMPARED_COLUMNS of silver/readings, at least all rows whose event time is one of theirs.

    Returns:
        REPEAT_COLUMNS, one row per repeat.
    """
    new = candidates.select(*COMPARED_COLUMNS, F.lit(False).alias("_existing"), _key_hash().alias("_hash"))
    old = existing.select(*COMPARED_COLUMNS, F.lit(True).alias("_existing"), _key_hash().alias("_hash"))
    everything = new.select("_hash", "_existing").unionAll(old.select("_hash", "_existing"))
    counted = everything.groupBy("_hash").agg(F.count("*").alias("rows"), F.count_if(~F.col("_existing")).alias("new"))
    taken = counted.where((F.col("rows") > 1) & (F.col("new") > 0)).select("_hash")
    pool = new.join(taken, on="_hash", how="left_semi").unionAll(old.join(taken, on="_hash", how="left_semi"))
    return _resolve(pool)


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


def _key_hash() -> Column:
    return F.xxhash64(*EVENT_KEY)
