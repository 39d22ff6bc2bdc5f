"""The alert rules of conf/alerts.yaml that one reading decides, as the stream applies them."""

from __future__ import annotations

from sluice.alerting.rule_types import (
    KNOWN_METRICS,
    OF_ONE_READING,
    AnyRule,
    BatteryLow,
    OutOfRange,
    Status,
    Threshold,
    device_expression,
)
from sluice.alerting.rules import parse_rules
from sluice.errors import AlertRulesInvalid
from sluice.settings import Settings, read_yaml
from sluice.transforms.reading_rules import Finding, ReadingRule, Scope, above, below, has_status, outside_range
from sluice.transforms.registry import parse_registry

BATTERY = "battery_percent"
_KEYS = ("channels", "rules")


def load_rules(settings: Settings) -> tuple[AnyRule, ...]:
    """All rules of the file, in its order.

    Raises:
        AlertRulesInvalid: the file, or a rule of it, is not as it must be; names it.
        RegistryInvalid: the devices are not, whose metrics rules may name.
        YamlInvalid: a file cannot be read.
    """
    path = settings.alerts.path
    content = read_yaml(path)
    if unknown := [str(key) for key in content if key not in _KEYS]:
        raise AlertRulesInvalid(f"{path}: unknown key {', '.join(unknown)}", f"known: {', '.join(_KEYS)}")
    channels = content.get("channels") or {}
    if not isinstance(channels, dict):
        raise AlertRulesInvalid(f"{path}: channels must hold names with their settings", "name: {type: …}")
    return parse_rules(content.get("rules", []), channels, str(path), _metrics(settings))


def _metrics(settings: Settings) -> list[str]:
    """What rules may be about: what every event may bring, and what devices are registered with."""
    registry = parse_registry(read_yaml(settings.devices.path), str(settings.devices.path))
    registered = {metric.name for device in registry.devices for metric in device.metrics}
    return [*KNOWN_METRICS, *sorted(registered - set(KNOWN_METRICS))]


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
