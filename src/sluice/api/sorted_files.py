"""Data files kept in memory, sorted by device and time, so that one device's rows are a slice.

Jobs write files by arrival: every device is in every file of a day. To find one device's day in them, all rows of the
day would have to be decoded, for each request. So a file that is asked for is sorted once, and the columns asked for
are kept, until others need the memory. Files never change; nothing here can be out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.api.problems import busy

DEVICE = "device_id"
Places: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
_MEBIBYTE = 1024 * 1024
_PER_FILE_BYTES = 4096
_TIMES = pa.timestamp("us", "UTC")
# Of a column of texts as many different ones as are stored as numbers; ids of events are all different.
_MOST_TEXTS_SHARE = 0.5


class SortedFile:
    """One Parquet file, sorted; columns are read when they are first asked for.

    Args:
        time: the column that orders the rows of a device.
    """

    def __init__(self, path: Path, time: str) -> None:
        self._path, self._time = path, time
        self._lock = threading.Lock()
        self._columns: dict[str, pa.Array] = {}
        self._devices: dict[str, tuple[int, int]] = {}
        self._order: pa.Array | None = None
        self.times: Places = np.empty(0, np.int64)
        self.size_bytes = _PER_FILE_BYTES

    def load(self, columns: Sequence[str]) -> None:
        """Reads what is not there yet.

        Raises:
            Problem: 503, the file went away.
        """
        with self._lock:
            if self._order is None:
                self._sort()
            if missing := [name for name in columns if name not in self._columns and name not in (DEVICE, self._time)]:
                self._read(missing)

    def rows_of(self, device_id: str, since: int, until: int) -> Places:
        """The places of a device's rows in `[since, until)` microseconds, one after the other."""
        first, last = self._devices.get(device_id, (0, 0))
        times = self.times[first:last]
        start, stop = (first + int(np.searchsorted(times, end, "left")) for end in (since, until))
        return np.arange(start, stop)

    def take(self, column: str, rows: Places) -> pa.Array:
        """A loaded column's values at places of the sorted file."""
        if column == self._time:
            return pa.array(self.times[rows], pa.int64()).cast(_TIMES)
        if column == DEVICE:
            names = pa.array(list(self._devices), pa.string())
            starts = np.fromiter((start for start, _ in self._devices.values()), np.int64, len(self._devices))
            return names.take(pa.array(np.searchsorted(starts, rows, "right") - 1))
        # A run of rows needs no copy.
        if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows) and (len(rows) == 1 or rows[1] == rows[0] + 1):
            return self._columns[column].slice(int(rows[0]), len(rows))
        return self._columns[column].take(pa.array(rows))

    def _sort(self) -> None:
        table = _read_table(self._path, [DEVICE, self._time])
        devices = table.column(DEVICE).combine_chunks().dictionary_encode()
        if isinstance(devices, pa.ChunkedArray):
            devices = devices.combine_chunks()
        names = devices.dictionary.to_pylist()
        places = sorted(range(len(names)), key=names.__getitem__)
        rank = np.empty(len(names), np.int64)
        rank[places] = np.arange(len(names))
        codes = rank[devices.indices.to_numpy(zero_copy_only=False)]
        times = table.column(self._time).cast(_TIMES).cast(pa.int64()).to_numpy()
        order = np.lexsort((times, codes))
        sorted_codes = codes[order]
        ends = np.searchsorted(sorted_codes, np.arange(len(names) + 1))
        self.times = times[order]
        self._devices = {names[place]: (int(ends[at]), int(ends[at + 1])) for at, place in enumerate(places)}
        self._order = pa.array(order.astype(np.uint32))
        self.size_bytes += self.times.nbytes + self._order.nbytes + 200 * len(names)

    def _read(self, names: Sequence[str]) -> None:
        table = _read_table(self._path, names)
        for name in names:
            column = _compact(table.column(name)) if name in table.column_names else pa.nulls(table.num_rows)
            column = column.take(self._order) if column.null_count < len(column) else pa.nulls(len(column))
            self._columns[name] = column
            self.size_bytes += column.nbytes


class SortedFiles:
    """The sorted files that are in memory, the least recently used of which go when there is no room.

    Args:
        most_megabytes: of memory for all of them; the one in use may be larger by itself.
    """

    def __init__(self, most_megabytes: int) -> None:
        self._most_bytes = most_megabytes * _MEBIBYTE
        self._lock = threading.Lock()
        self._files: OrderedDict[Path, SortedFile] = OrderedDict()

    def get(self, path: Path, time: str, columns: Sequence[str]) -> SortedFile:
        """A file with these columns.

        Raises:
            Problem: 503, the file went away.
        """
        with self._lock:
            file = self._files.pop(path, None) or SortedFile(path, time)
            self._files[path] = file
        file.load(columns)
        self._make_room(path)
        return file

    @property
    def size_bytes(self) -> int:
        """What is in memory."""
        with self._lock:
            return sum(file.size_bytes for file in self._files.values())

    def _make_room(self, keep: Path) -> None:
        with self._lock:
            size = sum(file.size_bytes for file in self._files.values())
            while size > self._most_bytes and len(self._files) > 1:
                path, file = self._files.popitem(last=False)
                if path == keep:
                    self._files[path] = file
                    return
                size -= file.size_bytes


def _read_table(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        # One thread: others work on other requests. Spark may write times as INT96, see tables/reading.py.
        return pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read(columns=list(columns), use_threads=False)
    except FileNotFoundError:
        raise busy("a file of the lake went away while it was read; try again") from None


def _compact(column: pa.ChunkedArray) -> pa.Array:
    """The same values in less memory: numbers as narrow as they fit, texts that repeat as places in a list."""
    whole = column.combine_chunks()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
        encoded = whole.dictionary_encode()
        return _narrow(encoded) if len(encoded.dictionary) <= len(whole) * _MOST_TEXTS_SHARE else whole
    if pa.types.is_integer(whole.type) or pa.types.is_floating(whole.type):
        ends = pc.min_max(whole)
        if ends["min"] == ends["max"]:
            return _narrow(whole.dictionary_encode())
        if pa.types.is_integer(whole.type):
            return whole.cast(_narrowest(ends["min"].as_py(), ends["max"].as_py()))
    return whole


def _narrow(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    kind = _narrowest(0, len(encoded.dictionary))
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(kind), encoded.dictionary)


def _narrowest(low: int, high: int) -> pa.DataType:
    for bits, kind in ((7, pa.int8()), (15, pa.int16()), (31, pa.int32())):
        if -(2**bits) <= low and high < 2**bits:
            return kind
    return pa.int64()
