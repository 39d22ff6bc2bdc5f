"""The alert rules of conf/alerts.yaml as frozen values; what is wrong with a file is known before anything starts.

    channels:
      log: {type: file, path: var/alerts.jsonl}
    rules:
      - id: hot
        type: threshold
        severity: critical
        metric: temperature_celsius
        above: 60
        clear_below: 55
        text: "{device_id}: {metric} is {value}, above {threshold}"
        channels: [log]

Reads nothing: the content comes as a mapping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from sluice.alerting.rule_types import KNOWN_METRICS, AnyRule
from sluice.errors import AlertRulesInvalid

_RULE: TypeAdapter[AnyRule] = TypeAdapter(AnyRule)
_TYPES = tuple(get_args(rule.model_fields["type"].annotation)[0] for rule in get_args(get_args(AnyRule)[0]))

# What pydantic says in words of programmers.
_TOLD = {"extra_forbidden": "there is no such key", "missing": "the key is missing"}


def parse_rules(
    entries: Any, channels: Mapping[str, object], origin: str, metrics: Sequence[str] = KNOWN_METRICS
) -> tuple[AnyRule, ...]:
    """The rules in the list `rules` of conf/alerts.yaml, in its order.

    Args:
        channels: by name, what rules may name.
        origin: the file's name, for errors.
        metrics: that a rule may be about.

    Raises:
        AlertRulesInvalid: names the file, the rule and every key that is unknown, missing or wrong; also for an
            id that stands there twice and a channel that is not defined.
    """
    if not isinstance(entries, list):
        raise AlertRulesInvalid(f"{origin}: rules must be a list", "write `rules: []` for none")
    rules = tuple(_parse_rule(entry, f"{origin}: rules[{index}]", metrics) for index, entry in enumerate(entries))
    for name, count in Counter(rule.id for rule in rules).items():
        if count > 1:
            raise AlertRulesInvalid(f"{origin}: the rule id {name!r} stands there {count} times", "rename all but one")
    for rule in rules:
        for name in rule.channels:
            if name not in channels:
                known = ", ".join(channels) or "none"
                raise AlertRulesInvalid(
                    f"{origin}: rule {rule.id} names the channel {name!r}", f"defined channels: {known}"
                )
    return rules


def _parse_rule(entry: Any, where: str, metrics: Sequence[str]) -> AnyRule:
    if not isinstance(entry, Mapping):
        raise AlertRulesInvalid(f"{where}: a rule must hold keys, not {entry!r}", "mend the file")
    where = f"{where} ({entry['id']})" if entry.get("id") else where
    if entry.get("type") not in _TYPES:
        wrong = f"the type {entry['type']!r} is unknown" if "type" in entry else "the key type is missing"
        raise AlertRulesInvalid(f"{where}: {wrong}; known types: {', '.join(_TYPES)}", "mend the file")
    try:
        return _RULE.validate_python(entry, context={"metrics": metrics})
    except ValidationError as error:
        raise AlertRulesInvalid(f"{where}: {describe(error)}", "mend the file") from None


def describe(error: ValidationError) -> str:
    """What is wrong, key by key, in one line."""
    facts = []
    for problem in error.errors(include_url=False):
        # The first part is the rule's type, by which its form was chosen.
        key = ".".join(str(part) for part in problem["loc"][1:])
        told = _TOLD.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        facts.append(f"{key}: {told}" if key else told)
    return "; ".join(facts)
