"""`make setup`: what it says on a machine that lacks something, and what it repairs. Downloads nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("setup", "demo", "test", "test-soak", "lint", "format", "lock", "bench", "clean", "help")
# All that setup.sh and make use beside Python and Java.
TOOLS = ("sh", "dirname", "uname", "make", "awk")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder for PATH with the tools of any Unix, but neither Python nor Java."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What setup reads, in a folder of its own."""
    folder = tmp_path / "checkout"
    (folder / "src" / "sluice").mkdir(parents=True)
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "src" / "sluice" / "embedded", folder / "src" / "sluice" / "embedded")
    for name in (
        "Makefile",
        "requirements.lock",
        "setup.cfg",
        "pyproject.toml",
        "src/sluice/errors.py",
        "src/sluice/java.py",
    ):
        shutil.copy(ROOT / name, folder / name)
    (folder / "src" / "sluice" / "__init__.py").touch()
    return folder


def install(machine: Path, name: str, script: str) -> None:
    (machine / name).write_text(f"#!/bin/sh\n{script}\n")
    (machine / name).chmod(0o755)


def install_python(machine: Path, name: str = "python3") -> None:
    install(machine, name, f'exec {os.path.realpath(sys.executable)} "$@"')


def run(machine: Path, checkout: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine), "HOME": str(machine), **variables}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)


def test_without_python_it_names_the_command_that_installs_it(machine: Path, checkout: Path) -> None:
    done = run(machine, checkout, "infra/setup.sh")
    assert done.returncode == 3
    assert done.stderr.splitlines()[0].startswith("setup: Python 3.10 or later, with venv, is needed")
    assert re.search(r"next: (sudo apt-get|brew) install python", done.stderr)


def test_a_python_that_is_too_old_is_no_python(machine: Path, checkout: Path) -> None:
    install(machine, "python3", 'case "$2" in *version_info*) exit 1 ;; esac; echo started')
    done = run(machine, checkout, "infra/setup.sh")
    assert (done.returncode, done.stdout) == (3, "")


def test_the_python_that_is_asked_for_is_the_only_one_tried(machine: Path, checkout: Path) -> None:
    install_python(machine)
    done = run(machine, checkout, "infra/setup.sh", PYTHON="python3.99")
    assert done.returncode == 3
    assert "python3.99" in done.stderr


def test_without_java_it_names_the_command_and_makes_nothing(machine: Path, checkout: Path) -> None:
    install_python(machine)
    done = run(machine, checkout, "infra/setup.sh")
    assert done.returncode == 3
    assert done.stdout == ""
    facts, hint = done.stderr.splitlines()
    assert facts == "setup: Java 17 or 21 is needed: no java in JAVA_HOME or on PATH"
    assert re.search(r"next: (sudo apt-get|brew) install openjdk", hint)
    assert not (checkout / ".venv").exists()


def test_java_of_another_version_is_named(machine: Path, checkout: Path) -> None:
    install_python(machine)
    install(machine, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    done = run(machine, checkout, "infra/setup.sh")
    assert done.returncode == 3
    assert f"{machine / 'java'} is version 11" in done.stderr


def test_make_setup_prints_the_same_and_the_scripts_exit_code(machine: Path, checkout: Path) -> None:
    install_python(machine)
    done = run(machine, checkout, "make", "setup")
    assert done.returncode == 2, "make's own code for any failed recipe"
    assert "Java 17 or 21 is needed" in done.stderr
    assert "Error 3" in done.stderr


def test_make_alone_lists_every_target(machine: Path, checkout: Path) -> None:
    done = run(machine, checkout, "make")
    assert done.returncode == 0
    listed = re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)
    assert set(TARGETS) <= set(listed)


def test_the_lock_has_a_hash_for_each_package_and_names_no_host_and_no_folder() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^(?![#\s])(\S+==\S+)(.*(?:\n {4}--hash=sha256:[0-9a-f]{64}.*)+)", lock, re.MULTILINE)
    packages = re.findall(r"^[^#\s].*$", lock, re.MULTILINE)
    assert len(entries) == len(packages) > 100
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|file:|^-", lock, re.MULTILINE)


def test_the_list_of_jars_holds_what_ivy_is_asked_for() -> None:
    asked = re.findall(r'<dependency org="[^"]+" name="([^"]+)" rev="([^"]+)" conf="(\w+)-', ivy_file())
    overridden = re.findall(r'<override org="[^"]+" module="([^"]+)" rev="([^"]+)"', ivy_file())
    listed = {line.split()[1] for line in (ROOT / "infra" / "jars.sha256").read_text().splitlines()}
    assert len(asked) == 4
    assert {f"{conf}/{name}-{version}.jar" for name, version, conf in asked} <= listed
    assert {f"spark/{name}-{version}.jar" for name, version in overridden} <= listed


def ivy_file() -> str:
    return (ROOT / "infra" / "ivy.xml").read_text()


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """infra/setup.py, working on folders of its own."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "infra" / "setup.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    venv = tmp_path / "venv"
    paths = {"VENV": venv, "VENV_PYTHON": venv / "bin" / "python", "SOUND": venv / ".sound"}
    paths |= {"JARS": tmp_path / "jars", "JAR_LIST": tmp_path / "jars.sha256", "LOCK": tmp_path / "requirements.lock"}
    for name, path in paths.items():
        monkeypatch.setattr(module, name, path)
    return module


@pytest.fixture
def ivy(setup: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Makes a `java` that brings files as Ivy would, and counts how often it was asked to."""
    shipped = setup.VENV / "lib" / "python3.11" / "site-packages" / "pyspark" / "jars"
    shipped.mkdir(parents=True)
    (shipped / "ivy-1.jar").touch()
    names = ("spark/a-1.jar", "broker/b-1.jar")
    digest = hashlib.sha256(b"right").hexdigest()
    setup.JAR_LIST.write_text("".join(f"{digest}  {name}\n" for name in names))

    def java(content: str = "right", script: str = "") -> Path:
        install(
            tmp_path,
            "java",
            f"echo asked >> {tmp_path}/asked; {script}\n"
            + "".join(
                f"mkdir -p {(setup.JARS / name).parent}; [ -f {setup.JARS / name} ] "
                f"|| printf %s {content} > {setup.JARS / name}\n"
                for name in names
            ),
        )
        return tmp_path / "java"

    return java


def times_asked(tmp_path: Path) -> int:
    asked = tmp_path / "asked"
    return len(asked.read_text().splitlines()) if asked.exists() else 0


def test_jars_are_fetched_once(setup: ModuleType, ivy: Callable[..., Path], tmp_path: Path) -> None:
    setup.fetch_jars(ivy())
    setup.fetch_jars(ivy())
    assert times_asked(tmp_path) == 1
    assert (setup.JARS / "spark" / "a-1.jar").read_text() == "right"


@pytest.mark.parametrize("fault", ["missing", "changed", "not in the list"])
def test_a_jar_that_is_not_as_listed_is_noticed_and_mended(
    setup: ModuleType, ivy: Callable[..., Path], tmp_path: Path, fault: str
) -> None:
    setup.fetch_jars(ivy())
    jar = setup.JARS / "spark" / "a-1.jar"
    {
        "missing": jar.unlink,
        "changed": lambda: jar.write_text("wrong"),
        "not in the list": lambda: (setup.JARS / "spark" / "a-0.jar").write_text("right"),
    }[fault]()
    setup.fetch_jars(ivy())
    assert times_asked(tmp_path) == 2
    assert {str(path.relative_to(setup.JARS)): path.read_text() for path in setup.JARS.glob("*/*.jar")} == {
        "spark/a-1.jar": "right",
        "broker/b-1.jar": "right",
    }


def test_fetched_jars_of_another_content_are_refused_by_name(
    setup: ModuleType, ivy: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(setup.SetupFailed, match=r"broker/b-1\.jar is changed, spark/a-1\.jar is changed"):
        setup.fetch_jars(ivy("wrong"))
    assert times_asked(tmp_path) == 2, "the second time without Ivy's cache"


def test_a_failed_download_says_what_ivy_says(setup: ModuleType, ivy: Callable[..., Path]) -> None:
    java = ivy(script="echo ':: resolving'; echo 'java.net.UnknownHostException: host'; echo ':: end'; exit 1")
    with pytest.raises(setup.SetupFailed, match=r"it says: java\.net\.UnknownHostException: host"):
        setup.fetch_jars(java)


def test_an_interrupted_installation_starts_from_an_empty_environment(setup: ModuleType) -> None:
    setup.LOCK.write_text("# nothing\n")
    setup.install_packages()
    half_written = setup.VENV / "half-written"
    half_written.touch()
    (setup.VENV / ".packages.stamp").unlink()
    setup.install_packages()
    assert half_written.exists(), "a changed lock alone keeps the environment"

    (setup.VENV / ".packages.stamp").unlink()
    setup.SOUND.unlink()
    setup.install_packages()
    assert not half_written.exists()
    assert setup.SOUND.exists()
    assert setup.runs(setup.VENV_PYTHON)


def test_what_is_installed_is_not_installed_again(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = []

    def run(command: list[str], failure: str) -> None:
        modules.append(command[2])
        setup.VENV_PYTHON.parent.mkdir(parents=True, exist_ok=True)
        if not setup.VENV_PYTHON.exists():
            setup.VENV_PYTHON.symlink_to(sys.executable)

    setup.LOCK.write_text("# nothing\n")
    monkeypatch.setattr(setup, "run", run)
    setup.install_packages()
    assert modules == ["venv", "pip"]
    setup.install_packages()
    assert modules == ["venv", "pip"]
