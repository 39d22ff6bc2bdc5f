"""Values of an answer as JSON, CSV or text that cannot do anything to a terminal. Pure."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

# Categories of characters that move the cursor, start an escape sequence, or reorder or hide what stands beside
# them: controls, formats (bidi overrides, zero width), surrogates, line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NON_ASCII_OR_CONTROL = re.compile(r"[^\x20-\x7e]")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain(value: object) -> object:
    """A value of an answer as JSON can carry it.

    Times are RFC 3339 in UTC ending in Z (a time without zone is taken as UTC). Bytes are their text where they
    are readable UTF-8, else `0x` and hex. NaN and the infinities, which JSON lacks, are null. Exact decimals are
    integers where they are whole, else floats.
    """
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return readable_bytes(bytes(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value.isoformat() if isinstance(value, (date, time)) else _other(value)


def _other(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def rfc3339(moment: datetime) -> str:
    """A moment in UTC ending in Z, with as many decimals as it needs (0, 3 or 6)."""
    utc = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    fraction = "microseconds" if utc.microsecond % 1000 else "milliseconds"
    precision = fraction if utc.microsecond else "seconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")


def readable_bytes(content: bytes) -> str:
    """The text of UTF-8 bytes if a person can read it, else `0x` and hex."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{content.hex()}"
    readable = all(character in _SHORT_ESCAPES or not _unsafe(character) for character in text)
    return text if readable else f"0x{content.hex()}"


def bytes_text(content: bytes) -> str:
    r"""The text of bytes, those that are not UTF-8 written out as `\xff`; it may hold any character."""
    return content.decode("utf-8", "backslashreplace")


def printable(text: str) -> str:
    r"""The text with every character that is not simply visible written out: `\n`, `\x1b`, `\u202e`."""
    return _NON_ASCII_OR_CONTROL.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    if not _unsafe(character):
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE_CATEGORIES


def cell(value: object) -> str:
    """A value as one line of harmless text, for tables and CSV; null is empty."""
    simple = plain(value)
    if simple is None:
        return ""
    if isinstance(simple, str):
        return printable(simple)
    if isinstance(simple, float):
        return repr(simple)
    return printable(json.dumps(simple, ensure_ascii=False))


def table_cell(value: object) -> str:
    """As `cell`, for eyes: of the digits of a float nine, so that 18.984249999999996 is 18.98425."""
    return cell(float(f"{value:.9g}") if isinstance(value, float) else value)


def to_json(value: object) -> str:
    r"""One JSON document whose strings keep every character, the dangerous ones as `\u001b` escapes."""
    return _NON_ASCII_OR_CONTROL.sub(_json_escaped, json.dumps(value, ensure_ascii=False))


def _json_escaped(match: re.Match[str]) -> str:
    character = match[0]
    return json.dumps(character)[1:-1] if _unsafe(character) else character


def json_lines(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    """The lines of one JSON array with an object a row; streams."""
    start = "["
    pending = ""
    for row in rows:
        if pending:
            yield f"{start}{pending},"
            start = " "
        pending = to_json({name: plain(value) for name, value in zip(columns, row, strict=True)})
    yield f"{start}{pending}]"


def csv_lines(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    """The lines of RFC 4180 text with a header; streams. Null is an empty field; control characters are written out."""
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line(row)


def _csv_line(values: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([cell(value) for value in values])
    return buffer.getvalue()
