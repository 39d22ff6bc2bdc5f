"""The expectation types that a gate can judge, what each needs, and why the others are refused."""

from __future__ import annotations

from dataclasses import dataclass

NUMBER, TEXT, TIME, OTHER = "number", "text", "time", "other"
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
_COMPARABLE = frozenset({NUMBER, TEXT, TIME})
_ANY = _COMPARABLE | {OTHER}

COLUMN, PAIR, LIST = ("column",), ("column_A", "column_B"), ("column_list",)
PAIR_IGNORES = ("both_values_are_missing", "either_value_is_missing", "neither")
LIST_IGNORES = ("all_values_are_missing", "any_value_is_missing", "never")


@dataclass(frozen=True)
class RuleType:
    """What an expectation type takes, besides `mostly` and `row_condition`, which all take.

    Attributes:
        domain: the arguments that name its columns.
        families: of columns it can judge.
        mixed: whether they may be of several; else a pair or list is of one.
        needed, optional: its further arguments.
        whole_batch: whether it compares the rows of a batch with each other.
        for_batches: whether it may judge the facts of a batch, too.
    """

    domain: tuple[str, ...]
    families: frozenset[str]
    needed: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    whole_batch: bool = False
    for_batches: bool = False
    mixed: bool = False


_ENDS = frozenset({"min_value", "max_value", "strict_min", "strict_max"})
_IGNORE = frozenset({"ignore_row_if"})
_TEXT = frozenset({TEXT})
_IN_SETS = frozenset({NUMBER, TEXT})

RULE_TYPES: dict[str, RuleType] = {
    "expect_column_values_to_not_be_null": RuleType(COLUMN, _ANY, for_batches=True),
    "expect_column_values_to_be_null": RuleType(COLUMN, _ANY, for_batches=True),
    "expect_column_values_to_be_between": RuleType(COLUMN, frozenset({NUMBER, TIME}), optional=_ENDS, for_batches=True),
    "expect_column_values_to_be_in_set": RuleType(COLUMN, _IN_SETS, frozenset({"value_set"}), for_batches=True),
    "expect_column_values_to_not_be_in_set": RuleType(COLUMN, _IN_SETS, frozenset({"value_set"}), for_batches=True),
    "expect_column_values_to_match_regex": RuleType(COLUMN, _TEXT, frozenset({"regex"})),
    "expect_column_values_to_not_match_regex": RuleType(COLUMN, _TEXT, frozenset({"regex"})),
    "expect_column_values_to_match_regex_list": RuleType(
        COLUMN, _TEXT, frozenset({"regex_list"}), frozenset({"match_on"})
    ),
    "expect_column_values_to_not_match_regex_list": RuleType(COLUMN, _TEXT, frozenset({"regex_list"})),
    "expect_column_value_lengths_to_be_between": RuleType(COLUMN, _TEXT, optional=_ENDS),
    "expect_column_value_lengths_to_equal": RuleType(COLUMN, _TEXT, frozenset({"value"})),
    "expect_column_values_to_be_unique": RuleType(COLUMN, _COMPARABLE, whole_batch=True),
    "expect_column_pair_values_a_to_be_greater_than_b": RuleType(
        PAIR, _COMPARABLE, optional=_IGNORE | {"or_equal"}, for_batches=True
    ),
    "expect_column_pair_values_to_be_equal": RuleType(PAIR, _COMPARABLE, optional=_IGNORE, for_batches=True),
    "expect_column_pair_values_to_be_in_set": RuleType(PAIR, _IN_SETS, frozenset({"value_pairs_set"}), _IGNORE),
    "expect_select_column_values_to_be_unique_within_record": RuleType(LIST, _COMPARABLE, optional=_IGNORE),
    "expect_multicolumn_values_to_be_equal": RuleType(LIST, _COMPARABLE, optional=_IGNORE),
    "expect_multicolumn_sum_to_equal": RuleType(LIST, frozenset({NUMBER}), frozenset({"sum_total"}), _IGNORE),
    "expect_compound_columns_to_be_unique": RuleType(LIST, _COMPARABLE, optional=_IGNORE, whole_batch=True, mixed=True),
}

_NO_ORDER = "the rows of a micro-batch have no order"
_BY_SCHEMA = "a column's type is the table's contract, checked when it is written"
_PER_ROW_PYTHON = "it would run Python for each row; use a regex"
_NOT_ON_SPARK = "Great Expectations cannot judge it per row on Spark"
_STATISTIC = (
    "it is a statistic over many rows; on the one row of a batch's facts use expect_column_values_to_be_between"
)
_SQL = "raw SQL is refused: a rule is data, not a program"

EXCLUDED_TYPES: dict[str, str] = {
    "expect_column_values_to_be_increasing": _NO_ORDER,
    "expect_column_values_to_be_decreasing": _NO_ORDER,
    "expect_column_values_to_be_of_type": _BY_SCHEMA,
    "expect_column_values_to_be_in_type_list": _BY_SCHEMA,
    "expect_column_type_to_be": _BY_SCHEMA,
    "expect_column_to_exist": "a rule that names an unknown column is refused when the suite is loaded",
    "expect_column_values_to_be_json_parseable": _PER_ROW_PYTHON,
    "expect_column_values_to_be_dateutil_parseable": _PER_ROW_PYTHON,
    "expect_column_values_to_match_strftime_format": _PER_ROW_PYTHON,
    "expect_column_values_to_match_json_schema": _PER_ROW_PYTHON,
    "expect_column_values_to_match_like_pattern": _NOT_ON_SPARK,
    "expect_column_values_to_match_like_pattern_list": _NOT_ON_SPARK,
    "expect_column_values_to_not_match_like_pattern": _NOT_ON_SPARK,
    "expect_column_values_to_not_match_like_pattern_list": _NOT_ON_SPARK,
    "expect_column_value_z_scores_to_be_less_than": _STATISTIC,
    "expect_column_values_to_not_be_outliers": _STATISTIC,
    "expect_column_min_to_be_between": _STATISTIC,
    "expect_column_max_to_be_between": _STATISTIC,
    "expect_column_mean_to_be_between": _STATISTIC,
    "expect_column_median_to_be_between": _STATISTIC,
    "expect_column_sum_to_be_between": _STATISTIC,
    "expect_column_stdev_to_be_between": _STATISTIC,
    "expect_column_quantile_values_to_be_between": _STATISTIC,
    "expect_table_row_count_to_be_between": "the batch's facts have one row; judge the column rows_in",
    "expect_table_row_count_to_equal": "the batch's facts have one row; judge the column rows_in",
    "expect_table_row_count_to_equal_other_table": _SQL,
    "expect_query_results_to_match_comparison": _SQL,
    "unexpected_rows_expectation": _SQL,
}


def family_of(spark_type: str) -> str:
    """Whether a column of that Spark SQL type holds numbers, texts, times or something else."""
    name = spark_type.lower().split("(")[0].strip()
    if name in _NUMBERS:
        return NUMBER
    if name in ("timestamp", "date"):
        return TIME
    return TEXT if name == "string" else OTHER
