"""Records that repeat each other's events: which hang together, so that they are judged anew together."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice.schemas import CONFLICT_DETAIL, COORDINATES, DUPLICATE_CONFLICT, QUARANTINE_OPEN

_KEPT = tuple(f"kept_{name}" for name in COORDINATES)
_TYPES = ("string", "int", "int", "bigint")
_IN_DETAIL = f"^{CONFLICT_DETAIL}(.*):([0-9]+):([0-9]+):([0-9]+)$"


def find_copies(duplicates: DataFrame, quarantine: DataFrame) -> DataFrame:
    """Every record that was found to repeat another's event, with the same values or not.

    Args:
        duplicates: columns of silver/duplicates.
        quarantine: columns of silver/quarantine.

    Returns:
        COORDINATES, and with `kept_` those of the reading that keeps the event.
    """
    conflicts = quarantine.where(
        (F.col("error_code") == DUPLICATE_CONFLICT) & (F.col("status") == QUARANTINE_OPEN)
    ).withColumns({name: _in_detail(index).try_cast(_TYPES[index]) for index, name in enumerate(_KEPT)})
    return duplicates.select(*COORDINATES, *_KEPT).unionAll(conflicts.select(*COORDINATES, *_KEPT))


def _in_detail(index: int) -> Column:
    return F.regexp_extract("error_detail", _IN_DETAIL, index + 1)


def with_copies(inside: DataFrame, copies: DataFrame) -> DataFrame:
    """The records inside a range, and those beyond it that hang together with them.

    A reading and the copies that were refused in its favour hang together: where one of them is read otherwise, others
    may be kept.

    Args:
        inside: COORDINATES, each once.
        copies: as `find_copies` returns.

    Returns:
        COORDINATES, each once, and `is_beyond`.
    """
    keeping = [F.col(kept).alias(name) for kept, name in zip(_KEPT, COORDINATES, strict=True)]
    on = list(COORDINATES)
    heads = inside.unionAll(copies.join(inside, on=on, how="left_semi").select(*keeping)).distinct()
    kept = heads.select(*[F.col(name).alias(kept) for kept, name in zip(_KEPT, COORDINATES, strict=True)])
    members = copies.join(kept, on=list(_KEPT), how="left_semi").select(*COORDINATES)
    beyond = heads.unionAll(members).distinct().join(inside, on=on, how="left_anti")
    return inside.withColumn("is_beyond", F.lit(False)).unionAll(beyond.withColumn("is_beyond", F.lit(True)))
