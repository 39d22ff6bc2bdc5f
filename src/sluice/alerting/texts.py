"""The text of an alert from its rule's template; never fails, whatever the values are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from string import Formatter
from typing import TYPE_CHECKING, Any

from sluice.alerting.rule_types import TEXT_FIELDS

if TYPE_CHECKING:
    from sluice.alerting.state import AlertState

UNKNOWN = "unknown"
# Of what a template makes of values that are longer than anybody reads.
_MOST_CHARACTERS = 4_000


def render_text(template: str, alert: AlertState) -> str:
    """The template with the alert's values; one that is not known is `unknown`, a number as short as it is exact."""
    values = {name: getattr(alert, name, None) for name in TEXT_FIELDS}
    values["event_time"] = alert.last_event_time
    values["value"] = alert.last_value
    return _Lenient().vformat(template, (), values)[:_MOST_CHARACTERS]


class _Lenient(Formatter):
    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ARG002
        return kwargs.get(str(key))

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return UNKNOWN
        try:
            return format(_plain(value) if not format_spec else value, format_spec)
        except (ValueError, TypeError):
            return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "seconds") + " UTC"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else value
