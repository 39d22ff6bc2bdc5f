"""Secrets: from the environment or from a file that only its owner reads, and never told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sluice.alerting.secret_sources import SecretSource
from sluice.errors import SecretMissing


def test_a_file_of_mode_600_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first\n")
    path.chmod(0o600)
    source = SecretSource(file=path)
    assert source.read() == "first"
    path.write_text("second")
    assert source.read() == "second"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text("CANARY")
    path.chmod(mode)
    with pytest.raises(SecretMissing, match="can be read by others") as raised:
        SecretSource(file=path).read()
    assert raised.value.hint == f"chmod 600 {path}"


def test_what_is_missing_or_empty_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with pytest.raises(SecretMissing, match="the environment has no HOOK_SECRET"):
        SecretSource(env="HOOK_SECRET").read()
    with pytest.raises(SecretMissing, match=r"cannot read .*: No such file"):
        SecretSource(file=tmp_path / "absent").read()
    empty = tmp_path / "empty"
    empty.touch(0o600)
    with pytest.raises(SecretMissing, match="is empty"):
        SecretSource(file=empty).read()


@pytest.mark.parametrize("content", [{}, {"env": "A", "file": "b"}, {"env": "a b"}, {"value": "CANARY"}])
def test_a_source_is_one_place(content: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SecretSource.model_validate(content)
