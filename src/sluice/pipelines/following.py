"""Work that is done again and again, without Spark: every so often, waiting while what it needs is away."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sluice.errors import DependencyError
from sluice.pipelines.driver import StopSignal

logger = logging.getLogger("sluice")
LONGEST_WAIT_SECONDS = 60.0


def follow(step: Callable[[], None], every_seconds: float, stop: StopSignal | None = None) -> None:
    """Does a step at once and then every so many seconds after its end, until Ctrl-C or SIGTERM between two of them.

    A dependency that is missing is waited for, each time twice as long, up to a minute; but the first step's errors are
    the caller's.

    Raises:
        SluiceError: anything else that the step raises.
    """
    stop = stop or StopSignal()
    wait, known = 1.0, False
    with stop.installed():
        while not stop.event.is_set():
            try:
                step()
                pause, wait, known = every_seconds, 1.0, True
            except DependencyError as error:
                if not known:
                    raise
                logger.warning("%s; trying again in %.0f s", error.in_one_line, wait)
                pause, wait = wait, min(2 * wait, LONGEST_WAIT_SECONDS)
            stop.event.wait(pause)
