"""Where the password comes from, and how guesses at it are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.dashboard.password import Guard, find_password
from sluice.errors import SettingsInvalid

SECRET = "käse & brot"


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_first_line_of_the_file_is_the_password_and_the_environment_wins(tmp_path: Path) -> None:
    file = written(tmp_path / "p", f"{SECRET}\nmore\n".encode())
    assert find_password(None, {}) is None
    assert find_password(file, {}) == SECRET
    assert find_password(file, {"SLUICE_DASHBOARD_PASSWORD": "other"}) == "other"


@pytest.mark.parametrize(
    ("content", "mode", "fact"),
    [
        (b"x", 0o640, "can be read by others"),
        (b"x", 0o604, "can be read by others"),
        (b"", 0o600, "is empty"),
        (b"  \n", 0o600, "is empty"),
        (b"\xff", 0o600, "is no text"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: bytes, mode: int, fact: str) -> None:
    with pytest.raises(SettingsInvalid, match=fact) as refused:
        find_password(written(tmp_path / "p", content, mode), {})
    assert refused.value.exit_code == 2


def test_an_absent_file_and_an_empty_variable_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="No such file"):
        find_password(tmp_path / "p", {})
    with pytest.raises(SettingsInvalid, match="is empty"):
        find_password(None, {"SLUICE_DASHBOARD_PASSWORD": ""})


class Hand:
    """A clock moved by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_after_each_wrong_guess_none_is_looked_at_for_longer() -> None:
    clock = Hand()
    guard = Guard(SECRET, clock)
    waits = []
    for guess in ("", SECRET[:-1], SECRET + " ", "\ud800", "x", "x", "x"):
        assert not guard.accepts(guess)
        waits.append(guard.wait_seconds())
        assert not guard.accepts(SECRET)
        clock.seconds += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_the_right_password_ends_the_waiting() -> None:
    clock = Hand()
    guard = Guard(SECRET, clock)
    assert guard.accepts(SECRET)
    assert not guard.accepts("x")
    clock.seconds = 1.0
    assert guard.accepts(SECRET)
    assert not guard.accepts("x")
    assert guard.wait_seconds() == 1.0
