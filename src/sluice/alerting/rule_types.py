"""What each type of alert rule holds, with its bounds; pydantic models, as the sections of the settings are."""

from __future__ import annotations

import re
from string import Formatter, punctuation
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from sluice.schemas import METRICS, READING_METRIC
from sluice.sections import Section

ID_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
# What a text may name between braces.
TEXT_FIELDS = (
    "alert_id",
    "rule_id",
    "severity",
    "status",
    "subject",
    "device_id",
    "customer",
    "site",
    "metric",
    "value",
    "threshold",
    "event_time",
    "runbook",
)
# How a text may want a number: signs, width and digits; no fields inside.
_FORM = re.compile(r"[-+ ]?0?\d{0,3},?(\.\d{1,2})?[eEfFgG]?")
_NUMBERS = ("value", "threshold")
# Those that every lake has; devices may be registered with more.
KNOWN_METRICS = (*METRICS, READING_METRIC)
_SIGNS = frozenset(punctuation)

Severity = Literal["info", "warning", "critical"]
Layer = Literal["silver", "gold"]


class Rule(Section):
    """What all rules have.

    Attributes:
        devices: patterns of device ids (`*` and `?`), of which one must match; with sites and customers, where
            given, all three must.
        cooldown_seconds: after an alert is resolved, its rule raises none for that subject so long.
        text: what a person reads; names of TEXT_FIELDS stand between braces.
        channels: names of channels; none: the alert is recorded and delivered nowhere.
    """

    id: str = Field(pattern=ID_PATTERN)
    severity: Severity
    devices: tuple[str, ...] = Field(default=("*",), min_length=1)
    sites: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    cooldown_seconds: float = Field(default=300.0, ge=0)
    text: str = Field(default="{rule_id}: {subject} {metric} {value}", min_length=1, max_length=1000)
    runbook: str | None = Field(default=None, max_length=2000)
    channels: tuple[str, ...] = ()

    @field_validator("text")
    @classmethod
    def _known_fields(cls, text: str) -> str:
        try:
            parts = [part for part in Formatter().parse(text) if part[1] is not None]
        except ValueError as error:
            raise ValueError(f"the text cannot be read: {error}") from None
        for _, name, form, _ in parts:
            if name not in TEXT_FIELDS:
                raise ValueError(f"the text names {name!r}; known: {', '.join(TEXT_FIELDS)}")
            if form and not _FORM.fullmatch(form):
                raise ValueError(f"the text has {name} in the form {form!r}; e.g. .1f is one of a number")
        try:
            text.format(**{name: 1.0 if name in _NUMBERS else "" for name in TEXT_FIELDS})
        except (ValueError, TypeError, MemoryError, OverflowError) as error:
            raise ValueError(f"a form in the text does not fit: {error}") from None
        return text

    def concerns(self, device_id: str | None, site: str | None, customer: str | None) -> bool:
        """Whether the rule watches that device."""
        return (
            any(re.fullmatch(device_expression(pattern), device_id or "") for pattern in self.devices)
            and (not self.sites or site in self.sites)
            and (not self.customers or customer in self.customers)
        )


def device_expression(pattern: str) -> str:
    """A pattern of device ids as a regular expression for the whole id, read alike by Python and Java."""
    wild = {"*": ".*", "?": "."}
    # A backslash before a sign is no more than the sign in both; before other characters it may mean something.
    parts = [wild.get(sign) or (f"\\{sign}" if sign in _SIGNS else sign) for sign in pattern]
    return f"(?s:{''.join(parts)})"


class _OfMetric(Rule):
    metric: str

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("metrics", KNOWN_METRICS)
        if name not in known:
            raise ValueError(f"{name!r} is no metric; known: {', '.join(known)}")
        return name


class Threshold(_OfMetric):
    """A value beyond a limit raises, at once; one back within the clear limit resolves, once gold has it."""

    type: Literal["threshold"]
    above: float | None = None
    below: float | None = None
    clear_below: float | None = None
    clear_above: float | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Threshold:
        if (self.above is None) == (self.below is None):
            raise ValueError("give one of above and below")
        if self.above is not None and self.clear_above is not None:
            raise ValueError("with above, the way back is clear_below")
        if self.below is not None and self.clear_below is not None:
            raise ValueError("with below, the way back is clear_above")
        if self.above is not None and self.clear_below is not None and self.clear_below > self.above:
            raise ValueError("clear_below must not be greater than above")
        if self.below is not None and self.clear_above is not None and self.clear_above < self.below:
            raise ValueError("clear_above must not be less than below")
        return self


class OutOfRange(_OfMetric):
    """A value outside the range the device is registered with."""

    type: Literal["out_of_range"]


class Status(Rule):
    """A status a device sends of itself."""

    type: Literal["status"]
    statuses: tuple[str, ...] = Field(min_length=1)


class BatteryLow(Rule):
    """A battery below a level."""

    type: Literal["battery_low"]
    below_percent: float = Field(gt=0, le=100)
    clear_above_percent: float | None = Field(default=None, gt=0, le=100)

    @model_validator(mode="after")
    def _way_back(self) -> BatteryLow:
        if self.clear_above_percent is not None and self.clear_above_percent < self.below_percent:
            raise ValueError("clear_above_percent must not be less than below_percent")
        return self


class RateOfChange(_OfMetric):
    """A minute's mean that differs from the mean `within_minutes` before by more than `change`."""

    type: Literal["rate_of_change"]
    change: float = Field(gt=0)
    within_minutes: int = Field(ge=1, le=1440)


class Offline(Rule):
    """A registered device without a reading for so many of its intervals, or so many seconds."""

    type: Literal["offline"]
    missed_intervals: float | None = Field(default=None, gt=0)
    after_seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_measure(self) -> Offline:
        if (self.missed_intervals is None) == (self.after_seconds is None):
            raise ValueError("give one of missed_intervals and after_seconds")
        return self


class FlatLine(_OfMetric):
    """A metric whose least and greatest value are the same through so many minutes with readings."""

    type: Literal["flat_line"]
    minutes: int = Field(ge=2, le=1440)
    min_readings: int = Field(default=10, ge=2)


class QualityBand(Rule):
    """A device's quality score of the day in one of the bands."""

    type: Literal["quality_band"]
    bands: tuple[Literal["warning", "critical"], ...] = Field(min_length=1)


class Gate(Rule):
    """A gate that holds a batch, or whose breaker is open; the subject is `gate:<layer>`."""

    type: Literal["gate"]
    when: tuple[Literal["hold", "breaker_open"], ...] = Field(min_length=1)
    layers: tuple[Layer, ...] = ("silver", "gold")


class Anomaly(_OfMetric):
    """A minute's mean whose robust z-score against the minutes before is beyond a limit.

    Attributes:
        window_minutes: how far back the median and the median absolute deviation reach.
        score: in units of 1.4826 MAD, which is one standard deviation of a normal distribution.
        min_minutes: so many minutes with readings the window must hold.
        for_minutes: so long the score must stay beyond the limit.
    """

    type: Literal["anomaly"]
    window_minutes: int = Field(ge=10, le=100_000)
    score: float = Field(gt=0)
    min_minutes: int = Field(default=30, ge=5)
    for_minutes: int = Field(default=1, ge=1)


AnyRule = Annotated[
    Threshold | OutOfRange | Status | BatteryLow | RateOfChange | Offline | FlatLine | QualityBand | Gate | Anomaly,
    Field(discriminator="type"),
]

# Judged by the stream, of each reading by itself; the others are judged of tables.
OF_ONE_READING = (Threshold, OutOfRange, Status, BatteryLow)
