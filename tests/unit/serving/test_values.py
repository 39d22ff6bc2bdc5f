"""Values of answers as JSON, CSV and text that is harmless on a terminal."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from sluice.serving.values import cell, csv_lines, json_lines, plain, printable, table_cell, to_json

HOSTILE = "\x1b[31mred\x07 \x9b2J \u202eevil\u2028 [bold]x[/bold] \x7f\r\n\t\\"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=timezone.utc), "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 12, 0, 0, 120_000, timezone.utc), "2026-03-01T12:00:00.120Z"),
        (datetime(2026, 3, 1, 12, 0, 0, 123_456, timezone.utc), "2026-03-01T12:00:00.123456Z"),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T10:00:00Z"),
        (datetime(2026, 3, 1, 12), "2026-03-01T12:00:00Z"),
        (date(2026, 3, 1), "2026-03-01"),
        (time(12, 30), "12:30:00"),
        (timedelta(minutes=1), 60.0),
        (b'{"a": "\xc3\xa4"}\n', '{"a": "ä"}\n'),
        (b"\xff\x00", "0xff00"),
        (b"\x1b[31m", "0x1b5b33316d"),
        (b"", ""),
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("12"), 12),
        (Decimal("12.50"), 12.5),
        (10**30, 10**30),
        (True, True),
        (None, None),
        ({"a": b"x", 1: [datetime(2026, 3, 1), None]}, {"a": "x", "1": ["2026-03-01T00:00:00Z", None]}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_value_becomes_what_json_can_carry(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_dangerous_characters_are_written_out_and_others_stay() -> None:
    assert printable(HOSTILE) == (r"\x1b[31mred\x07 \x9b2J \u202eevil\u2028 [bold]x[/bold] \x7f\r\n\t" + "\\")
    assert printable("Zürich °C 東京 🌡") == "Zürich °C 東京 🌡"
    assert printable("\U000e0001") == r"\U000e0001"


def test_json_keeps_every_character_and_prints_none_that_is_dangerous() -> None:
    text = to_json({HOSTILE: [HOSTILE, "Zürich"]})

    assert json.loads(text) == {HOSTILE: [HOSTILE, "Zürich"]}
    assert text.isprintable()
    assert "Zürich" in text


def test_a_cell_is_one_line() -> None:
    assert [cell(value) for value in (None, 1.5, 3, False, "a\nb", ["x\n", None], {"k": 1})] == [
        "",
        "1.5",
        "3",
        "false",
        r"a\nb",
        r'["x\n", null]',
        '{"k": 1}',
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (18.984249999999996, "18.98425"),
        (-1 / 3, "-0.333333333"),
        (123456789.25, "123456789.0"),
        (2.5e-300, "2.5e-300"),
        (float("nan"), ""),
        (1234567890123, "1234567890123"),
        (None, ""),
    ],
)
def test_a_table_shows_nine_digits_of_a_float_and_all_of_an_integer(value: object, shown: str) -> None:
    assert table_cell(value) == shown


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_lines_are_one_array_of_objects(count: int) -> None:
    rows = [(number, b"\xff") for number in range(count)]

    text = "\n".join(json_lines(("a", "b"), rows))

    assert json.loads(text) == [{"a": number, "b": "0xff"} for number in range(count)]


def test_csv_has_a_header_quotes_what_it_must_and_leaves_null_empty() -> None:
    lines = list(csv_lines(("a", "b,c"), [('say "hi", you', None), ("x\ny", 1.5)]))

    assert lines == ['a,"b,c"', '"say ""hi"", you",', r"x\ny,1.5"]
    assert list(csv.reader(io.StringIO("\n".join(lines)))) == [["a", "b,c"], ['say "hi", you', ""], [r"x\ny", "1.5"]]
