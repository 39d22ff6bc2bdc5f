"""Both halves of reading on messages made at random: they agree with each other and with a judge of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice.schemas import DUPLICATE_FIELD, EMPTY_MESSAGE, ERROR_CODES, NOT_JSON, NOT_OBJECT, NOT_UTF8
from sluice.transforms.parse import EVENT_COLUMNS

from .conftest import Readings
from .generated import Speller, is_strict_object, make_event, spoil
from .messages import v1

# One Spark run for all of them: the cost of a run, not that of a message, is what counts.
EVENTS_PER_SEED = 1000
SEEDS = ("a", "b", "c")
NO_STRICT_OBJECT = {EMPTY_MESSAGE, NOT_UTF8, NOT_JSON, NOT_OBJECT, DUPLICATE_FIELD}


def test_any_bytes_end_in_exactly_one_of_event_and_refusal_as_an_independent_judge_finds(
    read_messages: Callable[..., Readings],
) -> None:
    valid, spoilt, noise = [], [], []
    for random in map(Speller, SEEDS):
        made = [make_event(random) for _ in range(EVENTS_PER_SEED)]
        valid += made
        spoilt += [spoil(random, message) for message, _ in made]
        noise += [random.randbytes(random.randrange(40)) for _ in range(50)]
    messages = [*(message for message, _ in valid), *spoilt, *noise]
    parsed, decided = read_messages(messages)
    for message, first, second in zip(messages, parsed, decided, strict=True):
        code = second["error_code"]
        event = {name: second[name] for name in EVENT_COLUMNS}
        is_event = all(event[name] is not None for name in ("event_id", "device_id", "event_time", "schema_version"))
        assert (code in ERROR_CODES) != is_event, message
        if not _is_blank_object(message):
            assert (code not in NO_STRICT_OBJECT) == is_strict_object(message), message
        if first["is_certain"]:
            assert code is None, message
            assert {name: first[name] for name in EVENT_COLUMNS} == event, message
    for (message, expected), second in zip(valid, decided, strict=False):
        assert (second["error_code"], {name: second[name] for name in EVENT_COLUMNS}) == (None, expected), message
    certain = [row["is_certain"] for row in parsed]
    # Enough for both halves to be compared, and damage that leaves an event certain among it.
    assert sum(certain[: len(valid)]) > len(valid) / 4
    assert sum(certain[len(valid) : 2 * len(valid)]) > len(valid) / 50


def _is_blank_object(message: bytes) -> bool:
    return b"".join(message.split()) == b"{}"


@pytest.mark.parametrize(
    ("message", "is_strict"),
    [
        (v1(), True),
        (b"{}", True),
        (b'{"a":1e400}', True),
        (b'{"a":"\\ud800"}', True),
        (b'{"a":' + b"1" * 5000 + b"}", True),
        (b'{"\\ud83d\\ude00":1}', True),
        (b'{"\\ud83d":1}', False),
        (b'{"a":1,"A":2}', False),
        (b'{"a":1,"a":1}', False),
        (b"[]", False),
        (b"{} x", False),
        (b'{"a":NaN}', False),
        (b'{"a":01}', False),
        (b'{"a":"\n"}', False),
        (b'{"a":"\xff"}', False),
        (b"\xef\xbb\xbf{}", False),
    ],
)
def test_the_judge_knows_strict_json(message: bytes, is_strict: bool) -> None:
    assert is_strict_object(message) is is_strict
