"""A lake's folder with results that Great Expectations really gave, on a small pandas frame."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from sluice.quality.docs_page import result_path
from sluice.schemas import EMPTY, ERROR, HOLD, PROMOTE, PROMOTE_WITH_WARNINGS
from sluice.settings import home

SUITE = "silver_readings"
# Rules that pandas judges like Spark, on the columns of the frame below.
_JUDGED = (
    "device_id",
    "event_time",
    "temperature",
    "humidity",
    "latitude",
    "longitude",
    "pressure",
    "battery",
    "value",
)
ROWS = 40
HOSTILE = """<script>document.title='taken'</script><img src=x onerror="document.title='taken'">'"&"""
BAD_TIME = "1970-01-01T00:00:00Z"


def _own_suite() -> Path:
    content = json.loads((home() / "expectations" / f"{SUITE}.json").read_text("utf-8"))
    rules = [rule for rule in content["expectations"] if rule["meta"]["rule_id"].startswith(_JUDGED)]
    path = Path(tempfile.mkdtemp(prefix="sluice-suites-")) / f"{SUITE}.json"
    path.write_text(json.dumps({**content, "expectations": rules}), "utf-8")
    return path


SUITE_FILE = _own_suite()


def suite_hash() -> str:
    """As the rulebook computes it."""
    return hashlib.sha256(SUITE_FILE.read_text("utf-8").encode()).hexdigest()


@cache
def _validated(case: str) -> dict[str, Any]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    content = json.loads(SUITE_FILE.read_text("utf-8"))
    suite = gx.ExpectationSuite(name=SUITE)
    keys = ("type", "kwargs", "severity", "meta", "description")
    rules = [{key: rule[key] for key in keys} for rule in content["expectations"]]
    if case == "hostile":
        rules.append(_set_rule("device_id", [HOSTILE + "?"], f"${{column}} is known. {HOSTILE}", HOSTILE))
    if case == "broken":
        rules.append(_set_rule("no_such_<column>", ["ok"], "Judges a column that is not there.", "column_missing"))
    for rule in rules:
        suite.add_expectation_configuration(ExpectationConfiguration(**copy.deepcopy(rule)))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("batch")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": _frame(case, rules)})
    with warnings.catch_warnings():
        # Of pandas, about what Great Expectations does with time zones.
        warnings.simplefilter("ignore")
        return batch.validate(suite, result_format="SUMMARY").to_json_dict()


def _set_rule(column: str, values: list[str], description: str, rule_id: str) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": column, "value_set": values},
        "severity": "warning",
        "meta": {"rule_id": rule_id, "dimension": "validity"},
        "description": description,
    }


def _frame(case: str, rules: list[dict[str, Any]]) -> Any:
    import pandas as pd

    columns = {name for rule in rules for key, name in rule["kwargs"].items() if key.startswith("column")}
    frame = pd.DataFrame({name: [20.0] * ROWS for name in sorted(columns) if "<" not in name})
    frame["device_id"] = [f"sensor-{number:04}" for number in range(ROWS)]
    frame["event_time"] = pd.Timestamp("2026-03-01T12:00:00Z")
    frame["latest_accepted_time"] = pd.Timestamp("2026-03-01T12:05:00Z")
    if case in {"warnings", "hostile"}:
        frame.loc[3:8, "temperature_celsius_registered_max"] = 15.5
    if case in {"held", "broken"}:
        frame.loc[0:29, "temperature_celsius"] = [300.0 + (number % 7) for number in range(30)]
        frame.loc[30:31, "device_id"] = None
        frame.loc[5:6, "event_time"] = pd.Timestamp(BAD_TIME)
    if case == "hostile":
        frame.loc[0:4, "device_id"] = HOSTILE
    return frame


# Verdict, why, (in, promoted, quarantined, duplicate, held) of each case.
CASES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "good": (PROMOTE, "", (40, 39, 0, 1, 0)),
    "warnings": (PROMOTE_WITH_WARNINGS, "6 rows broke temperature_celsius_not_above_registered", (40, 38, 1, 1, 0)),
    "held": (HOLD, "share_quarantined is 0.8, at most 0.5 is allowed", (40, 0, 0, 0, 40)),
    "broken": (ERROR, "the rule column_missing could not be judged", (40, 0, 0, 0, 40)),
    "hostile": (PROMOTE_WITH_WARNINGS, f"5 rows: {HOSTILE}", (40, 40, 0, 0, 0)),
    "empty": (EMPTY, "", (0, 0, 0, 0, 0)),
}


def write_result(lake: Path, case: str, minute: int, layer: str = "silver", **meta: Any) -> str:
    """Stores a result decided at 12:<minute>, as a gate does; gives its promotion id."""
    verdict, why, counts = CASES[case]
    promotion_id = f"{layer}-0a1b2c3d-{minute}"
    names = ("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
    content = copy.deepcopy(_validated("good" if case == "empty" else case))
    if case == "empty":
        content["results"] = []
    content["meta"] = {
        **content["meta"],
        "promotion_id": promotion_id,
        "layer": layer,
        "kind": "batch",
        "verdict": verdict,
        "why": why,
        "decided_at": f"2026-03-01T{12 + minute // 60:02}:{minute % 60:02}:00+00:00",
        "suite": SUITE,
        "suite_hash": suite_hash(),
        **dict(zip(names, counts, strict=True)),
        "facts": {"rows_in": counts[0], "share_unreadable": 0.0125, "freshness_seconds": 3.25, "volume_ratio": None},
        **meta,
    }
    path = result_path(lake, layer, promotion_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    os.utime(path, (1_700_000_000 + minute, 1_700_000_000 + minute))
    return promotion_id
