"""Examples of rows that broke a rule, for the validation results: a few per rule, taken from rows kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame

from sluice.pipelines.rulebook import RowRules
from sluice.transforms.silver import Reader, sample_broken

# As many as GX itself keeps.
MAX_SAMPLES = 20


def take_samples(
    decided: DataFrame, reader: Reader, rules: RowRules, broken: Mapping[str, int]
) -> dict[str, list[Any]]:
    """Values of some rows that break each rule, as GX lists them: a value, or one per column in a tuple.

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
        values = [row[name] for name in columns[row["rule"]]]
        name = reader.rules[row["rule"]].rule_id
        found.setdefault(name, []).append(values[0] if len(values) == 1 else tuple(values))
    return found
