"""The query `books`: every record is in one place, and one that is not shows as a difference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .lake_builder import ask, at, bronze, build_lake, copy_of, minute, promotion, reading, refused


def silver_books(**odd: list[Mapping[str, object]]) -> dict[str, list[Mapping[str, object]]]:
    """Ten records: four promoted, two quarantined (and one replayed), one duplicate, one held, two pending."""
    return {
        "bronze.events": [bronze(offset) for offset in range(10)],
        "silver.readings": [reading(offset, at("12:00:00"), humidity_percent=40.0) for offset in range(4)],
        "silver.quarantine": [
            refused(4, "NOT_JSON"),
            refused(5, "NOT_JSON", status="discarded"),
            refused(3, "BAD_ID", status="replayed"),
        ],
        "silver.duplicates": [copy_of(6, at("12:00:00"))],
        "silver.held": [{"offset": 7, "status": "open"}, {"offset": 2, "status": "approved"}],
        "ops.silver_promotions": [
            promotion(1, rows_in=8),
            promotion(2, rows_in=1, kind="replay"),
            promotion(3, rows_in=1, kind="approve"),
        ],
        **odd,
    }


def books_row(layer: str, *counts: int) -> dict[str, object]:
    columns = ("rows_in", "promoted", "quarantined", "duplicate", "held", "pending", "difference")
    return {"layer": layer, **dict(zip(columns, counts, strict=True))}


def test_books_balance_with_pending_replayed_and_approved_rows(tmp_path: Path) -> None:
    minutes = [minute(at("12:00:00"), reading_count=4), minute(at("12:01:00"), reading_count=2)]
    refused_minutes = [
        {**minute(at("12:01:00"), reading_count=3), "status": "open"},
        {**minute(at("12:02:00"), reading_count=1), "status": "superseded"},
    ]
    for row in refused_minutes:
        row.pop("bucket_date")
    lake = build_lake(tmp_path, silver_books(**{"gold.readings_1min": minutes, "gold.held": refused_minutes}))

    assert ask(lake, "books") == [
        books_row("silver", 10, 4, 2, 1, 1, 2, 0),
        books_row("gold", 8, 6, 0, 0, 1, 1, 0),
    ]


def test_books_show_a_record_that_is_nowhere_and_one_that_is_twice(tmp_path: Path) -> None:
    lost = build_lake(tmp_path / "lost", silver_books(**{"silver.duplicates": []}))
    twice = build_lake(
        tmp_path / "twice",
        silver_books(
            **{
                "silver.duplicates": [copy_of(6, at("12:00:00")), copy_of(6, at("12:00:00"))],
                "gold.readings_1min": [minute(at("12:00:00"), reading_count=9)],
            }
        ),
    )

    assert ask(lost, "books") == [books_row("silver", 10, 4, 2, 0, 1, 2, 1), books_row("gold", 8, 0, 0, 0, 0, 8, 0)]
    assert ask(twice, "books") == [books_row("silver", 10, 4, 2, 2, 1, 2, -1), books_row("gold", 8, 9, 0, 0, 0, 0, -1)]


def test_books_of_a_lake_with_bronze_alone_are_all_pending(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": [bronze(1)]})

    assert ask(lake, "books") == [books_row("silver", 1, 0, 0, 0, 0, 1, 0), books_row("gold", 0, 0, 0, 0, 0, 0, 0)]
