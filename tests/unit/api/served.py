"""A real server on loopback over a small lake, with keys; asked by httpx."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx

from sluice.api.keys import add_key

NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)
_COMMAND = [sys.executable, "-c", "from sluice.cli import main; main()", "serve", "--port", "0"]


@dataclass
class Served:
    """A running server.

    Attributes:
        all_key, acme_key: of all customers, and of acme alone.
        log: what it has written to standard error.
    """

    address: str
    process: subprocess.Popen[str]
    keys_path: Path
    all_key: str
    acme_key: str
    log: Path

    def get(self, path: str, key: str | None = "all", **headers: str) -> httpx.Response:
        """The answer to one request; `key` is all, acme, a key itself, or None for none."""
        token = {"all": self.all_key, "acme": self.acme_key}.get(key, key) if key else None
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"{self.address}{path}", headers={**sent, **headers}, timeout=30)

    def json(self, path: str, key: str | None = "all") -> Any:
        """The body of an answer that must be 200."""
        answer = self.get(path, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, path: str, key: str = "all") -> list[list[Any]]:
        """The items of all pages, one after the other."""
        pages, cursor = [], ""
        while True:
            answer = self.json(f"{path}{cursor}", key)
            pages.append(answer["items"])
            if answer["next_cursor"] is None:
                return pages
            cursor = f"&cursor={answer['next_cursor']}"


@contextmanager
def serving(lake: Path, folder: Path, **settings: str) -> Iterator[Served]:
    """A server of a process of its own, ready if the lake is there."""
    keys_path = folder / "keys.json"
    all_key = add_key(keys_path, "everything", ["*"], None, NOW)
    acme_key = add_key(keys_path, "acme-reader", ["acme"], None, NOW)
    with running(lake, folder, SLUICE_SERVE__KEYS_PATH=str(keys_path), **settings) as (address, process, log):
        yield Served(address, process, keys_path, all_key, acme_key, log)


@contextmanager
def running(lake: Path, folder: Path, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    """Address, process and log of a server with settings as environment variables."""
    log = folder / "server.log"
    environment = {**os.environ, "SLUICE_LAKE__PATH": str(lake), "SLUICE_SERVE__REFRESH_SECONDS": "0.05", **settings}
    with log.open("w") as errors:
        process = subprocess.Popen(_COMMAND, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " at " in line, log.read_text()
        address = line.split(" at ")[1].split()[0].rstrip("/")
        wait_until(lambda: not lake.exists() or httpx.get(f"{address}/ready", timeout=30).status_code == 200)
        yield address, process, log
    finally:
        process.terminate()
        process.wait(30)


def wait_until(condition: Any, seconds: float = 30) -> None:
    """Returns as soon as a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)
