"""The parameters of every endpoint: names, texts and bounds. Others than these are refused."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sluice.api.cursors import MOST_CHARACTERS

_MOST_ID_CHARACTERS = 256
_MOST_TIME_CHARACTERS = 64


def _visible(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("holds a control character")
    return text


Text = Annotated[str, Field(min_length=1, max_length=_MOST_ID_CHARACTERS), AfterValidator(_visible)]
Time = Annotated[str, Field(max_length=_MOST_TIME_CHARACTERS, examples=["2026-03-01T12:00:00Z"])]
Day = Annotated[str, Field(max_length=_MOST_TIME_CHARACTERS, examples=["2026-03-01"])]
DeviceId = Annotated[Text | None, Field(description="One device only.")]
Customer = Annotated[Text | None, Field(description="One customer only.")]
Since = Annotated[Time | None, Field(description="From this time on, RFC 3339.")]
Until = Annotated[Time | None, Field(description="Up to this time, without it; default: now.")]


class OfNewest(BaseModel):
    """What every endpoint takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: Annotated[
        Time | None,
        Field(
            description="The tables as they were at a time (RFC 3339), as far back as the lake keeps versions; with a"
            " key for all customers also a version number of the endpoint's own table."
        ),
    ] = None


class PageOf(OfNewest):
    """What endpoints with pages take."""

    limit: Annotated[int | None, Field(ge=1, description="At most so many rows; default: 1000.")] = None
    cursor: Annotated[
        str | None, Field(min_length=1, max_length=MOST_CHARACTERS, description="next_cursor of the page before.")
    ] = None


class DevicesOf(PageOf):
    customer: Customer = None
    site: Annotated[Text | None, Field(description="One site only.")] = None


class LatestOf(PageOf):
    device_id: DeviceId = None
    metric: Annotated[Text | None, Field(description="One metric only, e.g. temperature_celsius.")] = None
    customer: Customer = None


class ReadingsOf(PageOf):
    device_id: DeviceId = None
    since: Annotated[Time | None, Field(description="From this time on, RFC 3339; default: a day before until.")] = None
    until: Until = None
    columns: Annotated[
        str | None, Field(max_length=1000, description="Columns of silver.readings, with commas between them.")
    ] = None


class AggregatesOf(PageOf):
    interval: Annotated[Literal["minute", "hour", "day"], Field(description="How long one row is.")] = "minute"
    device_id: DeviceId = None
    metric: Annotated[Text | None, Field(description="One metric only, e.g. temperature_celsius.")] = None
    since: Annotated[Time | None, Field(description="From this time on, RFC 3339; default: a day before until.")] = None
    until: Until = None
    percentiles: Annotated[
        bool,
        Field(
            description="Minutes with value_p50 and value_p95 too, exactly from their readings, which takes longer;"
            " hours and days have them anyway."
        ),
    ] = False


class QualityOf(PageOf):
    device_id: DeviceId = None
    customer: Customer = None
    since: Annotated[Day | None, Field(description="From this day on; default: a week before until.")] = None
    until: Annotated[Day | None, Field(description="Up to this day, and with it; default: today.")] = None


class PromotionsOf(PageOf):
    layer: Annotated[Literal["silver", "gold"] | None, Field(description="One layer only.")] = None
    verdict: Annotated[Text | None, Field(description="One verdict only, e.g. HOLD.")] = None
    since: Since = None
    until: Until = None


class QuarantineOf(OfNewest):
    status: Annotated[
        Literal["open", "replayed", "discarded"] | None, Field(description="Where the records stand; default: any.")
    ] = None
    since: Annotated[Time | None, Field(description="First refused from this time on, RFC 3339.")] = None
    until: Annotated[Time | None, Field(description="First refused up to this time, without it.")] = None


class AlertsOf(PageOf):
    status: Annotated[
        Literal["firing", "acknowledged", "resolved"] | None, Field(description="Where the alerts stand; default: any.")
    ] = None
    device_id: DeviceId = None
    customer: Customer = None
    since: Annotated[Time | None, Field(description="Opened from this time on, RFC 3339.")] = None
    until: Annotated[Time | None, Field(description="Opened up to this time, without it.")] = None
