"""Alert rules that one reading decides by itself, as columns over flagged events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from sluice.schemas import METRICS, READING_METRIC

# What `outside_range` needs beside the columns of a flagged event: the registered ends of each canonical metric,
# and those of a device's only metric.
RANGE_COLUMNS = tuple(f"{name}_registered_{end}" for name in (*METRICS, READING_METRIC) for end in ("min", "max"))


@dataclass(frozen=True)
class Finding:
    """What a rule sees in a reading.

    Attributes:
        holds: whether the rule raises; null counts as false.
        metric: None where the rule is about none.
        value: what was seen; null where the rule has no number.
        threshold: what it was compared with; null likewise.
    """

    holds: Column
    metric: str | None
    value: Column
    threshold: Column


@dataclass(frozen=True)
class Scope:
    """The devices a rule watches.

    Attributes:
        devices: regular expressions for the whole of a device's id, of which one must match; empty for all devices.
        sites, customers: one of them must be the device's; empty for any.
    """

    devices: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadingRule:
    """A rule that one reading decides."""

    rule_id: str
    severity: str
    finding: Finding
    scope: Scope = Scope()

    @property
    def raises(self) -> Column:
        """Whether a flagged event raises the rule; null counts as false."""
        return reduce(Column.__and__, _conditions(self.scope), self.finding.holds)


def _conditions(scope: Scope) -> list[Column]:
    conditions = []
    if scope.devices:
        conditions.append(F.col("device_id").rlike(rf"\A(?:{'|'.join(scope.devices)})\z"))
    for name, wanted in (("site", scope.sites), ("customer", scope.customers)):
        if wanted:
            conditions.append(F.col(name).isin(*wanted))
    return conditions


def above(metric: str, limit: float) -> Finding:
    """A value greater than a limit."""
    value = value_of(metric)
    return Finding(value > F.lit(limit), metric, value, F.lit(limit))


def below(metric: str, limit: float) -> Finding:
    """A value less than a limit."""
    value = value_of(metric)
    return Finding(value < F.lit(limit), metric, value, F.lit(limit))


def outside_range(metric: str) -> Finding:
    """A value outside the range its device is registered with, whose ends are inside; the end it is beyond is the
    threshold."""
    value = value_of(metric)
    known = metric if metric in METRICS else READING_METRIC
    low, high = F.col(f"{known}_registered_min"), F.col(f"{known}_registered_max")
    threshold = F.when(value < low, low).when(value > high, high)
    return Finding(threshold.isNotNull(), metric, value, threshold)


def has_status(statuses: Sequence[str]) -> Finding:
    """One of the statuses, as the device wrote it."""
    nothing = F.lit(None).cast("double")
    return Finding(F.col("status").isin(*statuses), None, nothing, nothing)


def value_of(metric: str) -> Column:
    """A metric's value: its canonical column, or the one number of a reading event of that metric."""
    of_reading = F.when(F.col("metric") == metric, F.col(READING_METRIC))
    return F.coalesce(F.col(metric), of_reading) if metric in METRICS else of_reading
