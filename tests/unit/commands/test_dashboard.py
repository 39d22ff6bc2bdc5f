"""`sluice dashboard` refuses in one line what it cannot or must not serve."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sluice.cli import run_command


def test_a_taken_port_is_one_line_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run_command(["dashboard", "--port", port]) == 3
    assert capsys.readouterr().err == (
        f"sluice: cannot listen at 127.0.0.1:{port}: address already in use\n"
        "  next: stop what listens there, or choose another: --port N\n"
    )


def test_a_host_that_others_reach_needs_a_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLUICE_DASHBOARD_PASSWORD", raising=False)
    assert run_command(["dashboard", "--host", "0.0.0.0"]) == 2  # noqa: S104
    assert capsys.readouterr().err == (
        "sluice: dashboard.host is 0.0.0.0: others could read the lake without a password\n"
        "  next: set dashboard.password_path or SLUICE_DASHBOARD_PASSWORD, or reach 127.0.0.1 by an SSH tunnel\n"
    )


def test_a_password_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("do not print me")
    secret.chmod(0o644)
    assert run_command(["dashboard", "--set", f"dashboard.password_path={secret}"]) == 2
    said = capsys.readouterr()
    assert f"dashboard.password_path: {secret} can be read by others\n  next: chmod 600 {secret}\n" in said.err
    assert "do not print me" not in said.out + said.err
