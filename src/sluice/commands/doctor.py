"""`sluice doctor`: what is wrong with this machine, the settings, the broker and the lake, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from sluice.commands.context import Invocation, console, invocation, print_json
from sluice.errors import EXIT_DONE, EXIT_NOT_ALL_RIGHT, EXIT_USAGE, SluiceError
from sluice.settings import Settings

OK, WARN, WRONG = "ok", "warn", "wrong"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: the check's name.
        status: ok, warn (works, but look at it) or wrong.
        found: one line.
        mend: the command or edit that mends it; empty when there is nothing to mend.
        exit_code: what a wrong finding makes the command exit with.
    """

    check: str
    status: str
    found: str
    mend: str = ""
    exit_code: int = EXIT_DONE


Check = Callable[[], Iterator[Finding]]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")] = False,
) -> None:
    """Check Java, packages, jars, settings, broker and lake; exit 2 for settings, 3 for what is missing or down."""
    findings = list(_examine(invocation(ctx)))
    code = _exit_code(findings)
    if as_json:
        print_json({"exit_code": code, "checks": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    raise typer.Exit(code)


def _examine(options: Invocation) -> Iterator[Finding]:
    from sluice.commands import doctor_checks as checks

    yield from _run("python", checks.check_python)
    yield from _run("java", checks.check_java)
    yield from _run("packages", checks.check_packages)
    settings: list[Settings] = []
    yield from _run("settings", lambda: checks.check_settings(options, settings))
    if not settings:
        yield Finding("the rest", WARN, "jars, rules, broker and lake are not checked: the settings are wrong")
        return
    found = settings[0]
    named: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
        ("jars", checks.check_jars),
        ("contract", checks.check_contract),
        ("devices", checks.check_devices),
        ("expectations", checks.check_expectations),
        ("broker", checks.check_broker),
        ("lake", checks.check_lake),
        ("checkpoints", checks.check_checkpoints),
        ("disk", checks.check_disk),
    )
    for name, check in named:
        yield from _run(name, lambda check=check: check(found))  # type: ignore[misc]


def _run(name: str, check: Check) -> Iterator[Finding]:
    """What the check finds; an error it raises is a finding too, so that no check hides the others."""
    try:
        yield from check()
    except SluiceError as error:
        yield Finding(name, WRONG, error.message, error.hint, error.exit_code)
    except Exception as error:
        yield Finding(name, WRONG, f"{type(error).__name__}: {error}", "", EXIT_NOT_ALL_RIGHT)


def _exit_code(findings: list[Finding]) -> int:
    """Settings first, for until they are right the rest is not known; then what is missing; then the rest."""
    codes = {finding.exit_code for finding in findings if finding.status == WRONG}
    return EXIT_USAGE if EXIT_USAGE in codes else max(codes, default=EXIT_DONE)


def _print(findings: list[Finding]) -> None:
    screen = console()
    for finding in findings:
        screen.print(f"{finding.status:<6} {finding.check:<13} {finding.found}", markup=False)
        if finding.status != OK and finding.mend:
            screen.print(f"{'':<20} next: {finding.mend}", markup=False)
    unwell = sum(finding.status == WRONG for finding in findings)
    screen.print("all right" if not unwell else f"{unwell} wrong")
