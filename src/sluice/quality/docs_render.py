"""Great Expectations' own renderers, asked rule by rule: what was expected, and what was observed.

Importing it takes seconds, so this is done only when a page has to be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.quality.docs_blocks import render_block
from sluice.quality.docs_results import ResultDamaged, rule_id
from sluice.quality.expectations import open_great_expectations

MET, NOT_MET, NOT_JUDGED = "met", "not met", "not judged"


@dataclass(frozen=True)
class RenderedRule:
    """One expectation, as HTML where it says so.

    Attributes:
        status_html: the icon Great Expectations gives it; empty in a suite.
        expectation_html: the sentence, and of a broken rule its unexpected values.
        observed_html: what was observed; empty in a suite.
        outcome: MET, NOT_MET or NOT_JUDGED; empty in a suite.
    """

    rule_id: str
    severity: str
    dimension: str
    description: str
    outcome: str = ""
    status_html: str = ""
    expectation_html: str = ""
    observed_html: str = ""


def render_results(results: list[Mapping[str, Any]]) -> list[RenderedRule]:
    """The results of a validation, in their order.

    Raises:
        ResultDamaged: Great Expectations cannot read one of them; names the rule.
    """
    open_great_expectations()
    from great_expectations.core.expectation_validation_result import ExpectationValidationResultSchema
    from great_expectations.render.renderer import content_block

    rendered = []
    for result in results:
        config = result["expectation_config"]
        # With a description Great Expectations shows it instead of the sentence; the pages show both.
        bare = {**result, "expectation_config": {**_bare(config), "id": None}}
        try:
            outcome = MET if result["success"] else NOT_JUDGED if _raised(result) else NOT_MET
            loaded = ExpectationValidationResultSchema().load(bare)
            renderer: Any = content_block.ValidationResultsTableContentBlockRenderer  # type: ignore[attr-defined]
            row = renderer.render([loaded], include_column_name=True).to_json_dict()["table"][0]
            status, expectation, observed = row[:3]
        except Exception as error:
            raise _unreadable(config, error) from error
        shown = "--" if outcome == NOT_JUDGED else observed
        rendered.append(_rule(config, outcome, render_block(status), render_block(expectation), render_block(shown)))
    return rendered


def render_suite(rules: list[Mapping[str, Any]]) -> list[RenderedRule]:
    """The expectations of a suite, in their order.

    Raises:
        ResultDamaged: Great Expectations cannot read one of them; names the rule.
    """
    open_great_expectations()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer import content_block

    rendered = []
    for config in rules:
        try:
            loaded = ExpectationConfiguration(config["type"], dict(config["kwargs"]))
            renderer: Any = content_block.ExpectationSuiteBulletListContentBlockRenderer  # type: ignore[attr-defined]
            sentence = renderer.render([loaded], include_column_name=True).to_json_dict()["bullet_list"][0]
        except Exception as error:
            raise _unreadable(config, error) from error
        rendered.append(_rule(config, expectation_html=render_block(sentence)))
    return rendered


def _bare(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in {"description", "notes", "rendered_content"}}
    return {**kept, "meta": {}}


def _rule(
    config: Mapping[str, Any],
    outcome: str = "",
    status_html: str = "",
    expectation_html: str = "",
    observed_html: str = "",
) -> RenderedRule:
    meta = config.get("meta")
    return RenderedRule(
        rule_id(config),
        str(config.get("severity") or "critical"),
        str((meta if isinstance(meta, Mapping) else {}).get("dimension") or ""),
        str(config.get("description") or ""),
        outcome,
        status_html,
        expectation_html,
        observed_html,
    )


def _raised(result: Mapping[str, Any]) -> bool:
    # Flat, or one entry for each metric that failed.
    info = result.get("exception_info") or {}
    each = [info, *(value for value in info.values() if isinstance(value, Mapping))]
    return any(entry.get("raised_exception") is True for entry in each)


def _unreadable(config: Mapping[str, Any], error: Exception) -> ResultDamaged:
    message = " ".join(str(error).split())[:200]
    return ResultDamaged(f"rule {rule_id(config)}: Great Expectations cannot render it: {message}")
