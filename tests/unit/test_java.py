from __future__ import annotations

from pathlib import Path

import pytest

from sluice.errors import JavaMissing
from sluice.java import find_java, java_version


def fake_java(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(
    ("version", "major"), [("17.0.15", 17), ("21", 21), ("1.8.0_412", 8), ("25-ea", 25), ("nonsense", 0)]
)
def test_the_major_version_is_read_from_what_java_says(tmp_path: Path, version: str, major: int) -> None:
    assert java_version(fake_java(tmp_path, version)) == major


def test_a_program_that_does_not_run_has_version_0(tmp_path: Path) -> None:
    assert java_version(tmp_path / "none") == 0


def test_java_home_goes_before_path(tmp_path: Path) -> None:
    at_home = fake_java(tmp_path / "home" / "bin", "17.0.1")
    fake_java(tmp_path / "path", "21.0.1")
    environment = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}
    assert find_java(environment) == at_home


def test_a_java_home_of_the_wrong_version_gives_way_to_path(tmp_path: Path) -> None:
    fake_java(tmp_path / "home" / "bin", "11.0.2")
    on_path = fake_java(tmp_path / "path", "21.0.1")
    environment = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}
    assert find_java(environment) == on_path


def test_links_are_followed_so_that_java_home_can_be_told(tmp_path: Path) -> None:
    java = fake_java(tmp_path / "jdk-17" / "bin", "17.0.1")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "java").symlink_to(java)
    assert find_java({"PATH": str(tmp_path / "path")}).parent.parent == tmp_path / "jdk-17"


def test_a_wrong_version_is_named_with_the_command_that_installs_the_right_one(tmp_path: Path) -> None:
    java = fake_java(tmp_path, "11.0.2")
    with pytest.raises(JavaMissing) as raised:
        find_java({"PATH": str(tmp_path)})
    assert raised.value.message == f"Java 17 or 21 is needed: {java} is version 11"
    assert "install" in raised.value.hint
    assert "17" in raised.value.hint


def test_no_java_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(JavaMissing, match="no java in JAVA_HOME or on PATH"):
        find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})
