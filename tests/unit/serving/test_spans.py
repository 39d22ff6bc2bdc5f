"""What --from and --to of `sluice replay` mean."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sluice.errors import UsageError
from sluice.serving.spans import parse_buckets, parse_span
from sluice.tables.selection import At
from sluice.tables.spans import Buckets, Span, read_buckets, read_span

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
ONE = datetime(2026, 3, 1, 13, tzinfo=timezone.utc)
SPANS = {
    ("2026-03-01T12:00:00Z", "2026-03-01T14:00:00+01:00"): Span(since=NOON, until=ONE),
    ("2026-03-01T12:00:00Z", None): Span(since=NOON),
    (None, "2026-03-01T13:00:00Z"): Span(until=ONE),
    ("iot.raw:0:5", "iot.raw:0:9"): Span(first=At("iot.raw", None, 0, 5), last=At("iot.raw", None, 0, 9)),
    ("iot.raw:2:0:5", None): Span(first=At("iot.raw", 2, 0, 5)),
    (None, "iot.raw:3:9"): Span(last=At("iot.raw", None, 3, 9)),
    ("iot.raw:0:5", "iot.raw:0:5"): Span(first=At("iot.raw", None, 0, 5), last=At("iot.raw", None, 0, 5)),
}
REFUSED = {
    (None, None): "say from where",
    ("yesterday", None): "neither a time nor an offset",
    ("2026-03-01T12:00:00", None): "neither a time nor an offset",
    ("2026-03-01T12:00:00Z", "iot.raw:0:5"): "are a time and an offset",
    ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"): "is not after",
    ("iot.raw:0:5", "iot.raw:1:9"): "not of one partition",
    ("iot.raw:0:5", "iot.raw:1:0:9"): "not of one partition",
    ("iot.raw:0:9", "iot.raw:0:5"): "comes before",
}


@pytest.mark.parametrize(("bounds", "span"), SPANS.items())
def test_a_span_lies_between_two_times_or_two_offsets(bounds: tuple[str | None, str | None], span: Span) -> None:
    assert parse_span(*bounds) == span
    assert read_span(span.as_text()) == span


@pytest.mark.parametrize(("bounds", "reason"), REFUSED.items())
def test_what_bounds_no_part_of_bronze_is_refused(bounds: tuple[str | None, str | None], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_span(*bounds)


def test_people_read_what_was_meant() -> None:
    assert str(Span(since=NOON, until=ONE)) == "from 2026-03-01T12:00:00+00:00 before 2026-03-01T13:00:00+00:00"
    assert str(parse_span("iot.raw:0:5", "iot.raw:0:9")) == "from iot.raw:0:5 to iot.raw:0:9"
    assert str(parse_span(None, "iot.raw:2:0:9")) == "to iot.raw:2:0:9"


def test_a_minute_of_gold_is_meant_if_it_begins_between_the_times() -> None:
    assert parse_buckets("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z") == Buckets(((NOON, ONE),))
    assert parse_buckets("2026-03-01T11:59:00.5Z", "2026-03-01T12:59:59.999Z") == Buckets(((NOON, ONE),))
    whole = parse_buckets("2026-03-01T12:00:00Z", None)
    assert read_buckets(whole.as_text()) == whole
    assert whole.ranges[0][1].year == 9999
    assert read_buckets(Buckets((), "silver-rebuild-7").as_text()) == Buckets((), "silver-rebuild-7")


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (("iot.raw:0:5", None), "gold has no offsets"),
        ((None, None), "say from where"),
        (("2026-03-01T12:00:01Z", "2026-03-01T12:00:59Z"), "no minute begins"),
    ],
)
def test_what_bounds_no_minute_is_refused(bounds: tuple[str | None, str | None], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_buckets(*bounds)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"since": "today"}', '{"first": 3}', '{"ranges": [1]}'])
def test_a_text_that_says_nothing_of_the_kind_is_an_error(text: str) -> None:
    for read in (read_buckets, *([] if "ranges" in text else [read_span])):
        with pytest.raises(UsageError, match="does not say what is to be replayed"):
            read(text)
