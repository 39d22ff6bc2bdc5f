"""`python -m benchmarks.contenders NAME TASK`: one contender, warmed up and then measured; its figures as JSON."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.contenders import Task


def main() -> None:
    """Prints `{"parts": {name: seconds}}` as the last line."""
    contender = import_module(f"benchmarks.contenders.{sys.argv[1]}")
    task = Task(**json.loads(sys.argv[2]))
    # Spark prints to standard output too, on which the figures are awaited.
    answer = os.dup(1)
    os.dup2(2, 1)
    with contender.open_contender(task) as drain:
        for name in ("warm", "measured"):
            folder = Path(task.folder) / name
            folder.mkdir(parents=True)
            parts = drain(task.warm_topic if name == "warm" else task.topic, folder)
    os.write(answer, (json.dumps({"parts": parts}) + "\n").encode())


if __name__ == "__main__":
    main()
