"""Answers as files: CSV, JSON or Parquet, there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import DiskFull, OutputInvalid, QueryInvalid

if TYPE_CHECKING:
    import pyarrow as pa


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes the lines of a text; a file that is there is replaced.

    Raises:
        OutputInvalid: the place cannot be written to.
    """
    with _replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Writes batches with the types they have; a file that is there is replaced.

    Returns:
        How many rows.

    Raises:
        OutputInvalid: the place cannot be written to.
        QueryInvalid: a column is of a type that Parquet lacks.
    """
    import pyarrow
    import pyarrow.parquet

    rows = 0
    with _replacing(path) as temporary, temporary.open("wb") as file:
        try:
            writer = pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
        except pyarrow.ArrowNotImplementedError as error:
            raise QueryInvalid(
                f"Parquet cannot hold this answer: {error}", "cast that column to another type"
            ) from None
        with writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` at the end, or goes when anything fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        full = DiskFull.of(error)
        raise full or OutputInvalid(
            f"cannot write {path}: {error.strerror}", "give a file in a folder that is there"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
