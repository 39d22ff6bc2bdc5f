"""Frames kept in memory for the time of one micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyspark import StorageLevel
from pyspark.sql import DataFrame

Keep = Callable[[DataFrame], DataFrame]


@contextmanager
def kept_in_memory() -> Iterator[Keep]:
    """Gives a function that persists frames until the block ends, however it ends."""
    kept: list[DataFrame] = []

    def keep(frame: DataFrame) -> DataFrame:
        kept.append(frame.persist(StorageLevel.MEMORY_AND_DISK))
        return kept[-1]

    try:
        yield keep
    finally:
        for frame in reversed(kept):
            frame.unpersist()
