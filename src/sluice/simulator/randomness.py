"""Random numbers that are a function of (seed, purpose, index): no state, so no order, batch size or machine matters.

SplitMix64 (Steele, Lea, Flood 2014) over the index, with a key from the seed and the purpose. Only integer
arithmetic and exactly rounded floating-point operations are used.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


def bits(seed: int, purpose: str, index: Integers) -> Bits:
    """64 random bits for every index."""
    key = blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    mixed: Bits = (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN + np.uint64(int.from_bytes(key, "big"))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    last: Bits = mixed ^ (mixed >> np.uint64(31))
    return last


def uniform(seed: int, purpose: str, index: Integers, low: float = 0.0, high: float = 1.0) -> Floats:
    """A number in [low, high) for every index."""
    share: Floats = (bits(seed, purpose, index) >> np.uint64(11)).astype(np.float64) * _UNIT
    return low + share * (high - low)


def whole(seed: int, purpose: str, index: Integers, low: int, high: int) -> Integers:
    """A whole number in [low, high) for every index; high - low at most 2**31."""
    top = (bits(seed, purpose, index) >> np.uint64(33)).astype(np.int64)
    scaled: Integers = low + top % np.int64(high - low)
    return scaled


def noise(seed: int, purpose: str, index: Integers) -> Floats:
    """Bell-shaped noise for every index: mean 0, standard deviation 1, within ±3.5 (a sum of four uniforms)."""
    drawn = bits(seed, purpose, index)
    total: Any = np.zeros(len(drawn), dtype=np.int64)
    for shift in (0, 16, 32, 48):
        total = total + ((drawn >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
    centred: Floats = (total - 2 * 0xFFFF).astype(np.float64)
    # The sum of four uniforms on [0, 1] has variance 4/12.
    return centred * (1.7320508075688772 / 65536.0)


def cycle(phase: Floats) -> Floats:
    """A wave of amplitude 1 over phase, period 1, near a sine; two parabolas, because sines differ by machine."""
    within: Floats = phase - np.floor(phase)
    half: Floats = np.where(within < 0.5, within, within - 0.5)
    wave: Floats = 16.0 * half * (0.5 - half)
    return np.where(within < 0.5, wave, -wave)
