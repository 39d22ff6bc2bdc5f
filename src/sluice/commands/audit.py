"""`sluice audit`: whether the books balance."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, progress_console, say
from sluice.errors import UsageError

if TYPE_CHECKING:
    from sluice.serving.audit.findings import Audit, Check, Finding

_WIDEST_RESULT = len("unreadable")


def register(app: typer.Typer) -> None:
    """Adds `sluice audit`."""
    app.command("audit")(audit)


def audit(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only records that bronze ingested from then on; with an offset.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Prove from the tables that the books balance, beside running jobs too; changes nothing.

    Exit 0: they balance. 1: they do not; the first coordinates are named and all are counted. 2: could not be checked.
    """
    from sluice.pipelines.audit import audit_lake
    from sluice.serving.values import plain, to_json

    moment = _moment(since)
    settings = invocation(ctx).settings()
    with progress_console().status("audit") as status:
        found = audit_lake(settings, moment, lambda step: status.update(f"audit: {step}"))
    if as_json:
        typer.echo(to_json(plain(found.as_json())))
    else:
        _print(found)
    raise typer.Exit(found.exit_code)


def _moment(text: str | None) -> datetime | None:
    from sluice.serving.target import parse_moment

    moment = parse_moment(text) if text is not None else None
    if text is not None and moment is None:
        raise UsageError(f"--since {text}: not a time with an offset", "e.g. --since 2026-03-01T00:00:00Z")
    return moment


def _print(found: Audit) -> None:
    for check in found.checks:
        say(_line(check))
    for check in found.checks:
        for finding in check.outcome.problems:
            _print_finding(f"{check.name}: {finding.count:,} {finding.what}", finding)
        for finding in check.outcome.notes:
            _print_finding(f"note: {check.name}: {finding.count:,} {finding.what}", finding)
    say(_conclusion(found))


def _line(check: Check) -> str:
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in check.outcome.counts.items() if count)
    told = "; ".join(part for part in (check.reason, counts) if part)
    return f"{check.result:<{_WIDEST_RESULT}}  {check.name:<13}  {check.proves} ({told or 'nothing there'})"


def _print_finding(title: str, finding: Finding) -> None:
    say(title)
    for named in finding.first:
        say(f"  {named.at}" + (f"  {named.detail}" if named.detail else ""))
    if finding.count > len(finding.first) > 0:
        say("  …")


def _conclusion(found: Audit) -> str:
    if found.balances is None:
        return "the books could not be checked"
    if not found.balances:
        failed = [check.name for check in found.checks if check.outcome.problems]
        return f"the books do not balance: {', '.join(failed)}"
    pending = f", {found.pending:,} pending" if found.pending else ""
    since = f" since {found.since.isoformat().replace('+00:00', 'Z')}" if found.since else ""
    return f"the books balance: {found.records or 0:,} records{since}{pending}"
