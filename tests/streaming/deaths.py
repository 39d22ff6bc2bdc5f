"""Deaths inside the tests' own process, between two calls; those of the real process are in `crash/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.streaming.conftest import Workshop


class Died(Exception):
    """Stands for the end of the process."""


def dying(original: Callable[..., Any], call: int) -> Callable[..., Any]:
    """`original`, which dies instead of its n-th call from now on."""
    left = [call]

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Died
        return original(*args, **kwargs)

    return stand_in


def drain_until_death(workshop: Workshop, layers: list[str]) -> None:
    """Drains until something dies."""
    with pytest.raises(Exception, match="Died"):
        workshop.drain(layers)
