"""Examples of rows that broke a rule, for the validation results: a few per rule, taken from rows kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame

from sluice.pipelines.rulebook import RowRules
from sluice.quality.expectations import MAX_SAMPLES
from sluice.transforms.hours import read_value
from sluice.transforms.judge import has_bit
from sluice.transforms.silver import Reader, sample_broken


def take_samples(
    decided: DataFrame, reader: Reader, rules: RowRules, broken: Mapping[str, int]
) -> dict[str, list[Any]]:
    """Values of some rows that break each rule, one per column that the rule sees.

    Args:
        decided: FLAGGED_COLUMNS.
        broken: rows by broken rule_id; one job if there are any, none otherwise.
    """
    wanted = [
        (index, rules.sample_columns[rule.rule_id]) for index, rule in enumerate(reader.rules) if rule.rule_id in broken
    ]
    if not wanted:
        return {}
    columns = dict(wanted)
    found: dict[str, list[Any]] = {}
    for row in sample_broken(decided, reader, wanted, MAX_SAMPLES).collect():
        values = tuple(read_value(row, name) for name in columns[row["rule"]])
        found.setdefault(reader.rules[row["rule"]].rule_id, []).append(values)
    return found


def sample_minutes(judged: DataFrame, rules: RowRules, index: int) -> list[Any]:
    """Values of some minutes that break a rule, one per column that the rule sees.

    Args:
        judged: candidate minutes with `broken_rules`.
        index: of the rule.
    """
    columns = rules.sample_columns[rules.rules[index].rule_id]
    few = judged.where(has_bit("broken_rules", index)).select(*columns).limit(MAX_SAMPLES).collect()
    return [tuple(row) for row in few]
