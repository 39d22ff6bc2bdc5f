from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluice import cli
from sluice.cli import hoist_global_options, run_command
from sluice.errors import (
    EXIT_DEPENDENCY,
    EXIT_DONE,
    EXIT_NOT_ALL_RIGHT,
    EXIT_USAGE,
    BrokerDown,
    SettingsInvalid,
    SluiceError,
    StreamFailed,
)

COMMANDS = ("up", "down", "status", "generate", "import", "run", "query", "docs", "demo", "doctor")


def run_sluice(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One call of the console script in a process of its own."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("SLUICE_")}
    return subprocess.run(
        [sys.executable, "-c", "from sluice.cli import main; main()", *arguments],
        cwd=cwd,
        env={**inherited, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "hoisted"),
    [
        ([], []),
        (["status"], ["status"]),
        (["status", "--config", "f"], ["--config", "f", "status"]),
        (["status", "--json", "--set", "a.b=c"], ["--set", "a.b=c", "status", "--json"]),
        (["--set", "a.b=1", "run", "--set=c.d=2", "--once"], ["--set", "a.b=1", "--set=c.d=2", "run", "--once"]),
        (["run", "--config=f", "--layers", "gold"], ["--config=f", "run", "--layers", "gold"]),
        (["query", "--", "--set", "x"], ["query", "--", "--set", "x"]),
        (["query", "--set", "a.b=c", "--", "--config", "f"], ["--set", "a.b=c", "query", "--", "--config", "f"]),
        (["status", "--set"], ["status", "--set"]),
        (["generate", "--settle", "5"], ["generate", "--settle", "5"]),
    ],
)
def test_global_options_may_stand_anywhere_before_two_dashes(arguments: list[str], hoisted: list[str]) -> None:
    given = list(arguments)
    assert hoist_global_options(arguments) == hoisted
    assert arguments == given


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("fly",), "No such command 'fly'"),
        (("status", "--jsn"), "No such option"),
        (("run", "--layers"), "requires an argument"),
        (("status", "--set"), "No such option: --set"),
        ((), "Commands:"),
    ],
)
def test_wrong_usage_exits_2_and_says_so(tmp_path: Path, arguments: tuple[str, ...], fact: str) -> None:
    done = run_sluice(*arguments, cwd=tmp_path)
    assert done.returncode == EXIT_USAGE
    assert fact in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "fact"),
    [
        (("status", "--set", "broker.port=many"), {}, "wrong settings: broker.port: Input should be a valid integer"),
        (("status", "--set", "broker.prt=1"), {}, "the options: unknown key broker.prt"),
        (("status", "--set", "nonsense"), {}, "--set nonsense: not of the form section.key=value"),
        (("--config", "absent.yaml", "status"), {}, "cannot read absent.yaml: No such file or directory"),
        (("status",), {"SLUICE_LAKE__PTH": "x"}, "the environment: unknown key lake.pth"),
        (("run", "--layers", "silver,copper"), {}, "unknown layer copper"),
    ],
)
def test_a_wrong_setting_exits_2_with_one_clear_line_and_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], fact: str
) -> None:
    done = run_sluice(*arguments, cwd=tmp_path, **environment)
    assert done.returncode == EXIT_USAGE
    said, what_next = done.stderr.splitlines()
    assert said.startswith(f"sluice: {fact}")
    assert what_next.startswith("  next: ")
    assert done.stdout == ""


def test_help_names_every_command(tmp_path: Path) -> None:
    done = run_sluice("--help", cwd=tmp_path)
    assert done.returncode == EXIT_DONE
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.strip()}
    assert set(COMMANDS) <= listed


def test_help_does_not_wait_for_spark(tmp_path: Path) -> None:
    code = "import sys\nfrom sluice.cli import app\nslow = {'pyspark', 'kafka', 'duckdb', 'pyarrow', 'pandas'}\n"
    loaded = subprocess.run(
        [sys.executable, "-c", code + "print(sorted(slow & set(sys.modules)))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert loaded.stdout == "[]\n"


class _Failing:
    """A command line whose command ends as it is told."""

    def __init__(self, ends: BaseException | int | None) -> None:
        self.ends = ends

    def __call__(self, *_: object, **__: object) -> int | None:
        if isinstance(self.ends, BaseException):
            raise self.ends
        return self.ends


@pytest.mark.parametrize(
    ("ends", "code", "lines"),
    [
        (None, EXIT_DONE, []),
        (1, EXIT_NOT_ALL_RIGHT, []),
        (StreamFailed("silver stopped", "mend it"), EXIT_NOT_ALL_RIGHT, ["sluice: silver stopped", "  next: mend it"]),
        (SettingsInvalid("wrong", "see conf"), EXIT_USAGE, ["sluice: wrong", "  next: see conf"]),
        (BrokerDown("no broker"), EXIT_DEPENDENCY, ["sluice: no broker"]),
        (KeyboardInterrupt(), EXIT_DONE, ["stopped"]),
    ],
)
def test_a_command_ends_in_the_code_of_its_error_with_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ends: BaseException | int | None,
    code: int,
    lines: list[str],
) -> None:
    monkeypatch.setattr(cli, "app", _Failing(ends))
    assert run_command([]) == code
    printed = capsys.readouterr()
    assert printed.err.splitlines() == lines
    assert printed.out == ""


def test_a_mistake_of_ours_is_not_dressed_up_as_one_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", _Failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run_command([])


def test_every_error_has_one_of_the_four_exit_codes() -> None:
    def below(kind: type[SluiceError]) -> set[type[SluiceError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    codes = {kind.exit_code for kind in below(SluiceError)}
    assert codes == {EXIT_NOT_ALL_RIGHT, EXIT_USAGE, EXIT_DEPENDENCY}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_exit_3_in_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "full", "lake/_locks/silver")

    monkeypatch.setattr(cli, "app", full)
    assert cli.run_command(["status"]) == EXIT_DEPENDENCY
    told = "sluice: lake/_locks/silver: no space left on the disk\n  next: free some space and type the same again"
    assert capsys.readouterr().err.startswith(told)


def test_another_error_of_the_system_is_none_of_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "denied", "lake")

    monkeypatch.setattr(cli, "app", denied)
    with pytest.raises(PermissionError):
        cli.run_command(["status"])
