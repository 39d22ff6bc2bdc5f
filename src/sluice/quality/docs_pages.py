"""The three kinds of pages: the index, a promotion, a suite. Values in, HTML out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sluice.quality.docs_blocks import text
from sluice.quality.docs_html import (
    VERDICT_TEXTS,
    address,
    identifier,
    link,
    number,
    page,
    severity_badge,
    table,
    time,
    verdict_badge,
)
from sluice.quality.docs_render import MET, NOT_JUDGED, NOT_MET, RenderedRule
from sluice.quality.docs_results import StoredResult, StoredSuite
from sluice.schemas import ERROR, HOLD, VERDICTS

INDEX = "index.html"
_TITLE = "Data Docs"
_RULES_IN_A_CELL = 4
_PARTS = (
    ("promoted", "rows_promoted"),
    ("quarantined", "rows_quarantined"),
    ("duplicate", "rows_duplicate"),
    ("held", "rows_held"),
)
_GROUPS = ((NOT_JUDGED, "Could not be judged"), (NOT_MET, "Broken rules"), (MET, "Rules that were met"))
_BAR_WIDTH = 1000


def index_page(results: Sequence[StoredResult], total: int, suites: Sequence[StoredSuite], source: str) -> str:
    """The newest promotions and all suites.

    Args:
        total: how many results are stored; says what is left out.
    """
    shown = f"the newest {len(results):,} of {total:,}" if total > len(results) else f"{len(results):,}"
    counts = Counter(result.verdict for result in results)
    tiles = "".join(
        f'<div class="tile v-{verdict}"><b>{counts[verdict]:,}</b><span>{text(verdict.replace("_", " "))}</span></div>'
        for verdict in VERDICTS
    )
    names = (
        "Decided at",
        "Layer",
        "Verdict",
        "#In",
        "#Promoted",
        "#Quarantined",
        "#Duplicate",
        "#Held",
        "Broken rules",
    )
    listed = table(names, (_index_row(result) for result in results), "cards promotions")
    body = (
        f'<h1>{_TITLE}</h1>\n<p class="lead">What the gates decided, and why. '
        f'<a href="#suites">{_plural(len(suites), "suite")}</a> of rules · {shown} promotions</p>\n'
        f'<div class="tiles">{tiles}</div>\n'
    )
    body += _FILTERS + listed if results else '<p class="alert">No promotion has a stored result yet.</p>'
    body += '\n<h2 id="suites">Suites</h2>\n' + _suites_table(suites, results)
    return page(_TITLE, body, source=source)


_FILTERS = (
    '<fieldset class="filters"><legend>Show</legend>'
    '<label><input type="radio" name="shown" id="show-all" checked> all</label>'
    '<label><input type="radio" name="shown" id="show-broken"> with broken rules</label>'
    '<label><input type="radio" name="shown" id="show-refused"> held or in error</label></fieldset>\n'
)


def _index_row(result: StoredResult) -> tuple[str, list[str]]:
    failed = result.failed_rules
    shown = "".join(
        f'<span class="rule r-{text(severity)}">{identifier(rule, 60)}</span> '
        for rule, severity in failed[:_RULES_IN_A_CELL]
    )
    if len(failed) > _RULES_IN_A_CELL:
        shown += f'<span class="more">+{len(failed) - _RULES_IN_A_CELL} more</span>'
    kind = " ".join(
        name for name, holds in (("broken", bool(failed)), ("refused", result.verdict in {HOLD, ERROR})) if holds
    )
    counts = [_count(result, name) for name in ("rows_in", *(each for _, each in _PARTS))]
    opened = f'<a href="{address(result.page)}">{time(result.decided_at)}</a>'
    layer = f"{text(result.layer)}{_kind_of(result)}"
    return kind, [opened, layer, verdict_badge(result.verdict), *counts, shown or '<span class="none">none</span>']


def _count(result: StoredResult, name: str) -> str:
    # On a narrow screen nothing is said of what is nothing.
    count = result.count(name)
    return number(count) if count else f'<span class="zero">{number(count)}</span>'


def _kind_of(result: StoredResult) -> str:
    kind = result.meta.get("kind", "batch")
    return "" if kind == "batch" else f' <span class="badge">{text(kind, 20)}</span>'


def _suites_table(suites: Sequence[StoredSuite], results: Sequence[StoredResult]) -> str:
    if not suites:
        return '<p class="alert">No suite was found.</p>'
    decided = Counter(result.suite_hash for result in results)
    rows = (
        (
            "",
            [
                link(suite.name, suite.page),
                '<span class="badge badge-primary">in force</span>' if suite.is_current else "earlier",
                number(len(suite.content["expectations"])),
                number(decided[suite.hash]),
                f"<code>{text(suite.hash[:12])}</code>",
            ],
        )
        for suite in suites
    )
    return table(("Suite", "State", "#Rules", "#Promotions listed", "SHA-256"), rows, "cards suites")


def promotion_html(result: StoredResult, rules: Sequence[RenderedRule], suite: StoredSuite | None, source: str) -> str:
    """The page of one promotion: verdict, books, facts, and what each rule found."""
    verdict = result.verdict
    why = str(result.meta.get("why") or VERDICT_TEXTS[verdict])
    body = (
        f"<h1>{text(result.layer)} · {time(result.decided_at)} {verdict_badge(verdict)}</h1>\n"
        f'<p class="alert a-{verdict}">{text(why, 2000)}</p>\n'
        f"{_books(result)}\n{_details(result, suite)}\n"
    )
    met = sum(rule.outcome == MET for rule in rules)
    if not rules:
        body += '<p class="alert">No rule was judged.</p>'
    else:
        body += f'<p class="lead">{met:,} of {_plural(len(rules), "rule")} met.</p>\n'
    for outcome, heading in _GROUPS:
        group = sorted(
            (rule for rule in rules if rule.outcome == outcome), key=lambda rule: rule.severity != "critical"
        )
        if group:
            body += f"<h2>{heading} <small>{len(group)}</small></h2>\n{_rules_table(group, is_suite=False)}\n"
    return page(result.promotion_id, body, source=source, depth=2, trail=((_TITLE, INDEX),))


def _books(result: StoredResult) -> str:
    rows_in = result.count("rows_in")
    tiles = f'<div class="tile"><b>{number(rows_in)}</b><span>rows in</span></div><i class="sign">=</i>'
    tiles += '<i class="sign">+</i>'.join(
        f'<div class="tile p-{name}"><b>{number(result.count(key))}</b><span>{name}</span></div>'
        for name, key in _PARTS
    )
    return f'<div class="tiles books">{tiles}</div>{_bar(result, rows_in)}'


def _bar(result: StoredResult, rows_in: int | None) -> str:
    if not rows_in or rows_in < 0:
        return ""
    pieces = []
    left = 0.0
    for name, key in _PARTS:
        width = _BAR_WIDTH * max(result.count(key) or 0, 0) / rows_in
        if width:
            pieces.append(f'<rect class="p-{name}" x="{left:.2f}" y="0" width="{width:.2f}" height="10"/>')
        left += width
    return (
        f'<svg class="bar" viewBox="0 0 {_BAR_WIDTH} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="where the rows went">{"".join(pieces)}</svg>'
    )


def _details(result: StoredResult, suite: StoredSuite | None) -> str:
    meta = result.meta
    named = str(meta.get("suite") or result.content.get("suite_name") or "")
    digest = result.suite_hash[:12]
    shown = link(named, suite.page, "../../") if suite else text(named)
    entries = [
        ("Promotion", f"<code>{text(result.promotion_id)}</code>"),
        ("Kind", text(meta.get("kind", "batch"))),
        ("Suite", f"{shown} <code>{text(digest)}</code>"),
    ]
    facts = meta.get("facts")
    found = [(text(name), number(value)) for name, value in facts.items()] if isinstance(facts, dict) else []
    return f'<div class="columns">{_list("This decision", entries)}{_list("What the batch rules saw", found)}</div>'


def _list(heading: str, entries: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in entries)
    return f'<section class="card"><h2>{heading}</h2><dl>{items}</dl></section>' if items else ""


def suite_html(suite: StoredSuite, rules: Sequence[RenderedRule], decided: Sequence[StoredResult], source: str) -> str:
    """The page of one text of a suite: its rules with their descriptions, and what it decided."""
    state = "in force" if suite.is_current else "an earlier text"
    body = (
        f"<h1>{text(suite.name)}</h1>\n"
        f'<p class="lead">{_plural(len(rules), "rule")} · {state} · SHA-256 <code>{text(suite.hash[:12])}</code></p>\n'
        f"{_rules_table(rules, is_suite=True)}\n<h2>Promotions it decided</h2>\n"
    )
    names = ("Decided at", "Layer", "Verdict")
    rows = (
        (
            "",
            [
                f'<a href="../{address(each.page)}">{time(each.decided_at)}</a>',
                text(each.layer),
                verdict_badge(each.verdict),
            ],
        )
        for each in decided
    )
    body += table(names, rows, "cards") if decided else '<p class="none">None of those the index lists.</p>'
    return page(suite.name, body, source=source, depth=1, trail=((_TITLE, INDEX),))


def _rules_table(rules: Iterable[RenderedRule], *, is_suite: bool) -> str:
    described = ("Rule", "Expectation", "Severity", "Dimension")
    names = described if is_suite else ("", *described, "Observed")
    rows = ((_outcome_class(rule), _rule_cells(rule, is_suite)) for rule in rules)
    return table(names, rows, "cards rules")


def _outcome_class(rule: RenderedRule) -> str:
    return f"o-{rule.outcome.replace(' ', '-')} s-{severity_class(rule)}" if rule.outcome else ""


def severity_class(rule: RenderedRule) -> str:
    """The severity as a class of the style sheet."""
    return "critical" if rule.severity == "critical" else "warning"


def _rule_cells(rule: RenderedRule, is_suite: bool) -> list[str]:
    description = f'<p class="description">{text(rule.description, 1000)}</p>' if rule.description else ""
    cells = [
        f"<code>{identifier(rule.rule_id)}</code>",
        f'{description}<div class="expectation">{rule.expectation_html}</div>',
        severity_badge(rule.severity),
        text(rule.dimension),
    ]
    return cells if is_suite else [rule.status_html, *cells, rule.observed_html]


def _plural(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
