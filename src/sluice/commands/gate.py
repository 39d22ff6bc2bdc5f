"""`sluice gate`: what the gates decided, what waits for a person, and the rules in force; these only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import age_text, invocation, print_table, say

if TYPE_CHECKING:
    from sluice.quality.suites import Rule
    from sluice.serving.lake import OpenLake
    from sluice.serving.promotions import Breaker, Explanation, Hold

app = typer.Typer(name="gate", help="Look at the gates and decide about what they hold.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json")]
_HISTORY_COLUMNS = (
    "promotion_id",
    "kind",
    "verdict",
    "rows_in",
    "rows_promoted",
    "rows_quarantined",
    "rows_duplicate",
    "rows_held",
    "score",
    "gate_seconds",
    "decided_at",
)


class Layer(str, Enum):
    """A layer with a gate."""

    silver = "silver"
    gold = "gold"


def register(parent: typer.Typer) -> None:
    """Adds `sluice gate`."""
    parent.add_typer(app)


@app.command("ls")
def list_holds(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show the promotions that wait for a person, and the state of each breaker."""
    from sluice.serving.promotions import GATED_LAYERS, open_holds, read_breaker

    lake = _lake(ctx)
    holds = open_holds(lake)
    breakers = [read_breaker(lake.path, layer) for layer in GATED_LAYERS]
    now = datetime.now(timezone.utc)
    if as_json:
        found = [{**asdict(hold), "age_seconds": _age_seconds(hold, now)} for hold in holds]
        _print_json({"holds": found, "breakers": {each.layer: asdict(each) for each in breakers}})
        return
    _print_holds(holds, now)
    for breaker in breakers:
        say(f"breaker of {breaker.layer}: {_breaker_text(breaker)}")


@app.command("history")
def show_history(
    ctx: typer.Context,
    layer: Annotated[Layer | None, typer.Option(help="One layer's promotions.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most N; 0: all.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show promotions, the newest first."""
    from sluice.serving.promotions import read_history

    rows = read_history(_lake(ctx), layer.value if layer else None, limit)
    if as_json:
        _print_json(rows)
    elif rows:
        print_table(_HISTORY_COLUMNS, ([row[name] for name in _HISTORY_COLUMNS] for row in rows))
    else:
        say("no promotion yet")


@app.command("show")
def show_promotion(
    ctx: typer.Context,
    promotion: Annotated[str | None, typer.Argument(help="Its promotion_id; without it the rules in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show why a promotion was decided so: verdict, broken rules with examples, facts, hashes, Data Docs page."""
    from sluice.serving.promotions import explain_promotion

    if promotion is None:
        _show_rules(ctx, as_json)
        return
    found = explain_promotion(_lake(ctx), promotion)
    if as_json:
        _print_json(asdict(found))
    else:
        _print_explanation(found)


@app.command("rules")
def show_rules(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show the rules of the suites in force, and which judge each row and which the whole batch."""
    _show_rules(ctx, as_json)


def _show_rules(ctx: typer.Context, as_json: bool) -> None:
    from sluice.pipelines.rulebook import load_suites
    from sluice.settings import read_yaml
    from sluice.transforms.contract import parse_contract

    settings = invocation(ctx).settings()
    contract = parse_contract(read_yaml(settings.contract.path), str(settings.contract.path))
    suites = load_suites(settings.expectations.path, contract)
    rules = [{"suite": suite.name, **_shown(rule)} for suite in suites for rule in suite.rules]
    if as_json:
        _print_json(rules)
        return
    columns = ("suite", "rule_id", "scope", "severity", "dimension", "type")
    rows = ([*(rule[name] for name in columns), _arguments(rule["kwargs"])] for rule in rules)
    print_table((*columns, "arguments"), rows)


def _shown(rule: Rule) -> dict[str, Any]:
    names = ("rule_id", "scope", "severity", "dimension", "type", "kwargs", "description")
    return {name: getattr(rule, name) for name in names}


def _lake(ctx: typer.Context) -> OpenLake:
    from sluice.serving.lake import open_lake

    return open_lake(invocation(ctx).settings().lake.path)


def _age_seconds(hold: Hold, now: datetime) -> float | None:
    return round((now - hold.since).total_seconds(), 1) if hold.since else None


def _print_holds(holds: Sequence[Hold], now: datetime) -> None:
    if not holds:
        say("nothing is held")
        return
    columns = ("promotion_id", "layer", "rows", "since", "age", "why")
    rows = (
        [hold.promotion_id, hold.layer, hold.rows, hold.since, age_text(_age_seconds(hold, now)), hold.why]
        for hold in holds
    )
    print_table(columns, rows)
    say("why: sluice gate show PROMOTION_ID")


def _breaker_text(breaker: Breaker) -> str:
    if breaker.state == "closed":
        return "closed" + (f", {breaker.holds_in_row} holds in a row" if breaker.holds_in_row else "")
    since = f" since {breaker.opened_at}" if breaker.opened_at else ""
    return f"{breaker.state}{since}, {breaker.holds_in_row} holds in a row"


def _print_explanation(found: Explanation) -> None:
    from sluice.serving.values import cell

    row = found.promotion
    verdict = row["verdict"] or ("no verdict, no gate decided it" if row["kind"] else "no ledger row yet")
    say(f"{row['promotion_id']}: {verdict}")
    for name in ("layer", "kind", "parent_promotion_id", "decided_at", "decided_by", "why", "score", "gate_seconds"):
        if row[name] is not None:
            say(f"  {name:<20} {cell(row[name])}")
    counts = ("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
    say("  " + ", ".join(f"{name} {row[name]:,}" for name in counts if row[name] is not None))
    if found.open_rows:
        say(f"  {found.open_rows:,} rows are held and wait for a person")
    for rule in found.rules:
        _print_rule(rule)
    if not found.rules:
        say("  no rule failed")
    if not found.has_result:
        say("  no validation result is stored for it: the rules are what the ledger counted")
    for name, value in found.facts.items():
        say(f"  {name:<20} {cell(value)}")
    for kind in ("suite", "contract", "registry"):
        if row[f"{kind}_hash"]:
            say(f"  {kind:<20} {row[f'{kind}_hash']}")
    if found.page:
        say(f"  Data Docs            {found.page}")


def _print_rule(rule: dict[str, Any]) -> None:
    from sluice.serving.values import cell

    share = f", {rule['share_percent']:.3g} %" if isinstance(rule["share_percent"], (int, float)) else ""
    count = f": {rule['count']:,} rows{share}" if isinstance(rule["count"], int) else ""
    say(f"  {rule['severity'] or '-'} {rule['rule_id']}{count}")
    if rule["type"]:
        say(f"      {rule['type']}({_arguments(rule['kwargs'] or {})})")
    if rule["observed"] is not None:
        say(f"      observed {cell(rule['observed'])}")
    if rule["examples"]:
        say(f"      e.g. {', '.join(cell(each) for each in rule['examples'][:5])}")
    if rule["error"]:
        say(f"      could not be judged: {rule['error']}")


def _arguments(kwargs: Any) -> str:
    from sluice.serving.values import cell

    return ", ".join(f"{name}={cell(value)}" for name, value in dict(kwargs).items())


def _print_json(value: Any) -> None:
    from sluice.serving.values import plain, to_json

    typer.echo(to_json(plain(value)))
