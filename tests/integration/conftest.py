"""Commands as a user runs them: the installed console script in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.spark_options import OF_A_PROCESS

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(**settings: object) -> dict[str, str]:
    """This process's environment, what makes Spark start fast, and settings as SLUICE_SECTION__KEY."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    return {**kept, **OF_A_PROCESS, **{f"SLUICE_{key.upper()}": str(value) for key, value in settings.items()}}


@pytest.fixture
def sluice(tmp_path: Path) -> Run:
    """Runs `sluice …` with a lake and a broker folder of the test's own; settings as section__key=value."""

    def run(*arguments: str, timeout: float = 240, **settings: object) -> subprocess.CompletedProcess[str]:
        own = {"lake__path": tmp_path / "lake", "broker__data_path": tmp_path / "broker", **settings}
        return subprocess.run(
            [str(BIN / "sluice"), *arguments],
            env=environment(**own),
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            check=False,
        )

    return run
