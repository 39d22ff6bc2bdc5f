"""Messages made at random, and a judge of strict JSON that shares no code with Spark."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

from .messages import event, micros

_NO_CONSTANT = "NaN and Infinity are no JSON"
_TEXTS = (
    "ok",
    "",
    "degraded",
    "a:b",
    '{"x":1}',
    "温度",
    "\U0001f321",
    "tab\there",
    'quote"',
    "back\\slash",
    "}",
    "\x7f",
)
_IDS = ("sensor-0001", "s", "Gerät 7", "../x", "a'b", "\U0001f321", "x" * 256, "{}", ":", "e-1")
_PIECES = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\",
    b"\\u00",
    b"\\ud800",
    b"\\uDC00",
    b'"\\ud83d\\ude00":1,',
    b"0",
    b"-",
    b".",
    b"e9",
    b"null",
    b"NaN",
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"{}",
    b'"x":1,',
    b"'",
    b"//",
    b"T",
    b"1e400",
    b'""',
)


class NotStrict(ValueError):
    """A message is no JSON object after RFC 8259."""


def is_strict_object(message: bytes) -> bool:
    """Whether the bytes are one JSON object after RFC 8259, in UTF-8 without mark, no name repeated in any case.

    Names are compared without case at the top and in `location` only, as the contract's fields lie there; a name
    with half a surrogate pair is none.
    """
    try:
        found = json.loads(
            message.decode("utf-8"),
            object_pairs_hook=_unrepeated,
            parse_constant=_refuse,
            parse_int=str,
            parse_float=str,
        )
    except (UnicodeDecodeError, ValueError):
        return False
    if not isinstance(found, dict):
        return False
    location = found.get("location")
    return not any(_repeats_in_other_case(each) for each in (found, location) if isinstance(each, dict))


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if any("\ud800" <= character <= "\udfff" for name, _ in pairs for character in name):
        raise NotStrict("a name has a lone surrogate")
    if len(dict(pairs)) != len(pairs):
        raise NotStrict("a name is repeated")
    return dict(pairs)


def _refuse(_: str) -> Any:
    raise NotStrict(_NO_CONSTANT)


def _repeats_in_other_case(found: dict[str, Any]) -> bool:
    return len({name.lower() for name in found}) != len(found)


class Speller(Random):
    """Chance, and whether the event it makes now is spelt as devices do: what the fast half can be certain of."""

    is_plain = False

    def text(self, texts: tuple[str, ...]) -> str:
        """One of the texts, while plain one that needs no escape."""
        return self.choice([each for each in texts if not self.is_plain or each.replace("-", "").isalnum()])


def make_event(random: Speller) -> tuple[bytes, dict[str, Any]]:
    """A valid event of any version in any spelling, and EVENT_COLUMNS of what it says."""
    random.is_plain = random.random() < 0.5
    make = random.choice((_version_1, _version_2, _reading))
    fields, columns = make(random)
    if not random.is_plain and random.random() < 0.3:
        fields.append(
            (
                random.choice(("x", "colour", "größe", "Temperature2")),
                random.choice(("1", "null", '"a"', "[1,{}]", "true")),
            )
        )
    if not random.is_plain and random.random() < 0.3:
        absent = {"status", "humidity", "pressure", "schema_version", "nothing"} - {name for name, _ in fields}
        fields.append((random.choice(sorted(absent)), "null"))
    random.shuffle(fields)
    return _spell_object(random, fields), event(temperature_celsius=columns.pop("temperature_celsius", None), **columns)


def _version_1(random: Speller) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    fields, columns = _head(random, "device_id", "timestamp", 1)
    if random.random() < 0.3:
        fields.append(("schema_version", "1"))
    _add_numbers(random, fields, columns, {"temperature": "temperature_celsius", "humidity": "humidity_percent"})
    if random.random() < 0.5:
        columns["status"] = random.text(_TEXTS)
        fields.append(("status", _spell_text(random, columns["status"])))
    return fields, columns


def _version_2(random: Speller) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    fields, columns = _version_1(random)
    fields = [(name, text) for name, text in fields if name != "schema_version"]
    columns["schema_version"] = 2
    if random.random() < 0.5:
        fields.append(("schema_version", "2"))
    columns["firmware"] = random.text(_TEXTS)
    fields.append(("firmware", _spell_text(random, columns["firmware"])))
    if random.random() < 0.5:
        columns["event_id"] = random.text(_IDS)
        fields.append(("event_id", _spell_text(random, columns["event_id"])))
    _add_numbers(random, fields, columns, {"pressure": "pressure_hpa", "battery_level": "battery_percent"})
    if random.random() < 0.5:
        inner: list[tuple[str, str]] = []
        _add_numbers(random, inner, columns, {"latitude": "latitude", "longitude": "longitude"})
        fields.append(("location", _spell_object(random, inner).decode()))
    return fields, columns


def _reading(random: Speller) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    fields, columns = _head(random, "id", "dt", 0)
    _add_numbers(random, fields, columns, {"value": "value"})
    return fields, columns


def _head(random: Speller, device: str, time: str, version: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    name = random.text(_IDS)
    text, moment = _spell_time(random)
    fields = [(device, _spell_text(random, name)), (time, _spell_text(random, text))]
    return fields, {"device_id": name, "event_time": moment, "schema_version": version}


def _add_numbers(
    random: Speller, fields: list[tuple[str, str]], columns: dict[str, Any], names: dict[str, str]
) -> None:
    """Adds the first number always, the others half of the time."""
    for index, (source, column) in enumerate(names.items()):
        if index == 0 or random.random() < 0.5:
            text = _spell_number(random)
            fields.append((source, text))
            columns[column] = float(text) + 0.0


def _spell_number(random: Speller) -> str:
    number = random.choice(
        (0, 1, -1, 0.5, round(random.uniform(-60, 110), random.randint(0, 6)), random.randint(-(10**15), 10**15))
    )
    spelling = random.choice(("{}", "{}", "{}", "{:.3f}", "{:e}", "{:E}", "{:.20f}", "-0", "-0.0", "0e5"))
    return spelling.format(number)


def _spell_time(random: Speller) -> tuple[str, int]:
    moment = datetime(2000, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=random.randrange(10**15))
    digits = random.choice((0, 0, 3, 6, 9))
    offset = random.choice((0, 0, 0, 60, -330, 1080, -1080))
    local = moment.replace(microsecond=moment.microsecond if digits >= 6 else 0) + timedelta(minutes=offset)
    fraction = {0: "", 3: ".000", 6: f".{local.microsecond:06d}", 9: f".{local.microsecond:06d}999"}[digits]
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}" if offset else random.choice("Zz")
    text = f"{local:%Y-%m-%d}{random.choice('TTt ')}{local:%H:%M:%S}{fraction}{zone}"
    return text, micros(local - timedelta(minutes=offset))


def _spell_text(random: Speller, text: str) -> str:
    style = 0 if random.is_plain else random.random()
    if style < 0.5:
        return json.dumps(text, ensure_ascii=False)
    if style < 0.8:
        return json.dumps(text)
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)) + '"'


def _spell_object(random: Speller, fields: list[tuple[str, str]]) -> bytes:
    if random.is_plain or random.random() < 0.5:
        return ("{" + ",".join(f'"{name}":{text}' for name, text in fields) + "}").encode()

    def blank() -> str:
        return random.choice(("", "", " ", "\n", "\t", "\r\n", "  "))

    entries = [f"{blank()}{_spell_text(random, name)}{blank()}:{blank()}{text}{blank()}" for name, text in fields]
    return (blank() + "{" + ",".join(entries) + "}" + blank()).encode()


def spoil(random: Speller, message: bytes) -> bytes:
    """The message with one to three small damages."""
    for _ in range(random.choice((1, 1, 2, 3))):
        low = random.randrange(len(message) + 1)
        high = min(len(message), low + random.choice((0, 0, 1, 1, 2, 8)))
        piece = random.choice(
            (
                random.choice(_PIECES),
                random.choice(_PIECES),
                b"",
                message[low : low + 20],
                bytes([random.randrange(256)]),
            )
        )
        message = message[:low] + piece + message[high:]
    return message
