"""`sluice alerts ls`, `show` and `ack`: what is firing, all of one alert, and that somebody has taken notice."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.alerts import app
from sluice.commands.context import age_text, invocation, print_table, say
from sluice.errors import UsageError

if TYPE_CHECKING:
    from sluice.alerting.views import AlertView
    from sluice.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")]
AlertId = Annotated[str, typer.Argument(metavar="ALERT_ID", help="Or how it begins.")]
_COLUMNS = ("alert_id", "severity", "status", "rule_id", "subject", "last value", "signals", "age", "text")
_NUMBERS = ("last value", "signals")
_ID_DIGITS = 15


class AlertStatus(str, Enum):
    """The states of an alert, and which of them are meant."""

    firing = "firing"
    acknowledged = "acknowledged"
    resolved = "resolved"
    open = "open"
    all = "all"


@app.command("ls")
def list_alerts(
    ctx: typer.Context,
    status: Annotated[AlertStatus, typer.Option(help="open: firing or acknowledged.")] = AlertStatus.open,
    rule: Annotated[str | None, typer.Option(help="Only of this rule.", metavar="RULE_ID")] = None,
    device: Annotated[str | None, typer.Option(help="Only of this device or subject.", metavar="DEVICE_ID")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most N, the newest; 0: all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show alerts, the newest first; without a broker as gold/alerts has them."""
    from sluice.alerting.views import AlertFilter

    view = _read(invocation(ctx).settings())
    single = status.value if status not in (AlertStatus.open, AlertStatus.all) else None
    wanted = AlertFilter(single, rule, device)
    rows = [row for row in view.rows if wanted.takes(row) and (status is not AlertStatus.open or _is_open(row))]
    shown = rows[: limit or None]
    if as_json:
        _print_json({"status": status.value, "alerts": len(rows), "missing": view.missing or None, "listed": shown})
        return
    now = datetime.now(timezone.utc)
    if shown:
        print_table(_COLUMNS, ([*_cells(row, now)] for row in shown), _NUMBERS)
    say(f"{len(shown):,} of {len(rows):,} alerts; all of one: sluice alerts show ALERT_ID" if rows else "no such alert")
    _say_missing(view)


@app.command("show")
def show_alert(ctx: typer.Context, alert_id: AlertId, as_json: AsJson = False) -> None:
    """Show all that is known of one alert. Exit 1 if there is none."""
    from sluice.alerting.views import find_alert
    from sluice.serving.values import cell

    view = _read(invocation(ctx).settings())
    row = find_alert(view, alert_id)
    if as_json:
        _print_json(row)
        return
    say(f"alert {row['alert_id']}: {row['status']}")
    for name, value in row.items():
        if value is not None and name not in ("alert_id", "status", "alert_date"):
            say(f"  {name:<18} {cell(value)}")
    _say_missing(view)


@app.command("ack")
def acknowledge_alert(
    ctx: typer.Context,
    alert_id: AlertId,
    by: Annotated[str, typer.Option("--by", help="Who has taken notice.")],
    why: Annotated[str, typer.Option("--why", help="What is known or done about it; it stands in gold/alerts.")],
    wait: Annotated[float, typer.Option("--wait-seconds", min=0, help="For the dispatcher's answer.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Say that somebody has taken notice of an alert; the dispatcher tells its channels."""
    from sluice.alerting.acknowledging import acknowledge
    from sluice.pipelines.start import find_broker

    if not by.strip() or not why.strip():
        raise UsageError("--by and --why must say something", "they stand in gold/alerts")
    settings = invocation(ctx).settings()
    answer = acknowledge(settings, lambda: find_broker(settings), alert_id, by.strip(), why.strip(), wait)
    if as_json:
        _print_json({"alert_id": answer.alert_id, "done": answer.done, "message": answer.message})
    else:
        say(answer.message)


def _read(settings: Settings) -> AlertView:
    from sluice.alerting.views import read_alerts
    from sluice.pipelines.start import find_broker

    return read_alerts(settings, lambda: find_broker(settings))


def _is_open(row: dict[str, Any]) -> bool:
    return bool(row["status"] != AlertStatus.resolved.value)


def _cells(row: dict[str, Any], now: datetime) -> list[Any]:
    age = age_text((now - row["opened_at"]).total_seconds())
    known = [row[name] for name in ("severity", "status", "rule_id", "subject", "last_value", "signal_count")]
    return [row["alert_id"][:_ID_DIGITS], *known, age, row["text"]]


def _say_missing(view: AlertView) -> None:
    if view.missing:
        say(view.missing, err=True)


def _print_json(value: Any) -> None:
    from sluice.serving.values import plain, to_json

    typer.echo(to_json(plain(value)))
