"""A disk that is full stops the layers with a clear error; once there is space they go on to books that balance.

The disk is a small tmpfs, which only root, or who may make a user namespace, can mount.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.errors import DiskFull
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.crash.books import outcome
from tests.streaming.crash.kill import Command, Victim

DISK_BYTES = 24 * 1024 * 1024
FIRST = [reading(20.0), reading(20.0), reading(500.0, event_id="hot"), b"{"]
# Unreadable, so that it stands in bronze and in quarantine.
SECOND = [reading(21.0, event_id="e2"), reading(20.0), b"\xff" + os.urandom(300_000), reading(22.0, event_id="e3")]
FOLDERS = {"lake": "", "checkpoints": "_checkpoints", "logs of the tables of silver": "silver/readings/_delta_log"}


class Disk:
    """A file system of its own in a folder.

    Args:
        path: of the folder; what is in it is on the disk afterwards.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def mount(self) -> bool:
        """Whether it could be mounted."""
        aside = self.path.with_name(f"{self.path.name}.aside")
        self.path.rename(aside)
        self.path.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(self.path)]
        if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
            return False
        subprocess.run(["cp", "-a", f"{aside}/.", str(self.path)], check=True)
        return True

    def fill(self, left_bytes: int) -> None:
        """Leaves only so much space."""
        status = os.statvfs(self.path)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - left_bytes)

    def free(self) -> None:
        self._ballast.unlink()

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture(scope="module")
def begun(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A lake with one batch in all layers, and a second one in the topic."""
    workshop = open_workshop(spark, broker, tmp_path_factory.mktemp("begun") / "lake")
    workshop.send(FIRST)
    workshop.drain()
    workshop.send(SECOND)
    return workshop


@pytest.fixture(scope="module")
def expected(begun: Workshop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The outcome of a run that had space."""
    calm = copied(begun, tmp_path_factory.mktemp("calm"))
    calm.drain()
    return outcome(calm.lake.path)


def copied(workshop: Workshop, folder: Path) -> Workshop:
    subprocess.run(["cp", "-a", str(workshop.lake.path), str(folder / "lake")], check=True)
    return workshop.with_settings(lake__path=str(folder / "lake"))


@pytest.fixture
def disk(request: pytest.FixtureRequest, begun: Workshop, tmp_path: Path) -> Iterator[tuple[Workshop, Disk]]:
    own = copied(begun, tmp_path)
    disk = Disk(own.lake.path / FOLDERS[request.param])
    if not disk.mount():
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield own, disk
    finally:
        disk.unmount()


def stops(workshop: Workshop) -> bool:
    """Whether a run ends for want of space; any other end but a good one is an error."""
    try:
        workshop.drain()
    except DiskFull:
        return True
    except OSError as error:
        if DiskFull.of(error):
            return True
        raise
    return False


def where(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("disk", [folder], indirect=True, ids=[folder])


@pytest.mark.parametrize(
    ("disk", "left_bytes"),
    [
        pytest.param("lake", 0, marks=pytest.mark.soak),
        *(
            pytest.param(*case, marks=pytest.mark.soak)
            for case in (
                *(("lake", kibibytes * 1024) for kibibytes in (4, 16, 64, 256, 330, 360, 400, 450, 500, 600)),
                *(("checkpoints", kibibytes * 1024) for kibibytes in (0, 4, 8, 16, 24, 32)),
                *(("logs of the tables of silver", kibibytes * 1024) for kibibytes in (0, 4)),
            )
        ),
    ],
    indirect=["disk"],
)
def test_after_a_full_disk_the_same_run_goes_on(
    disk: tuple[Workshop, Disk], left_bytes: int, expected: dict[str, list[str]]
) -> None:
    workshop, device = disk
    device.fill(left_bytes)
    assert stops(workshop) or left_bytes, "there was space enough"
    # Nothing that was begun can be seen.
    assert workshop.audit() == {}
    device.free()
    workshop.drain()
    assert outcome(workshop.lake.path) == expected
    assert workshop.audit() == {}


@pytest.mark.soak
@where("lake")
def test_the_command_says_so_in_one_line_and_goes_on_when_there_is_space(
    disk: tuple[Workshop, Disk], expected: dict[str, list[str]], tmp_path: Path
) -> None:
    workshop, device = disk
    command = Command(("run", "--once"), workshop, tmp_path)
    device.fill(64 * 1024)
    with Victim(command) as victim:
        assert victim.process.wait(120) == 3
    assert "no space left on the disk\n  next: free some space and type the same again" in victim.told
    assert "Traceback" not in victim.told
    assert "Exception" not in victim.told
    device.free()
    command.run()
    assert outcome(workshop.lake.path) == expected
    assert workshop.audit() == {}
