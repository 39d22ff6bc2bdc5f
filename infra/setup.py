"""Makes .venv/ and .jars/ what the locks say; started by setup.sh, standard library only.

Repeatable: what is there and right is left alone. May be interrupted anywhere and started again. A second
setup in the same checkout waits for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from sluice.embedded.jars import GROUPS, LIST_NAME, jar_faults, read_jar_list, sha256_of  # noqa: E402
from sluice.errors import DependencyError, SluiceError, print_error  # noqa: E402
from sluice.java import find_java  # noqa: E402

VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
JARS = ROOT / ".jars"
LOCK = ROOT / "requirements.lock"
IVY_FILE = ROOT / "infra" / "ivy.xml"
JAR_LIST = ROOT / "infra" / LIST_NAME
# Away while anything is written to .venv/: pip takes a half-written package for an installed one.
SOUND = VENV / ".sound"


class SetupFailed(DependencyError):
    """A step of the setup failed; its own output stands above."""


def main(arguments: list[str]) -> int:
    """Carries out the setup, or with `--lock-jars` remakes the list of jars; 0 done, 3 something is missing."""
    try:
        java = find_java()
        # Held until this process ends.
        fcntl.flock(os.open(ROOT / "infra", os.O_RDONLY), fcntl.LOCK_EX)
        if "--lock-jars" in arguments:
            lock_jars(java)
        else:
            install_packages()
            install_project()
            fetch_jars(java)
    except SluiceError as error:
        print_error(error, "setup")
        return error.exit_code
    return 0


def install_packages() -> None:
    """The locked packages, each checked against its hashes, in .venv/."""
    if is_stamped("packages", LOCK):
        return
    if not SOUND.exists() or not runs(VENV_PYTHON):
        say(f"making {VENV.name}/ with Python {sys.version.split()[0]}")
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], "could not make the virtual environment")
    SOUND.unlink(missing_ok=True)
    say("installing the locked packages (a few minutes the first time)")
    pip("install", "--require-hashes", "--no-deps", "-r", str(LOCK))
    SOUND.touch()
    stamp("packages", LOCK)


def install_project() -> None:
    """Sluice itself, editable, and a check that the locked packages are those setup.cfg asks for."""
    described_by = (ROOT / "setup.cfg", ROOT / "pyproject.toml", LOCK)
    if is_stamped("project", *described_by):
        return
    say("installing sluice from this folder")
    pip("install", "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT))
    try:
        pip("check")
    except SetupFailed:
        raise SetupFailed("requirements.lock does not fit setup.cfg (see above)", "make lock") from None
    stamp("project", *described_by)


def fetch_jars(java: Path) -> None:
    """The JVM jars of infra/jars.sha256 in .jars/; every file is hashed each time.

    Raises:
        SetupFailed: a jar could not be fetched, or what came has another hash.
    """
    expected = read_jar_list(JAR_LIST)
    faults = jar_faults(JARS, expected)
    if not faults:
        return
    say(f"fetching {len(faults)} JVM jars (about a minute the first time)")
    for attempt in ("with", "without"):
        if attempt == "without":
            shutil.rmtree(JARS / ".cache", ignore_errors=True)
        for name in faults:
            (JARS / name).unlink(missing_ok=True)
        retrieve(java, JARS, IVY_FILE)
        faults = jar_faults(JARS, expected)
        if not faults:
            return
    lines = ", ".join(f"{name} is {fault}" for name, fault in sorted(faults.items()))
    raise SetupFailed(
        f"the fetched jars are not those of infra/{LIST_NAME}: {lines}",
        "run `make setup` again; if infra/ivy.xml was changed on purpose, `make lock`",
    )


def lock_jars(java: Path) -> None:
    """Resolves infra/ivy.xml afresh, and writes the list of what came."""
    for group in GROUPS:
        shutil.rmtree(JARS / group, ignore_errors=True)
    retrieve(java, JARS, IVY_FILE)
    paths = sorted(path for group in GROUPS for path in (JARS / group).glob("*.jar"))
    JAR_LIST.write_text("".join(f"{sha256_of(path)}  {path.parent.name}/{path.name}\n" for path in paths), "utf-8")
    say(f"wrote infra/{LIST_NAME}: {len(paths)} jars")


def retrieve(java: Path, jars: Path, ivy_file: Path) -> None:
    """Has Ivy, which pyspark ships, put the jars of every configuration under `jars`."""
    ivy = next(VENV.glob("lib/python3*/site-packages/pyspark/jars/ivy-*.jar"), None)
    if ivy is None:
        raise SetupFailed("pyspark is not in .venv/", "remove .venv/ and run `make setup`")
    jars.mkdir(exist_ok=True)
    log = jars / "ivy.log"
    # `bundle`: without it, jars packed as OSGi bundles (scala-logging, jackson-jdk8) are left out.
    pattern = str(jars / "[conf]" / "[artifact]-[revision].[ext]")
    command = [str(java), "-jar", str(ivy), "-ivy", str(ivy_file), "-cache", str(jars / ".cache")]
    with log.open("w") as output:
        command += ["-retrieve", pattern, "-types", "jar", "bundle"]
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SetupFailed(f"Ivy could not fetch the JVM jars; it says: {last_fault(log)}", f"details are in {log}")


def last_fault(log: Path) -> str:
    """The last telling line of Ivy's log."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if "exception" in line.lower() or "not found" in line or "FAILED" in line]
    return (telling or lines or ["nothing"])[-1]


def pip(*arguments: str) -> None:
    """Runs .venv/'s pip quietly.

    Raises:
        SetupFailed: it failed; pip has said why.
    """
    command = [str(VENV_PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    run(command, f"pip {arguments[0]} failed (see above)")


def run(command: list[str], failure: str) -> None:
    """Runs a command with this process's output.

    Raises:
        SetupFailed: it did not exit 0.
    """
    if subprocess.run(command, check=False).returncode:
        raise SetupFailed(failure, "mend what it says, and run `make setup` again")


def runs(python: Path) -> bool:
    """Whether .venv/'s Python starts; when a PYTHON is asked for, also whether it is of that version."""
    wanted = sys.version_info[:2] if os.environ.get("PYTHON") else ()
    test = f"import sys; sys.exit(sys.version_info[:{len(wanted)}] != {wanted!r})"
    try:
        return subprocess.run([str(python), "-c", test], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def is_stamped(name: str, *files: Path) -> bool:
    """Whether the step was finished with these files as they are now, by the Python that is there now."""
    path = VENV / f".{name}.stamp"
    return path.is_file() and path.read_text() == digest_of(files) and runs(VENV_PYTHON)


def stamp(name: str, *files: Path) -> None:
    """Notes that the step is finished."""
    (VENV / f".{name}.stamp").write_text(digest_of(files))


def digest_of(files: tuple[Path, ...]) -> str:
    """One hash over the files' contents."""
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def say(line: str) -> None:
    """One line of progress, with the time."""
    sys.stdout.write(f"setup {time.strftime('%H:%M:%S')}: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
