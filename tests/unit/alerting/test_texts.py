"""The text of an alert: every template that the rules allow gives a text, whatever the values are."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.unit.alerting.examples import alert, rule

from sluice.alerting.rule_types import TEXT_FIELDS
from sluice.alerting.texts import render_text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{device_id} at {site}: {value}", "d1 at hall: 61"),
        ("{value:.2f} > {threshold:.1f}", "61.00 > unknown"),
        ("{customer}", "unknown"),
        ("{event_time}", "2026-03-01 12:00:01 UTC"),
        ("{{braces}} {status}", "{braces} firing"),
    ],
)
def test_a_template_with_values(template: str, text: str) -> None:
    rule(text=template)
    found = render_text(template, alert())
    assert found == text.replace("al-5b5ee5ba4a0ff9da72dc8dc4", alert().alert_id)


def test_every_field_a_template_may_name_is_there_or_unknown() -> None:
    assert render_text(" ".join(f"{{{name}}}" for name in TEXT_FIELDS), alert()).count("unknown") == 4


@pytest.mark.parametrize(
    "template", ["{secret}", "{value.__class__}", "{value:{site}}", "{}", "{value", "{value:>999}"]
)
def test_a_template_that_could_not_be_rendered_is_refused_with_the_rule(template: str) -> None:
    with pytest.raises(ValidationError):
        rule(text=template)
