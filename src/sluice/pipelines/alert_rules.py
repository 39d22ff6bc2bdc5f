"""The alert rules of conf/alerts.yaml that one reading decides, as the stream applies them."""

from __future__ import annotations

from sluice.alerting.rule_types import (
    OF_ONE_READING,
    AnyRule,
    BatteryLow,
    OutOfRange,
    Status,
    Threshold,
    device_expression,
)
from sluice.transforms.reading_rules import Finding, ReadingRule, Scope, above, below, has_status, outside_range

BATTERY = "battery_percent"


def rules_of_readings(rules: tuple[AnyRule, ...]) -> list[ReadingRule]:
    """Those that one reading decides, in their order; the others are judged of tables."""
    return [
        ReadingRule(rule.id, rule.severity, _finding(rule), _scope(rule))
        for rule in rules
        if isinstance(rule, OF_ONE_READING)
    ]


def _finding(rule: Threshold | OutOfRange | Status | BatteryLow) -> Finding:
    if isinstance(rule, Threshold):
        if rule.above is not None:
            return above(rule.metric, rule.above)
        return below(rule.metric, float(rule.below or 0.0))
    if isinstance(rule, OutOfRange):
        return outside_range(rule.metric)
    if isinstance(rule, Status):
        return has_status(rule.statuses)
    return below(BATTERY, rule.below_percent)


def _scope(rule: AnyRule) -> Scope:
    named = () if "*" in rule.devices else tuple(map(device_expression, rule.devices))
    return Scope(named, rule.sites, rule.customers)
