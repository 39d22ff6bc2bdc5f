"""Exact deduplication by event key, at any lateness and without state.

Keys are first compared as 64-bit hashes, which is cheap and finds every repeat; only rows whose hash stands
there twice are then compared exactly. So the cost grows with the batch, the slice of silver whose event times
the batch touches, and the number of repeats, never with the age of the lake. The batch's hashes are sorted in NumPy,
8 bytes a row, in a tenth of the time that a shuffle takes.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from sluice.schemas import CANONICAL_VALUES, COORDINATES, EVENT_KEY

# What deduplication reads of candidates and of silver/readings.
COMPARED_COLUMNS = (*COORDINATES, *EVENT_KEY, *CANONICAL_VALUES)
_KEPT = tuple(f"kept_{name}" for name in COORDINATES)
REPEAT_COLUMNS = (*COORDINATES, *EVENT_KEY, *_KEPT, "is_conflict")


def find_repeats(candidates: DataFrame, existing: DataFrame | None) -> DataFrame:
    """The candidates whose event key is taken, with the coordinates of the row that keeps it; reads both once.

    An existing row keeps its key; among candidates the one with the lowest coordinates does. A repeat with
    other canonical values than the kept row is a conflict (null equals null, -0.0 was made 0.0 before).

    Args:
        candidates: COMPARED_COLUMNS of the batch's events.
        existing: COMPARED_COLUMNS of silver/readings, at least all rows whose event time is one of theirs; or None for
            no row.

    Returns:
        REPEAT_COLUMNS, one row per repeat.
    """
    new = candidates.select(*COMPARED_COLUMNS, F.lit(False).alias("_existing"), _key_hash().alias("_hash"))
    hashes, rows = np.unique(_collected(new), return_counts=True)
    taken = [hashes[rows > 1]]
    pool = new
    if existing is not None:
        old = existing.select(*COMPARED_COLUMNS, F.lit(True).alias("_existing"), _key_hash().alias("_hash"))
        taken.append(_collected(old.join(F.broadcast(new.select("_hash")), on="_hash", how="left_semi")))
        pool = new.unionAll(old)
    found = np.unique(np.concatenate(taken))
    if not found.size:
        return _resolve(pool.where(F.lit(False)))
    again = candidates.sparkSession.createDataFrame(pa.table({"_hash": found}))
    return _resolve(pool.join(F.broadcast(again), on="_hash", how="left_semi").select(pool.columns))


def _collected(rows: DataFrame) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = rows.select("_hash").toArrow()["_hash"].to_numpy()
    return found


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
