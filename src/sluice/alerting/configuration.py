"""conf/alerts.yaml as a whole: channels and rules, read and checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sluice.alerting.channels.kinds import AnyChannel, parse_channels
from sluice.alerting.rule_types import AnyRule
from sluice.alerting.rules import parse_rules
from sluice.errors import AlertRulesInvalid
from sluice.settings import read_yaml

_KEYS = ("channels", "rules")


@dataclass(frozen=True)
class AlertConfiguration:
    """What raises alerts, and where alerts go."""

    channels: dict[str, AnyChannel]
    rules: tuple[AnyRule, ...]

    def rule(self, rule_id: str) -> AnyRule | None:
        """The rule of that id."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)


def load_configuration(path: Path) -> AlertConfiguration:
    """The channels and rules in a file.

    Raises:
        YamlInvalid: it cannot be read.
        AlertRulesInvalid: a channel or rule is not as it must be.
    """
    content = read_yaml(path)
    if unknown := [key for key in content if key not in _KEYS]:
        raise AlertRulesInvalid(f"{path}: unknown key {unknown[0]!r}", f"known keys: {', '.join(_KEYS)}")
    channels = parse_channels(content.get("channels") or {}, str(path))
    return AlertConfiguration(channels, parse_rules(content.get("rules") or [], channels, str(path)))
