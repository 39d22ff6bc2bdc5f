from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sluice.errors import InputInvalid
from sluice.sources.rows import Number, Row, RowFile, open_rows, parse_json, to_json


def file_of(tmp_path: Path, name: str, content: bytes) -> RowFile:
    path = tmp_path / name
    path.write_bytes(content)
    return open_rows(path, None, None)


def cells(file: RowFile, *columns: str) -> list[object]:
    return [row.cells for row in file.read(columns)]


def test_a_csv_file_is_read_by_its_columns_with_mark_quotes_and_any_line_ending(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", b'\xef\xbb\xbf"Date","Temp, C","x"\r\n"2015","21,5",\r\n\n2016,"a ""b""\nc",1')
    assert file.columns == ("Date", "Temp, C", "x")
    assert cells(file, "x", "Temp, C") == [["", "21,5"], ["1", 'a "b"\nc']]


def test_the_progress_of_a_csv_file_ends_at_its_size(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", b"a,b\n1,2\n3,4\n")
    assert [row.progress for row in file.read(["a"])] == [8, 12]
    assert file.size == 12


def test_a_row_with_another_number_of_cells_is_not_split(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", b"a,b\n1\n1,2\n1,2,3\n")
    assert list(file.read(["b"])) == [Row(None, b'"1"', 6), Row(["2"], b"", 10), Row(None, b'"1,2,3"', 16)]


def test_bytes_that_are_no_utf8_stay_what_they_were(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", b"name\n\xfcber\n")
    assert [to_json(cell) for row in file.read(["name"]) for cell in row.cells or ()] == [b'"\xfcber"']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it has no header"),
        (b"\n\n", "is empty: it has no header"),
        (b"2015-02-04 17:51:00,23.18\n", "has no header: its first line is 2015-02-04 17:51:00,23.18"),
        (b"\xff\xfea\x00", "is UTF-16, not UTF-8"),
    ],
)
def test_a_csv_file_without_a_header_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputInvalid, match=message):
        file_of(tmp_path, "a.csv", content)


def test_files_that_cannot_be_read_as_what_they_are_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="No such file"):
        open_rows(tmp_path / "missing.csv", None, None)
    with pytest.raises(InputInvalid, match="cannot tell the format"):
        file_of(tmp_path, "a.parquet", b"PAR1")
    with pytest.raises(InputInvalid, match="is not a SQLite database"):
        file_of(tmp_path, "a.db", b"nothing")
    with pytest.raises(InputInvalid, match="Is a directory"):
        open_rows(tmp_path, "csv", None)
    with pytest.raises(InputInvalid, match="--table goes with SQLite only"):
        open_rows(tmp_path / "a.parquet", "csv", "t")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "plant.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE readings ("at time" TEXT, value, device TEXT)')
        connection.executemany(
            "INSERT INTO readings VALUES (?, ?, ?)",
            [("2015", 22.18, "a"), ("2016", 5, None), ("2017", float("inf"), b"\xff")],
        )
    connection.close()
    return path


def test_a_database_is_read_in_order_with_the_digits_of_its_numbers(database: Path) -> None:
    file = open_rows(database, None, None)
    assert (file.columns, file.size) == (("at time", "value", "device"), 3)
    assert list(file.read(["device", "value", "at time"])) == [
        Row(["a", Number("22.18"), "2015"], b"", 1),
        Row([None, Number("5"), "2016"], b"", 2),
        Row(["\udcff", "inf", "2017"], b"", 3),
    ]


def test_of_several_tables_one_must_be_named(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute('CREATE TABLE "odd ""name" (k TEXT PRIMARY KEY, v) WITHOUT ROWID')
        connection.executemany('INSERT INTO "odd ""name" VALUES (?, ?)', [("b", 2), ("a", 1)])
    connection.close()
    with pytest.raises(InputInvalid, match="has several tables") as refused:
        open_rows(database, None, None)
    assert refused.value.hint == '--table with one of: readings, odd "name'
    with pytest.raises(InputInvalid, match="has no table nothing"):
        open_rows(database, None, "nothing")
    assert cells(open_rows(database, None, 'odd "name'), "k", "v") == [["a", Number("1")], ["b", Number("2")]]


def test_json_lines_keep_their_bytes_and_give_the_fields_asked_for(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": 1.50, "b": "x"}\r\n\nnot json\n{"b":null}')
    assert list(file.read(["a", "b"])) == [
        Row([Number("1.50"), "x"], b'{"a": 1.50, "b": "x"}', 26),
        Row(None, b"not json", 36),
        Row([None, None], b'{"b":null}', 46),
    ]


def test_an_object_with_a_field_twice_is_no_document() -> None:
    assert parse_json(b'{"a":1,"a":2}') is None
    assert parse_json(b'{"a":[{"b":1,"b":1}]}') is None
    assert parse_json(b"[" * 100_000) is None


@pytest.mark.parametrize("text", [b'{"a":[1,2.50,{"b":null}],"c":true}', b'"\xc3\xbc"', b"1e5"])
def test_json_that_was_read_is_written_with_the_same_digits(text: bytes) -> None:
    assert to_json(parse_json(text)) == text
