"""The health check of a job's container."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from sluice.tables.lake import Lake, own_layer

ROOT = Path(__file__).parents[2]


def test_a_job_is_healthy_while_a_process_of_its_container_owns_the_layer(tmp_path: Path) -> None:
    def health() -> int:
        check = [sys.executable, str(ROOT / "infra" / "owns_layer.py"), "silver"]
        given = {**os.environ, "SLUICE_LAKE__PATH": str(tmp_path)}
        return subprocess.run(check, env=given, check=False, timeout=60).returncode

    before = health()
    with own_layer(Lake(tmp_path), "silver"):
        owned = health()
        lock = Lake(tmp_path).lock_path("silver")
        lock.write_text(lock.read_text("utf-8").replace(socket.gethostname(), "another-container"))
        elsewhere = health()

    assert (before, owned, elsewhere, health()) == (1, 0, 1, 1)
