"""Kafka's record batches (format v2, https://kafka.apache.org/documentation/#recordbatch), encoded in one go."""

from __future__ import annotations

import zlib
from typing import Any

from sluice.sources.crc32c import crc32c

MAGIC = 2
_GZIP_WINDOW = 31


def encode_varint(number: int) -> bytes:
    """The number in Kafka's zigzag variable-length form."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(0x80 | (rest & 0x7F))
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


_VARINTS = [encode_varint(number) for number in range(8192)]


def _varint(number: int) -> bytes:
    return _VARINTS[number] if 0 <= number < 8192 else encode_varint(number)


class RecordBlock:
    """The encoded records of one batch to be, without its header.

    Attributes:
        count: records in it.
        size: their encoded bytes.
        first_ms, last_ms: earliest given and greatest timestamp, milliseconds since the epoch.
    """

    __slots__ = ("_parts", "count", "first_ms", "last_ms", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.count = 0
        self.size = 0
        self.first_ms = 0
        self.last_ms = 0

    def append(self, key: bytes | None, value: bytes, timestamp_ms: int) -> None:
        """Adds one record; without headers."""
        if not self.count:
            self.first_ms = self.last_ms = timestamp_ms
        elif timestamp_ms > self.last_ms:
            self.last_ms = timestamp_ms
        head = b"\x00" + _varint(timestamp_ms - self.first_ms) + _varint(self.count)
        head += b"\x01" if key is None else _varint(len(key)) + key
        head += _varint(len(value))
        length = len(head) + len(value) + 1
        prefix = _varint(length)
        self._parts += (prefix, head, value, b"\x00")
        self.count += 1
        self.size += length + len(prefix)

    def payload(self) -> bytes:
        """The records, one after the other."""
        return b"".join(self._parts)


def builder_class(batch_bytes: int) -> Any:
    """kafka-python's builder of a batch, taking a RecordBlock instead of single records (`of`)."""
    from kafka.record.default_records import DefaultRecordBatchBuilder

    class EncodedBatchBuilder(DefaultRecordBatchBuilder):  # type: ignore[misc]
        """The client's batch builder around records already encoded; gzip at the level that pays."""

        __slots__ = ()

        @classmethod
        def of(cls, block: RecordBlock, compression: int) -> EncodedBatchBuilder:
            builder = cls(MAGIC, compression, False, -1, -1, -1, batch_bytes)
            builder._buffer += block.payload()
            builder._first_timestamp, builder._max_timestamp = block.first_ms, block.last_ms
            builder._num_records, builder._last_offset = block.count, block.count - 1
            return builder

        def _maybe_compress(self) -> bool:
            if self._compression_type != self.CODEC_GZIP:
                return bool(super()._maybe_compress())
            start = self.HEADER_STRUCT.size
            packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
            self._buffer[start:] = packer.compress(memoryview(self._buffer)[start:].tobytes()) + packer.flush()
            return True

        def write_header(self, use_compression_type: bool = True) -> None:
            self.HEADER_STRUCT.pack_into(
                self._buffer,
                0,
                0,
                len(self._buffer) - self.AFTER_LEN_OFFSET,
                0,
                MAGIC,
                0,
                self._get_attributes(use_compression_type),
                self._last_offset,
                self._first_timestamp,
                self._max_timestamp,
                self._producer_id,
                self._producer_epoch,
                self._base_sequence,
                self._num_records,
            )
            checksum = crc32c(memoryview(self._buffer)[self.ATTRIBUTES_OFFSET :])
            self._buffer[self.CRC_OFFSET : self.CRC_OFFSET + 4] = checksum.to_bytes(4, "big")

    return EncodedBatchBuilder
