"""One file of an export: rows as Parquet or CSV, the same bytes for the same rows, put in place whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa

from sluice.serving.values import plain

Format = Literal["parquet", "csv"]
ROWS_IN_A_GROUP = 131_072
# What a spreadsheet takes for the beginning of a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_READ_BYTES = 1024 * 1024


class Writer(Protocol):
    """Brings rows into a file that is open."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Rows after those before."""

    def close(self) -> None:
        """What is still to be written, but for the file itself."""


@dataclass
class PartFile:
    """A file that is being written beside its place.

    Attributes:
        temporary: where; of this process alone.
        rows: written so far.
    """

    temporary: Path
    rows: int
    _file: Any
    _writer: Writer

    @classmethod
    def begin(cls, temporary: Path, schema: pa.Schema, form: Format, escape_formulas: bool) -> PartFile:
        """An empty file."""
        temporary.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("wb")
        writer: Writer = _Parquet(file, schema) if form == "parquet" else _Csv(file, schema, escape_formulas)
        return cls(temporary, 0, file, writer)

    def write(self, batch: pa.RecordBatch) -> None:
        """Rows after those before."""
        self._writer.write(batch)
        self.rows += batch.num_rows

    def finish(self) -> tuple[int, str]:
        """How many bytes it has, and their SHA-256; they are on the disk."""
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self.temporary.stat().st_size, sha256_of(self.temporary)

    def abandon(self) -> None:
        """Closes and removes it."""
        self._file.close()
        self.temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path, size: int, sha256: str) -> bool:
    """Makes a finished file the one at its path, whole at once; whether that was not there already, byte for byte."""
    if path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256:
        temporary.unlink()
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    sync_folder(path.parent)
    return True


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes sure that names given or taken in a folder outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Parquet:
    def __init__(self, file: Any, schema: pa.Schema) -> None:
        import pyarrow.parquet

        self._writer = pyarrow.parquet.ParquetWriter(file, schema, compression="zstd", store_schema=False)
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROWS_IN_A_GROUP:
            # Groups end where they always do, however the rows came.
            rows = pa.Table.from_batches(self._waiting, self._schema)
            whole = self._rows - self._rows % ROWS_IN_A_GROUP
            self._writer.write_table(rows.slice(0, whole).combine_chunks(), row_group_size=ROWS_IN_A_GROUP)
            self._waiting = rows.slice(whole).to_batches()
            self._rows -= whole

    def close(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema).combine_chunks())
        self._writer.close()


class _Csv:
    """RFC 4180: CRLF, quotes where needed, UTF-8. Null is empty, an empty text is `""`."""

    def __init__(self, file: Any, schema: pa.Schema, escape_formulas: bool) -> None:
        self._file = file
        self._columns = [_as_text(field.type, escape_formulas) for field in schema]
        self._write_lines([schema.names])

    def write(self, batch: pa.RecordBatch) -> None:
        columns = (as_text(column) for as_text, column in zip(self._columns, batch.columns, strict=True))
        self._write_lines(zip(*columns, strict=True))

    def close(self) -> None:
        pass

    def _write_lines(self, rows: Iterable[Iterable[str]]) -> None:
        self._file.write("".join(",".join(row) + "\r\n" for row in rows).encode("utf-8"))


def _as_text(kind: pa.DataType, escape_formulas: bool) -> Callable[[pa.Array], list[str]]:
    """What turns a column into fields that are quoted where they must be."""
    if pa.types.is_timestamp(kind):
        return _times
    if pa.types.is_floating(kind):
        return lambda column: ["" if value is None else _number(value) for value in column.to_pylist()]
    if pa.types.is_string(kind):
        return lambda column: [_text(value, escape_formulas) for value in column.to_pylist()]
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return lambda column: [
            "" if value is None else _quoted(json.dumps(plain(value), ensure_ascii=False))
            for value in column.to_pylist()
        ]
    return lambda column: ["" if value is None else str(value) for value in column.to_pylist()]


def _times(column: pa.Array) -> list[str]:
    import numpy

    # numpy's knows every year that 64 bits hold.
    micros = column.cast(pa.int64())
    texts = numpy.datetime_as_string(micros.fill_null(0).to_numpy().astype("datetime64[us]"))
    return [f"{text}Z" if known else "" for text, known in zip(texts, micros.is_valid().to_pylist(), strict=True)]


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: str | None, escape_formulas: bool) -> str:
    if value is None:
        return ""
    return _quoted(f"'{value}" if escape_formulas and value.startswith(_FORMULAS) else value)


def _quoted(text: str) -> str:
    if text and not any(character in text for character in ',"\r\n') and text == text.strip():
        return text
    return '"' + text.replace('"', '""') + '"'
