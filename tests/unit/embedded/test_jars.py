from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sluice.embedded.jars import class_path, jar_faults, read_jar_list
from sluice.errors import JarsMissing


def put(jars: Path, name: str, content: bytes = b"jar") -> None:
    (jars / name).parent.mkdir(parents=True, exist_ok=True)
    (jars / name).write_bytes(content)


SHA256 = hashlib.sha256(b"jar").hexdigest()


def test_jars_as_listed_have_no_faults(tmp_path: Path) -> None:
    put(tmp_path, "spark/a-1.jar")
    assert jar_faults(tmp_path, {"spark/a-1.jar": SHA256}) == {}


def test_missing_changed_and_unlisted_jars_are_faults(tmp_path: Path) -> None:
    put(tmp_path, "spark/a-1.jar")
    put(tmp_path, "broker/b-1.jar", b"jaR")
    put(tmp_path, "broker/b-0.jar")
    expected = dict.fromkeys(("spark/a-1.jar", "broker/b-1.jar", "broker/c-1.jar"), SHA256)
    assert jar_faults(tmp_path, expected) == {
        "broker/b-1.jar": "changed",
        "broker/b-0.jar": "not in the list",
        "broker/c-1.jar": "missing",
    }


def test_a_list_is_read_in_the_form_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"# made by hand\n{SHA256}  spark/a-1.jar\n{SHA256} *broker/b-1.jar\n\n")
    assert read_jar_list(tmp_path / "list") == {"spark/a-1.jar": SHA256, "broker/b-1.jar": SHA256}


def test_a_list_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JarsMissing, match="cannot read"):
        read_jar_list(tmp_path / "list")


def test_a_class_path_without_jars_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "spark/a-1.jar")
    assert class_path(tmp_path, "spark") == f"{tmp_path}/spark/*"
    with pytest.raises(JarsMissing) as raised:
        class_path(tmp_path, "broker")
    assert "make setup" in raised.value.hint
