"""Great Expectations, imported late and kept quiet: a rule as its expectation, and results as its own JSON.

Importing it takes seconds, so nothing here does before a rule is compiled or judged. Beyond its public interface
three things are used: the conditions behind its map metrics, an expectation's list of the metrics it needs, and
its own making of a result from their values. tests/unit/quality/test_contract_with_gx.py pins all three.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sluice.errors import SuiteInvalid
from sluice.quality.suites import Rule

# Counts and a sample, all of which one pass over the rows can give. SUMMARY would add how often each value occurs,
# counted within the sample alone, which reads like a fact about the batch and is none.
RESULT_FORMAT = {
    "result_format": "BASIC",
    "partial_unexpected_count": 20,
    "include_unexpected_rows": False,
}
MAX_SAMPLES = 20
_IMPORTING = threading.Lock()
# jsonschema, which comes with it, takes this where Jupyter has brought it: a third of the whole import, which builds
# a parser for formats of addresses that nothing here checks.
_SLOW = "rfc3987_syntax"


def open_great_expectations() -> str:
    """Imports Great Expectations without its network calls, logs and capture of warnings; gives its version."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _IMPORTING:
        logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
        with _hidden(_SLOW):
            import great_expectations

        # It turns this on for the whole process.
        logging.captureWarnings(False)
    return str(great_expectations.__version__)


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """As if a module that is not imported yet were not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


@dataclass(frozen=True)
class Prepared:
    """A rule as Great Expectations holds it.

    Attributes:
        expectation: the object that judges.
        metric: the name of its map metric, `column_values.between` for example.
        configuration: `expectation_config` of its results.
    """

    rule: Rule
    expectation: Any
    metric: str
    configuration: Mapping[str, Any]

    def metrics_needed(self, engine: Any) -> dict[str, Any]:
        """By name, the metrics that a result is made of, for the one batch that the engine holds."""
        needed = self.expectation.get_validation_dependencies(engine, {"result_format": RESULT_FORMAT})
        return dict(needed.metric_configurations)

    def result(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """What Great Expectations makes of the metrics' values, as its JSON."""
        raw = self.expectation._validate(metrics=metrics, runtime_configuration={"result_format": RESULT_FORMAT})
        return self._as_json(raw["success"], raw.get("result"), None)

    def broken_result(self, why: str) -> dict[str, Any]:
        """The result of a rule that could not be judged."""
        info = {"raised_exception": True, "exception_message": why, "exception_traceback": None}
        return self._as_json(False, None, info)

    def _as_json(self, success: bool, result: Any, exception_info: dict[str, Any] | None) -> dict[str, Any]:
        from great_expectations.core import ExpectationValidationResult

        found = ExpectationValidationResult(success=bool(success), result=result, exception_info=exception_info)
        return {**found.to_json_dict(), "expectation_config": copy.deepcopy(dict(self.configuration))}


def prepare(rule: Rule) -> Prepared:
    """The rule's expectation.

    Raises:
        SuiteInvalid: Great Expectations does not take what the loader took.
    """
    open_great_expectations()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    entry = rule.entry
    configuration = ExpectationConfiguration(
        type=rule.type,
        kwargs=copy.deepcopy(dict(rule.kwargs)),
        meta=copy.deepcopy(dict(entry["meta"])),
        severity=FailureSeverity(rule.severity),
        **{key: entry[key] for key in ("description", "notes", "id") if entry.get(key) is not None},
    )
    try:
        expectation: Any = configuration.to_domain_obj()
    except Exception as error:
        # It has many kinds of errors, and a suite that it does not take must not be used at all.
        raise SuiteInvalid(
            f"rule {rule.rule_id}: Great Expectations does not take it: {error}",
            "docs/rules.md shows every type of rule",
        ) from error
    return Prepared(rule, expectation, str(expectation.map_metric), expectation.configuration.to_json_dict())


def reason_of(broken: Mapping[Any, Any], rule: Rule) -> str:
    """Why metrics of the rule's columns could not be computed, from what MetricsCalculator gives back beside values."""
    messages = {
        str(each["exception_info"]["exception_message"])
        for each in broken.values()
        if set(rule.columns) & {str(value) for value in each["metric_configuration"].metric_domain_kwargs.values()}
    }
    return "; ".join(sorted(messages)) or "Great Expectations gave no result"
