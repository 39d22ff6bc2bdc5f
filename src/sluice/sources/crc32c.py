"""CRC-32C (RFC 3720, appendix B.4) of large buffers, in numpy: about 30 times faster than a loop in Python.

A checksum is linear over GF(2). So the buffer is cut into strips of equal length, all strips are taken through the
usual table step by step at once, and neighbours are joined by the operator "so many zero bytes later".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78
_STRIPS = 1024
# Strip lengths are rounded up to this, so that few operators are needed.
_STRIP_STEP = 16
_EIGHT, _BYTE = np.uint32(8), np.uint32(0xFF)


def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & np.uint32(1), (table >> np.uint32(1)) ^ np.uint32(_POLYNOMIAL), table >> np.uint32(1))
    return table.astype(np.uint32)


_TABLE = _byte_table()


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The checksum of at least four bytes, as Kafka stores it."""
    length = len(data)
    strip = -(-length // (_STRIPS * _STRIP_STEP)) * _STRIP_STEP
    padded = np.zeros(_STRIPS * strip, dtype=np.uint8)
    # Zeros in front leave a zero state zero; the usual starting state is the same as four inverted first bytes.
    padded[-length:] = np.frombuffer(data, dtype=np.uint8)
    padded[-length : padded.size - length + 4] ^= 0xFF
    columns = np.ascontiguousarray(padded.reshape(_STRIPS, strip).T)
    state = np.zeros(_STRIPS, dtype=np.uint32)
    for column in columns:
        state = (state >> _EIGHT) ^ _TABLE[(state ^ column) & _BYTE]
    for tables in _joins(strip):
        state = _look_up(tables, state[0::2]) ^ state[1::2]
    return int(state[0]) ^ 0xFFFFFFFF


@lru_cache(maxsize=32)
def _joins(strip: int) -> list[Words]:
    """The operators that carry a state over 1, 2, 4 … strips, up to half of all."""
    operator = _power(strip)
    joins = []
    for _ in range(_STRIPS.bit_length() - 1):
        joins.append(_tables(operator))
        operator = _apply(operator, operator)
    return joins


def _power(zero_bytes: int) -> Words:
    """Where each of the 32 bits of a state goes over so many zero bytes."""
    result: Words = np.left_shift(np.uint32(1), np.arange(32, dtype=np.uint32))
    square: Words = (result >> _EIGHT) ^ _TABLE[result & _BYTE]
    while zero_bytes:
        if zero_bytes & 1:
            result = _apply(square, result)
        square = _apply(square, square)
        zero_bytes >>= 1
    return result


def _apply(operator: Words, states: Words) -> Words:
    carried: Any = np.zeros_like(states)
    for bit in range(32):
        carried = carried ^ np.where((states >> np.uint32(bit)) & np.uint32(1), operator[bit], np.uint32(0))
    return np.asarray(carried, dtype=np.uint32)


def _tables(operator: Words) -> Words:
    """The operator as four tables, one per byte of a state."""
    values = np.arange(256, dtype=np.uint32)
    return np.stack([_apply(operator, values << np.uint32(shift)) for shift in (0, 8, 16, 24)])


def _look_up(tables: Words, states: Words) -> Words:
    parts = [tables[number][(states >> np.uint32(8 * number)) & _BYTE] for number in range(4)]
    return np.asarray(parts[0] ^ parts[1] ^ parts[2] ^ parts[3], dtype=np.uint32)
