"""Which records a promotion took, read off the ledger."""

from __future__ import annotations

from sluice.pipelines.shadow import Span, spans_of


def test_a_promotion_took_what_lies_after_all_earlier_ones_in_each_stream() -> None:
    ledger = [
        {"promotion_id": "p0", "offsets": {"iot:raw:1:0": 9, "iot:raw:1:1": 4}},
        {"promotion_id": "p1", "offsets": {"iot:raw:1:1": 7}},
        {"promotion_id": "p2", "offsets": {"iot:raw:1:0": 12, "iot:raw:2:0": 3}},
        {"promotion_id": "p3", "offsets": None},
    ]

    assert spans_of(ledger) == {
        "p0": (Span("iot:raw", 1, 0, -1, 9), Span("iot:raw", 1, 1, -1, 4)),
        "p1": (Span("iot:raw", 1, 1, 4, 7),),
        "p2": (Span("iot:raw", 1, 0, 9, 12), Span("iot:raw", 2, 0, -1, 3)),
        "p3": (),
    }
