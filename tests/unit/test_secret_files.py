"""Files of secrets: whose text is given, and what is refused without a word of what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.errors import SecretMissing
from sluice.secret_files import read_secret_file


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_text_of_a_file_that_its_owner_alone_may_read_comes_without_the_spaces_around_it(
    tmp_path: Path, mode: int
) -> None:
    assert read_secret_file(written(tmp_path / "s", b" a b\n", mode)) == "a b"


@pytest.mark.parametrize(
    ("content", "mode", "fact", "hint"),
    [
        (b"CANARY", 0o640, "{} can be read by others", "chmod 600 {}"),
        (b"CANARY", 0o602, "{} can be read by others", "chmod 600 {}"),
        (b"CANARY\xff", 0o600, "{} is no text", "write it as text in UTF-8"),
        (b" \n", 0o600, "{} is empty", "put the secret there, then start again"),
    ],
)
def test_others_are_refused_by_name(tmp_path: Path, content: bytes, mode: int, fact: str, hint: str) -> None:
    path = written(tmp_path / "s", content, mode)
    with pytest.raises(SecretMissing) as refused:
        read_secret_file(path)
    assert (refused.value.message, refused.value.hint) == (fact.format(path), hint.format(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match=r"cannot read .*/none: No such file"):
        read_secret_file(tmp_path / "none")
