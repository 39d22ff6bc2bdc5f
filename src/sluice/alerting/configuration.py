"""conf/alerts.yaml as a whole, and the devices it may speak of: read and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sluice.alerting.channels.kinds import AnyChannel, parse_channels
from sluice.alerting.rule_types import KNOWN_METRICS, AnyRule
from sluice.alerting.rules import parse_rules
from sluice.errors import AlertRulesInvalid
from sluice.settings import Settings, read_yaml
from sluice.transforms.registry import Device, Registry, parse_registry

_KEYS = ("channels", "rules")


@dataclass(frozen=True)
class AlertConfiguration:
    """What raises alerts, and where alerts go.

    Attributes:
        rules: in the order of the file.
        devices: those registered, by id.
    """

    channels: dict[str, AnyChannel]
    rules: tuple[AnyRule, ...]
    devices: Mapping[str, Device]

    def rule(self, rule_id: str) -> AnyRule | None:
        """The rule of that id."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)


def load_configuration(settings: Settings) -> AlertConfiguration:
    """The channels and rules in the file of the settings; secrets of channels are not read.

    Raises:
        YamlInvalid: a file cannot be read.
        AlertRulesInvalid: a channel or rule is not as it must be; names it.
        RegistryInvalid: the devices are not, whose metrics rules may name.
    """
    path, devices_path = settings.alerts.path, settings.devices.path
    content = read_yaml(path)
    if unknown := [str(key) for key in content if key not in _KEYS]:
        raise AlertRulesInvalid(f"{path}: unknown key {', '.join(unknown)}", f"known: {', '.join(_KEYS)}")
    channels = parse_channels(content.get("channels") or {}, str(path))
    registry = parse_registry(read_yaml(devices_path), str(devices_path))
    rules = parse_rules(content.get("rules", []), channels, str(path), _metrics(registry))
    return AlertConfiguration(channels, rules, {device.device_id: device for device in registry.devices})


def _metrics(registry: Registry) -> list[str]:
    """What rules may be about: what every event may bring, and what devices are registered with."""
    registered = {metric.name for device in registry.devices for metric in device.metrics}
    return [*KNOWN_METRICS, *sorted(registered - set(KNOWN_METRICS))]
