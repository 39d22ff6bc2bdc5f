"""Messages as devices, careless programs and enemies send them, each with what must become of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

from sluice.schemas import CANONICAL_VALUES
from sluice.testing import utc
from sluice.transforms.parse import EVENT_COLUMNS

ABSENT = object()
TIME = "2024-01-01T11:59:58Z"
MOMENT = utc(2024, 1, 1, 11, 59, 58)
# Registered with `assume_time_zone: Europe/Berlin`.
BERLIN_DEVICE = "berlin-1"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Case(NamedTuple):
    """A message and its outcome: an error code, or the event's columns with `event_time` in microseconds."""

    rule: str
    message: bytes | None
    outcome: str | dict[str, Any]


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def event(**known: Any) -> dict[str, Any]:
    """EVENT_COLUMNS of the message that `v1()` gives, but for what is named; event_id from the content."""
    found: dict[str, Any] = dict.fromkeys(EVENT_COLUMNS)
    found.update(device_id="sensor-0001", event_time=micros(MOMENT), schema_version=1, temperature_celsius=21.5)
    found.update(known)
    if found["event_id"] is None:
        found["event_id"] = content_id_of(found)
    return found


def content_id_of(found: dict[str, Any]) -> str:
    """The formula in docs, written apart from Spark: microseconds | canonical values | device_id."""
    values = [found[name] for name in (*CANONICAL_VALUES, "device_id")]
    text = "|".join([str(found["event_time"]), *map(_written, values)])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _written(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{len(value)}:{value}" if isinstance(value, str) else java_text(value)


def java_text(number: float) -> str:
    """A finite number as Java's Double.toString writes it."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent
    if number == 0:
        body = "0.0"
    elif -3 < point <= 7:
        padded = text.ljust(point, "0") if point > 0 else "0" * (1 - point) + text
        whole = max(point, 1)
        body = f"{padded[:whole]}.{padded[whole:] or '0'}"
    else:
        body = f"{text[0]}.{text[1:] or '0'}E{point - 1}"
    return ("-" if sign else "") + body


def v1(**fields: Any) -> bytes:
    """A version-1 message; ABSENT takes a field away."""
    return _json({"device_id": "sensor-0001", "timestamp": TIME, "temperature": 21.5, **fields})


def v2(**fields: Any) -> bytes:
    """A version-2 message; ABSENT takes a field away."""
    return _json({"device_id": "sensor-0001", "timestamp": TIME, "event_id": "e-1", "temperature": 21.5, **fields})


def reading(**fields: Any) -> bytes:
    """A reading message; ABSENT takes a field away."""
    return _json({"id": "meter-0001", "dt": TIME, "value": 7.5, **fields})


def raw_v1(text: str) -> bytes:
    """A version-1 message without metric, with JSON text added to its fields as it stands."""
    return f'{{"device_id":"sensor-0001","timestamp":"{TIME}",{text}}}'.encode()


def _json(fields: dict[str, Any]) -> bytes:
    there = {name: value for name, value in fields.items() if value is not ABSENT}
    return json.dumps(there, ensure_ascii=False, separators=(",", ":")).encode()


def cases() -> list[Case]:
    """All cases."""
    groups = (_events, _spellings, _unreadable, _limits, _repeated, _versions, _missing, _types, _ids, _times)
    return [Case(*case) for group in groups for case in group()]


def _events() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    yield "a version-1 message is an event", v1(), event()
    yield "version 1 by its number", v1(schema_version=1, status="ok"), event(status="ok")
    yield (
        "version 1 with all of its fields",
        v1(humidity=40, status="ok"),
        event(humidity_percent=40.0, status="ok"),
    )
    two = {
        "pressure": 1013.25,
        "battery_level": 88,
        "location": {"latitude": 52.5, "longitude": -13.4},
        "firmware": "1.2.3",
    }
    canonical = {
        "pressure_hpa": 1013.25,
        "battery_percent": 88.0,
        "latitude": 52.5,
        "longitude": -13.4,
        "firmware": "1.2.3",
        "schema_version": 2,
    }
    yield "version 2 with all of its fields", v2(**two), event(event_id="e-1", **canonical)
    yield "version 2 without event_id", v2(**two, event_id=ABSENT), event(**canonical)
    yield "version 2 by its number alone", v1(schema_version=2), event(schema_version=2)
    yield (
        "version 2 with half a location",
        v2(location={"latitude": 1.5}),
        event(event_id="e-1", schema_version=2, latitude=1.5),
    )
    yield "version 2 with an empty location", v2(location={}), event(event_id="e-1", schema_version=2)
    measured = {"device_id": "meter-0001", "schema_version": 0, "temperature_celsius": None}
    yield "a reading", reading(), event(**measured, value=7.5)
    yield "a reading that names another device too", reading(device_id="x"), event(**measured, value=7.5)
    yield "null counts as absent", v1(humidity=None, status=None, event_id=None, location=None), event()
    yield (
        "a null in a location counts as absent",
        v2(location={"latitude": None}),
        event(event_id="e-1", schema_version=2),
    )
    yield "a null schema_version counts as absent", v1(schema_version=None), event()
    yield "fields nobody knows are no error", v1(colour="red", deep={"a": [1, {"b": None}]}), event()
    yield "a field in other case is one that nobody knows", v1(Humidity=5), event()
    yield "version 1 ignores what only version 2 has", v1(schema_version=1, pressure="no number"), event()
    yield "an empty text stays", v1(status=""), event(status="")
    yield "a text may hold all of JSON's own signs", v1(status='{"a":1},[}":"\\'), event(status='{"a":1},[}":"\\')
    yield "a text may hold a colon between quotes' neighbours", v1(status=":"), event(status=":")
    yield "a name may hold a paired surrogate", raw_v1('"temperature":21.5,"\\ud83c\\udf21":1'), event()
    yield "a name may hold a backslash and ud800", raw_v1('"temperature":21.5,"\\\\ud800":1'), event()
    broken = raw_v1('"temperature":21.5,"status":"\\ud800"')
    yield "a lone surrogate in a text is shown as a question mark", broken, event(status="?")
    lookalike = raw_v1('"temperature":21.5,"x":"\\ud800","y":["\\" :\\udc00"]')
    yield "a lone surrogate in a text nobody knows is no matter", lookalike, event()
    yield "a text may hold other scripts", v1(status="gut 温度 \U0001f321"), event(status="gut 温度 \U0001f321")
    yield "metrics may be 0", v1(temperature=0), event(temperature_celsius=0.0)


def _spellings() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    yield (
        "blanks around everything",
        b' \t\r\n{ "device_id" : "sensor-0001" ,\n"timestamp":\t"%s", "temperature" : 21.5 } \n' % TIME.encode(),
        event(),
    )
    yield (
        "keys in any order",
        b'{"temperature":21.5,"timestamp":"%s","device_id":"sensor-0001"}' % TIME.encode(),
        event(),
    )
    yield "keys written with escapes", v1().replace(b'"temperature"', b'"\\u0074emperature"'), event()
    yield "values written with escapes", v1().replace(b"sensor-0001", b"\\u0073ensor\\u002D0001"), event()
    yield "an exponent", raw_v1('"temperature":2.15E+1'), event()
    yield "trailing zeros", raw_v1('"temperature":21.50000'), event()
    yield "a number of 40 digits", raw_v1('"temperature":' + "21.5" + "0" * 40), event()
    yield "a very small number", raw_v1('"temperature":2.5e-300'), event(temperature_celsius=2.5e-300)
    yield "a number too small to hold is 0", raw_v1('"temperature":1e-400'), event(temperature_celsius=0.0)
    yield "-0.0 is 0.0", raw_v1('"temperature":-0.0'), event(temperature_celsius=0.0)
    yield "-0 is 0.0", raw_v1('"temperature":-0'), event(temperature_celsius=0.0)
    yield (
        "-0.0 in a reading is 0.0",
        reading(value=-0.0),
        event(device_id="meter-0001", schema_version=0, temperature_celsius=None, value=0.0),
    )
    yield "-1e-400 is 0.0", raw_v1('"temperature":-1e-400'), event(temperature_celsius=0.0)
    yield "2^63 is a number like others", raw_v1(f'"temperature":{2**63}'), event(temperature_celsius=float(2**63))
    yield "an escaped NUL in a text stays", raw_v1('"temperature":21.5,"status":"a\\u0000b"'), event(status="a\0b")


def _unreadable() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    for rule, message in (
        ("a null value", None),
        ("no byte", b""),
        ("blanks alone", b" \t\r\n "),
        ("an empty object", b"{}"),
        ("an empty object among blanks", b" \n{ \t} "),
    ):
        yield f"{rule}: empty", message, "EMPTY_MESSAGE"
    for rule, message in (
        ("bad UTF-8", v1(status="X").replace(b"X", b"\xff")),
        ("bad UTF-8 in a key nobody knows", v1(X=1).replace(b"X", b"\xc3\x28")),
        ("UTF-8 that is cut off", v1(status="X").replace(b"X", b"\xe2\x82")),
        ("an overlong slash", v1(status="X").replace(b"X", b"\xc0\xaf")),
        ("a surrogate written in UTF-8", v1(status="X").replace(b"X", b"\xed\xa0\x80")),
        ("a code point beyond Unicode", v1(status="X").replace(b"X", b"\xf4\x90\x80\x80")),
        ("UTF-16 with a mark", v1().decode().encode("utf-16")),
        ("gzip", b"\x1f\x8b\x08\x00\x00"),
    ):
        yield f"{rule}: not UTF-8", message, "NOT_UTF8"
    for rule, message in (
        ("UTF-16 without a mark", v1().decode().encode("utf-16-le")),
        ("UTF-32 without a mark", v1().decode().encode("utf-32-be")),
        ("a byte order mark", b"\xef\xbb\xbf" + v1()),
        ("a NUL before", b"\0" + v1()),
        ("a NUL behind", v1() + b"\0"),
        ("a NUL in a text", v1(status="X").replace(b"X", b"\0")),
        ("a line break in a text", v1(status="X").replace(b"X", b"\n")),
        ("trailing text", v1() + b"x"),
        ("a closing brace too much", v1() + b"}"),
        ("a second object", v1() + v1()),
        ("a second object in the next line", v1() + b"\n" + v1()),
        ("two objects and a comma", v1() + b"," + v1()),
        ("a bracket that closes what never opened", v1() + b"],[1"),
        ("a brace that closes what never opened", v1() + b',"v2":{}'),
        ("single quotes", v1().replace(b'"', b"'")),
        ("keys without quotes", b'{device_id:"a"}'),
        ("NaN", raw_v1('"temperature":NaN')),
        ("Infinity", raw_v1('"temperature":Infinity')),
        ("-Infinity", raw_v1('"temperature":-Infinity')),
        ("NaN in a field nobody knows", raw_v1('"temperature":21.5,"x":NaN')),
        ("a lone surrogate in a name", raw_v1('"temperature":21.5,"\\ud800imestamp":1')),
        ("a lone surrogate in a name that ends in blanks", raw_v1('"temperature":21.5,"a\\"\\uDfFf" \n:1')),
        ("a lone surrogate in a name deep inside", raw_v1('"temperature":21.5,"x":[{"a":1,"\\udc00":{}}]')),
        ("two names that differ in their lone surrogate", raw_v1('"temperature":21.5,"\\ud800":1,"\\ud801":2')),
        ("a number with a leading 0", raw_v1('"temperature":021.5')),
        ("a number with a plus", raw_v1('"temperature":+21.5')),
        ("a number that begins with its point", raw_v1('"temperature":.5')),
        ("a number that ends with its point", raw_v1('"temperature":21.')),
        ("a hexadecimal number", raw_v1('"temperature":0x15')),
        ("a number with underscores", raw_v1('"temperature":2_1.5')),
        ("an exponent without digits", raw_v1('"temperature":2e')),
        ("digits of another script", raw_v1('"temperature":２１')),
        ("True of Python", raw_v1('"temperature":21.5,"x":True')),
        ("a trailing comma", v1()[:-1] + b",}"),
        ("a missing comma", v1().replace(b",", b" ")),
        ("a missing value", raw_v1('"temperature":')),
        ("a comment", v1()[:-1] + b"/* x */}"),
        ("an unknown escape", raw_v1('"temperature":21.5,"status":"\\x41"')),
        ("half an escape", raw_v1('"temperature":21.5,"status":"\\u00"')),
        ("a text that is not closed", b'{"device_id":"sensor-0001'),
        ("a message that is cut off", v1()[:-5]),
        ("a no-break space between", v1().replace(b":", "\u00a0:".encode(), 1)),
        ("a form feed before", b"\x0c" + v1()),
        ("no JSON at all", b"temperature=21.5"),
        ("XML", b"<event device_id='a'/>"),
        ("CSV", b"sensor-0001,2024-01-01T11:59:58Z,21.5"),
        ("Avro in Confluent's format", b"\x00\x00\x00\x00\x07\x0esensor"),
    ):
        yield f"{rule}: not JSON", message, "NOT_JSON"
    for message in (b"null", b"true", b"12", b"-1.5e3", b'"text"', b"[]", b"[1,2]", b" 7 "):
        yield f"{message.decode()}: no object", message, "NOT_OBJECT"
    yield "a list of one event: no object", b"[" + v1() + b"]", "NOT_OBJECT"
    yield "a list of two events: no object", b"[" + v1() + b"," + v1() + b"]", "NOT_OBJECT"
    yield "a text that holds an event: no object", json.dumps(v1().decode()).encode(), "NOT_OBJECT"


def _limits() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    mebibyte = 1024 * 1024
    filler = mebibyte - len(v1(x=""))
    yield "1 MiB to the byte is read", v1(x="a" * filler), event()
    yield "a byte more than 1 MiB is too large", v1(x="a" * (filler + 1)), "TOO_LARGE"
    yield "what is too large need not be JSON", b"\xff" * (mebibyte + 1), "TOO_LARGE"
    yield "blanks alone may be too large", b" " * (mebibyte + 1), "TOO_LARGE"
    yield "a text of 1,024 characters is read", v1(status="é" * 1024), event(status="é" * 1024)
    yield "a text of 1,025 characters is too large", v1(status="a" * 1025), "TOO_LARGE"
    yield "a time of 2,000 characters is too large", v1(timestamp="2" * 2000), "TOO_LARGE"
    yield "a text nobody knows may be longer", v1(x="a" * 100_000), event()
    yield "100,000 escapes are read", v1(x="\n" * 100_000), event()
    yield "10,000 fields nobody knows are read", v1(**{f"x{i}": i for i in range(10_000)}), event()
    yield "nesting of 32 is read", v1(x=_nested(31)), event()
    yield "nesting of 33 is too deep", v1(x=_nested(32)), "TOO_DEEP"
    yield "objects nest as lists do", raw_v1('"temperature":21.5,"x":' + '{"a":' * 32 + "1" + "}" * 32), "TOO_DEEP"
    yield "brackets in a text are no nesting", v1(status="[" * 100), event(status="[" * 100)
    yield "many lists side by side are no nesting", v1(x=[[]] * 1000), event()
    yield "100,000 nested lists are too deep", b"[" * 100_000 + b"]" * 100_000, "TOO_DEEP"
    yield "100,000 nested objects are too deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "TOO_DEEP"
    yield "100,000 lists that never close are too deep", b"[" * 100_000, "TOO_DEEP"
    yield "100,000 lists that never opened are not JSON", b"]" * 100_000, "NOT_JSON"
    yield "33 lists that never close are too deep", b"[" * 33, "TOO_DEEP"
    yield "32 lists that never close are not JSON", b"[" * 32, "NOT_JSON"
    yield "a number of 2,000 digits is too large", raw_v1('"temperature":' + "1" * 2000), "TOO_LARGE"
    yield "a field's name of 60,000 characters is too large", v1(**{"x" * 60_000: 1}), "TOO_LARGE"


def _nested(depth: int) -> Any:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]
    return nested


def _repeated() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    for rule, text in (
        ("a metric twice", '"temperature":1,"temperature":2'),
        ("a metric twice alike", '"temperature":1,"temperature":1'),
        ("null and a value", '"temperature":null,"temperature":1'),
        ("an identity twice", '"temperature":1,"device_id":"other"'),
        ("a field nobody knows twice", '"temperature":1,"x":1,"x":1'),
        ("twice, once with an escape", '"temperature":1,"\\u0074emperature":2'),
        ("twice in a location", '"temperature":1,"location":{"latitude":1,"latitude":2}'),
        ("twice, deep in what nobody knows", '"temperature":1,"x":[{"y":{"a":1,"a":2}}]'),
        ("in other case", '"temperature":1,"Temperature":2'),
        ("in other case, nobody knows it", '"temperature":1,"x":2,"X":2'),
        ("in other case, by an escape", '"temperature":1,"\\u0054emperature":2'),
        ("in other case, in a location", '"temperature":1,"location":{"latitude":1,"Latitude":2}'),
        ("in other case, device", '"temperature":1,"DEVICE_ID":"other"'),
    ):
        yield f"{rule}: repeated", raw_v1(text), "DUPLICATE_FIELD"
    yield "one name at two levels is not repeated", v1(x={"temperature": 1}), event()


def _versions() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    yield "a version nobody registered", v1(schema_version=7), "UNKNOWN_VERSION"
    yield "a reading of a version nobody registered", reading(schema_version=7), "UNKNOWN_VERSION"
    yield "the number that is only stored", v1(schema_version=0), "UNKNOWN_VERSION"
    yield "a reading that names the number that is only stored", reading(schema_version=0), "UNKNOWN_VERSION"
    yield "version 2^63", raw_v1(f'"temperature":1,"schema_version":{2**63}'), "UNKNOWN_VERSION"
    yield "version -1", v1(schema_version=-1), "UNKNOWN_VERSION"
    yield (
        "an unregistered version weighs more than wrong fields",
        b'{"schema_version":7,"device_id":5}',
        "UNKNOWN_VERSION",
    )
    yield "fields of no version", b'{"foo":1}', "UNKNOWN_VERSION"
    yield "a metric alone", b'{"temperature":21.5}', "UNKNOWN_VERSION"
    yield "a reading within a version-1 event", v1(id="m", dt=TIME, value=1), "AMBIGUOUS_VERSION"
    yield "a reading that names version 1", reading(schema_version=1), "AMBIGUOUS_VERSION"
    yield "a reading within a version-2 event", v2(id="m", dt=TIME, value=1), "AMBIGUOUS_VERSION"
    for text in ('"1"', "1.0", "1e0", "true", "[1]", "{}", "1.5"):
        message = raw_v1(f'"temperature":1,"schema_version":{text}')
        yield f"schema_version {text} is no whole number", message, "WRONG_TYPE"


def _missing() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    yield "no time", v1(timestamp=ABSENT), "MISSING_FIELD"
    yield "no device", v1(device_id=ABSENT), "MISSING_FIELD"
    yield "a null device", v1(device_id=None), "MISSING_FIELD"
    yield "a null time in version 2", v2(timestamp=None), "MISSING_FIELD"
    yield "version 1 by its number without time", v1(schema_version=1, timestamp=ABSENT), "MISSING_FIELD"
    yield "version 2 without device", v2(device_id=ABSENT), "MISSING_FIELD"
    yield "a reading without value", reading(value=ABSENT), "MISSING_FIELD"
    yield "a reading whose value is null", reading(value=None), "MISSING_FIELD"
    yield "a reading without time", reading(dt=ABSENT), "MISSING_FIELD"
    yield "no metric", v1(temperature=ABSENT, status="ok"), "NO_METRIC"
    yield "a null metric", v1(temperature=None), "NO_METRIC"
    yield "a location is no metric", v2(temperature=ABSENT, location={"latitude": 1}), "NO_METRIC"
    yield "a metric of another version is none", v1(schema_version=1, temperature=None, pressure=1000), "NO_METRIC"


def _types() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    for text in ('"21.5"', '""', "true", "false", "[21.5]", '{"value":21.5}', '"NaN"', "1e400", "-1e400", "1" * 400):
        yield f"temperature {text[:20]} is no finite number", raw_v1(f'"temperature":{text}'), "WRONG_TYPE"
    for name, value in (
        ("device_id", 12),
        ("device_id", True),
        ("device_id", ["sensor-0001"]),
        ("device_id", {"id": "sensor-0001"}),
        ("device_id", {}),
        ("status", 5),
        ("status", False),
        ("status", {}),
        ("timestamp", 1704110398),
        ("timestamp", 1704110398000),
        ("timestamp", 1704110398.5),
        ("timestamp", [TIME]),
    ):
        yield f"{name} {value} is no text", v1(**{name: value}), "WRONG_TYPE"
    yield "a numeric event_id is no text", v2(event_id=1), "WRONG_TYPE"
    yield "a location that is a text", v2(location="52.5,13.4"), "WRONG_TYPE"
    yield "a location that is a list", v2(location=[52.5, 13.4]), "WRONG_TYPE"
    yield "a latitude that is a text", v2(location={"latitude": "52.5"}), "WRONG_TYPE"
    yield "a latitude beyond all numbers", v2(location={"latitude": 0}).replace(b":0", b":1e999"), "WRONG_TYPE"
    yield "a reading whose value is a text", reading(value="7.5"), "WRONG_TYPE"
    yield "a reading whose id is a number", reading(id=7), "WRONG_TYPE"


def _ids() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    for rule, text in (
        ("nothing", ""),
        ("a space", " "),
        ("a tab", "\t"),
        ("a NUL", "sensor\\u0000"),
        ("a line break", "sensor\\n1"),
        ("an escape character", "\\u001b[31msensor"),
        ("DEL", "sensor\x7f"),
        ("a C1 control", "sensor\u0085"),
        ("a right-to-left override", "sensor\u202e1000"),
        ("a left-to-right mark", "sensor\\u200e"),
        ("a zero-width space", "sen\u200bsor"),
        ("a byte order mark", "\ufeffsensor"),
        ("a line separator", "sensor\u2028"),
        ("a lone high surrogate", "sensor\\ud800"),
        ("a lone low surrogate", "sensor\\udc00x"),
        ("surrogates in the wrong order", "\\udc00\\ud800"),
        ("two high surrogates, one paired", "\\ud83d\\ud83d\\ude00"),
        ("257 characters", "s" * 257),
        ("10 KB", "s" * 10_240),
    ):
        if "\t" not in text:
            yield f"device_id of {rule}", v1(device_id="X").replace(b'"X"', f'"{text}"'.encode()), "BAD_ID"
            yield f"event_id of {rule}", v2(event_id="X").replace(b'"X"', f'"{text}"'.encode()), "BAD_ID"
    yield "device_id of a tab", v1(device_id="\t"), "BAD_ID"
    yield "a reading's id of a tab", reading(id="\t"), "BAD_ID"
    for text in (
        "'; DROP TABLE silver.readings; --",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "$(reboot) `id` ${jndi:ldap://x}",
        "=cmd|' /C calc'!A0",
        "%s%n{0}",
        "?",
        "null",
        "sensor 1 of hall 2",
        "Gerät-温度-\U0001f321",
        "\\\\server\\share",
        'quote"d',
        "s" * 256,
    ):
        yield f"device_id {text[:40]} is inert text", v1(device_id=text), event(device_id=text)
        yield f"event_id {text[:40]} is inert text", v2(event_id=text), event(event_id=text, schema_version=2)
    paired = v1(device_id="X").replace(b'"X"', b'"\\ud83c\\udf21"')
    yield "a paired surrogate is a character", paired, event(device_id="\U0001f321")
    spelt = v1(device_id="X").replace(b'"X"', b'"\\\\ud800"')
    yield "a backslash and ud800 are no surrogate", spelt, event(device_id="\\ud800")


def _times() -> Iterator[tuple[str, bytes | None, str | dict[str, Any]]]:
    for text, moment in (
        ("2024-01-01T12:59:58+01:00", MOMENT),
        ("2024-01-01T11:59:58-00:00", MOMENT),
        ("2024-01-01T11:59:58z", MOMENT),
        ("2024-01-01t11:59:58Z", MOMENT),
        ("2024-01-01 11:59:58Z", MOMENT),
        ("2024-01-02T05:59:58+18:00", MOMENT),
        ("2024-01-01T11:59:58.5Z", utc(2024, 1, 1, 11, 59, 58, 500_000)),
        ("2024-01-01T11:59:58.123456Z", utc(2024, 1, 1, 11, 59, 58, 123_456)),
        ("2024-01-01T11:59:58.123456789Z", utc(2024, 1, 1, 11, 59, 58, 123_456)),
        ("2024-02-29T00:00:00Z", utc(2024, 2, 29)),
        ("1969-12-31T23:59:59Z", utc(1969, 12, 31, 23, 59, 59)),
        ("9999-12-31T23:59:59.999999Z", utc(9999, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01T00:00:00Z", utc(1, 1, 1)),
    ):
        yield f"the time {text}", v1(timestamp=text), event(event_time=micros(moment))
    before_year_one = micros(utc(1, 1, 1)) - 366 * 86_400_000_000
    yield "the year 0000 is a time", v1(timestamp="0000-01-01T00:00:00Z"), event(event_time=before_year_one)
    past_9999 = micros(utc(9999, 12, 31)) + 86_400_000_000
    yield "an hour past 9999 is a time", v1(timestamp="9999-12-31T23:00:00-01:00"), event(event_time=past_9999)
    for text in (
        "",
        " ",
        "now",
        "today",
        "epoch",
        "12:34",
        "T12:34Z",
        "2024",
        "2024-01",
        "2024-01-01",
        "2024-01-01Z",
        "2024-01-01T11Z",
        "2024-01-01T11:59Z",
        "2024-1-1T11:59:58Z",
        "20240101T115958Z",
        "1704110398",
        "1704110398000",
        "2024-01-01T11:59:60Z",
        "2016-12-31T23:59:60Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T11:60:00Z",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "+2024-01-01T00:00:00Z",
        "2024-01-01T11:59:58+19:00",
        "2024-01-01T11:59:58+18:01",
        "2024-01-01T11:59:58+01:60",
        "2024-01-01T11:59:58+0100",
        "2024-01-01T11:59:58+01",
        "2024-01-01T11:59:58 Z",
        "2024-01-01T11:59:58UTC",
        "2024-01-01T11:59:58 Europe/Berlin",
        "2024-01-01T11:59:58Z[Europe/Berlin]",
        "2024-01-01T11:59:58,5Z",
        "2024-01-01T11:59:58.Z",
        "2024-01-01T11:59:58.1234567890Z",
        " 2024-01-01T11:59:58Z",
        "2024-01-01T11:59:58Z ",
        "2024-01-01T11:59:58Z\n",
        "2024-01-01T11:59:58Z\r\n",
        "2024-01-01T11:59:58Z\u0085",
        "2024-01-01T11:59:58Z\u2028",
        "２０２４-01-01T11:59:58Z",
        "2024-01-01T11:59:58−01:00",
        "Mon, 01 Jan 2024 11:59:58 GMT",
        "2024-W01-1T11:59:58Z",
    ):
        yield f"the time {text!r} is none", v1(timestamp=text), "BAD_TIME"
    yield "a reading's time that is none", reading(dt="yesterday"), "BAD_TIME"
    for text in ("2024-01-01T11:59:58", "2024-01-01 11:59:58.5", "2024-02-30T00:00:00"):
        yield f"the time {text} has no offset", v1(timestamp=text), "TIME_WITHOUT_OFFSET"
    local = {"device_id": BERLIN_DEVICE}
    for text, moment in (
        ("2024-01-01T12:59:58", MOMENT),
        ("2024-07-01T12:00:00.25", utc(2024, 7, 1, 10, 0, 0, 250_000)),
        ("2024-01-01T11:59:58Z", MOMENT),
    ):
        found = event(**local, event_time=micros(moment))
        yield f"the time {text} of a device whose zone is registered", v1(**local, timestamp=text), found
    yield "a zone makes no day of Feb 30", v1(**local, timestamp="2024-02-30T00:00:00"), "BAD_TIME"
    yield "a zone makes no time of a date", v1(**local, timestamp="2024-01-01"), "BAD_TIME"
    yield "a local time that ends in a line break is none", v1(**local, timestamp="2024-01-01T12:59:58\n"), "BAD_TIME"
    named = reading(id=BERLIN_DEVICE, device_id="x", dt="2024-01-01T12:59:58")
    measured = event(**local, schema_version=0, temperature_celsius=None, value=7.5)
    yield "the zone is that of the device whose reading it is", named, measured
