"""Row rules as Spark columns, taken from Great Expectations itself: no UDF, no job.

Great Expectations judges in steps: it filters by `row_condition`, drops rows whose values are missing as the type
or `ignore_row_if` says, and counts what fulfils its condition. Here each step is a column of its own, so that one
pass over the rows can count for all rules at once what Great Expectations would count in several jobs each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.errors import SuiteInvalid
from sluice.quality.expectations import Prepared, open_great_expectations, prepare, reason_of
from sluice.quality.rule_types import COLUMN, LIST_IGNORES, PAIR_IGNORES, RULE_TYPES
from sluice.quality.suites import Rule

# Their result has no missing_count: a missing value is what they are about.
_ABOUT_NULL = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
_NEVER_IGNORE = (PAIR_IGNORES[-1], LIST_IGNORES[-1])
_ALL_MISSING = (PAIR_IGNORES[0], LIST_IGNORES[0])


@dataclass(frozen=True)
class Predicate:
    """One row rule as columns over the rows it judges; none of them is ever null.

    Attributes:
        failing: true where Great Expectations counts the row as unexpected.
        judged: true where it counts the row in element_count; None: every row.
        missing: true where it counts the row in missing_count; None: no row.
        sample_columns: what a sample of the failing rows consists of, in order.
        needs_whole_batch: whether `failing` holds window functions: it is right only over a whole batch at once.
    """

    rule_id: str
    failing: Column
    judged: Column | None
    missing: Column | None
    sample_columns: tuple[str, ...]
    needs_whole_batch: bool


def compile_rules(spark: SparkSession, rules: Sequence[Rule], ddl: str) -> list[Predicate]:
    """The row rules' predicates, in their order.

    Args:
        rules: row rules of a suite.
        ddl: of the rows they judge, as `name type, …`.

    Raises:
        SuiteInvalid: Spark, its Java or Great Expectations cannot apply a rule; names it.
    """
    rows = spark.createDataFrame([], ddl)
    engine = _analysing_engine(spark, rows)
    found = []
    for rule in rules:
        try:
            _check_patterns(spark, rule)
            found.append(_compile(engine, prepare(rule)))
            rows.select(found[-1].failing)
        except Exception as error:
            # Whatever is thrown by Great Expectations or Spark's analysis, the suite must not be used.
            raise SuiteInvalid(
                f"rule {rule.rule_id} cannot be applied: {_first_line(error)}", "docs/rules.md shows every type of rule"
            ) from error
    return found


def _analysing_engine(spark: SparkSession, rows: DataFrame) -> Any:
    """An engine that holds the rows and counts none: without it each condition would count its empty domain first."""
    open_great_expectations()
    from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine

    engine: Any = SparkDFExecutionEngine(spark=spark, persist=False, batch_data_dict={"rows": rows})
    engine.resolve_metric_bundle = _zeros
    return engine


def _zeros(metric_fn_bundle: Iterable[Any]) -> dict[Any, int]:
    return {each.metric_configuration.id: 0 for each in metric_fn_bundle}


def _check_patterns(spark: SparkSession, rule: Rule) -> None:
    """Java's patterns are not quite Python's, with which the suite was checked."""
    jvm: Any = spark._jvm
    for pattern in (*rule.kwargs.get("regex_list", ()), *filter(None, [rule.kwargs.get("regex")])):
        try:
            jvm.java.util.regex.Pattern.compile(pattern)
        except (PySparkException, Py4JJavaError) as error:
            # Which of both depends on what PySpark makes of Java's exception.
            raise ValueError(f"Java takes no regex {pattern!r}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _compile(engine: Any, prepared: Prepared) -> Predicate:
    rule = prepared.rule
    judged = _judged(engine, prepared.expectation)
    missing = _missing(rule)
    passing = [judged, None if missing is None else ~missing]
    failing = reduce(Column.__and__, [each for each in passing if each is not None] + [_condition(engine, prepared)])
    return Predicate(
        rule_id=rule.rule_id,
        failing=F.coalesce(failing, F.lit(False)),
        judged=judged,
        missing=missing if judged is None or missing is None else judged & missing,
        sample_columns=rule.columns,
        needs_whole_batch=rule.needs_whole_batch,
    )


def _condition(engine: Any, prepared: Prepared) -> Column:
    """True for unexpected rows of those in the domain, maybe null for others."""
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    counted = prepared.metrics_needed(engine)[f"{prepared.metric}.unexpected_count"]
    condition = MetricConfiguration(
        metric_name=f"{prepared.metric}.condition",
        metric_domain_kwargs=counted.metric_domain_kwargs,
        metric_value_kwargs=counted.metric_value_kwargs,
    )
    found, broken = MetricsCalculator(engine, show_progress_bars=False).compute_metrics([condition])
    if condition.id not in found:
        raise ValueError(reason_of(broken, prepared.rule))
    column = found[condition.id][0]
    if not isinstance(column, Column):
        raise TypeError(f"{prepared.metric} is no column")
    return column


def _judged(engine: Any, expectation: Any) -> Column | None:
    if expectation.row_condition is None:
        return None
    return F.coalesce(F.expr(engine.condition_to_filter_clause(expectation.row_condition)), F.lit(False))


def _missing(rule: Rule) -> Column | None:
    """Rows left out for their missing values, as SparkDFExecutionEngine.get_domain_records leaves them out."""
    if rule.type in _ABOUT_NULL:
        return None
    nulls = [F.col(name).isNull() for name in rule.columns]
    domain = RULE_TYPES[rule.type].domain
    if domain == COLUMN:
        return nulls[0]
    ignore = rule.kwargs.get("ignore_row_if", _ALL_MISSING[0])
    if ignore in _NEVER_IGNORE:
        return None
    return reduce(Column.__and__ if ignore in _ALL_MISSING else Column.__or__, nulls)
