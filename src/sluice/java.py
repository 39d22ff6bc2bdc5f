"""Finds the Java that Spark and the broker run on. Standard library only: setup runs it before any package is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sluice.errors import JavaMissing

# What Spark 4.1 is built for (https://spark.apache.org/docs/4.1.3/#downloading).
JAVA_VERSIONS = (17, 21)
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
# Homebrew leaves Java off PATH.
_HOMEBREW = ("/opt/homebrew/opt/openjdk@17", "/usr/local/opt/openjdk@17")


def find_java(environment: Mapping[str, str] | None = None) -> Path:
    """The `java` program to start: that of JAVA_HOME, else the first on PATH, that is version 17 or 21.

    Its JAVA_HOME is ``find_java().parent.parent``; symbolic links are resolved.

    Args:
        environment: os.environ unless given.

    Raises:
        JavaMissing: there is none; names what was found instead.
    """
    found = []
    for java in _candidates(os.environ if environment is None else environment):
        version = java_version(java)
        if version in JAVA_VERSIONS:
            return java.resolve()
        if version:
            found.append(f"{java} is version {version}")
    facts = "; ".join(found) or "no java in JAVA_HOME or on PATH"
    raise JavaMissing(f"Java 17 or 21 is needed: {facts}", install_command())


def java_version(path: Path) -> int:
    """The major version of a `java` program, 0 if it does not run or does not say."""
    try:
        answer = subprocess.run([str(path), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = _VERSION.search(answer.stderr + answer.stdout)
    return int(match.group(1)) if match else 0


def install_command() -> str:
    """What installs Java 17 on this system."""
    if sys.platform == "darwin":
        return "brew install openjdk@17"
    return "sudo apt-get install openjdk-17-jre-headless"


def _candidates(environment: Mapping[str, str]) -> list[Path]:
    homes = [environment["JAVA_HOME"]] if environment.get("JAVA_HOME") else []
    on_path = shutil.which("java", path=environment.get("PATH", ""))
    paths = [Path(home, "bin", "java") for home in homes]
    paths += [Path(on_path)] if on_path else []
    if sys.platform == "darwin":
        paths += [Path(home, "bin", "java") for home in _HOMEBREW]
    return [path for path in paths if path.is_file()]
