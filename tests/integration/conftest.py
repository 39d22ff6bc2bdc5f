"""Commands as a user runs them: the installed console script in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.postgres_server import Server, find_programs, running_server
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real PostgreSQL server of the tests' own; use schemas or databases of your own."""
    programs = find_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL server here: neither initdb nor postgres was found")
    # Not below pytest's folder: the account that the server runs as could not enter it, and its path is too long.
    folder = Path(tempfile.mkdtemp(prefix="sluice-pg-"))
    try:
        with running_server(programs, folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
