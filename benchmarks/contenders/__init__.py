"""Who takes part in `drain`: Sluice, its peers, and what Spark can do at most. Each runs as a process of its own.

A contender is a module with `NAME` and `open_contender(task)`, a context manager that gives a function from a
topic and an empty folder to the seconds that each part of the work took. It is called for a short topic first, which
warms up, then for the long one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What a contender is asked.

    Attributes:
        folder: empty, for all it writes.
        events: of the long topic.
    """

    bootstrap_servers: str
    warm_topic: str
    topic: str
    folder: str
    events: int
