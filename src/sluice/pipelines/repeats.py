"""Which events of a batch are there already: hashes of their keys first, then the few rows whose hash is there twice.

The batch's hashes are sorted in NumPy, 8 bytes a row, in half of the time that a shuffle of them takes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sluice.transforms.deduplicate import resolve_repeats, with_hashes


def find_repeats(candidates: DataFrame, existing: DataFrame | None) -> DataFrame:
    """The candidates whose event key is taken, see `resolve_repeats`; reads both to find out.

    Args:
        candidates: COMPARED_COLUMNS of the batch's events.
        existing: COMPARED_COLUMNS of silver/readings, at least all rows whose event time is one of theirs; None for
            no row.
    """
    new, old = with_hashes(candidates), None if existing is None else with_hashes(existing)
    hashes, rows = np.unique(_hashes(new), return_counts=True)
    taken = [hashes[rows > 1]]
    if old is not None:
        taken.append(_hashes(old.join(F.broadcast(new.select("key_hash")), on="key_hash", how="left_semi")))
    found = pa.table({"key_hash": np.unique(np.concatenate(taken))})
    if not found.num_rows:
        return resolve_repeats(new.limit(0), None, new.select("key_hash").limit(0))
    return resolve_repeats(new, old, candidates.sparkSession.createDataFrame(found))


def _hashes(rows: DataFrame) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = rows.select("key_hash").toArrow()["key_hash"].to_numpy()
    return found
