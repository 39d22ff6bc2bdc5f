"""What could not be delivered: kept on the disk, delivered again once, and never lost by a death in between."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.unit.alerting.examples import LATER, message, notice

from sluice.alerting.channels.channel import DeliveryFailed
from sluice.alerting.dead_letters import DeadLetter, DeadLetterFile, Replayed, channels_with_letters
from sluice.alerting.messages import Message
from sluice.errors import DeadLettersBusy


@pytest.fixture
def file(tmp_path: Path) -> DeadLetterFile:
    """Letters about three messages, one of them twice, and what a death left of a line."""
    kept = DeadLetterFile(tmp_path / "dispatch", "hook")
    for number in (1, 2, 3, 2):
        kept.add(DeadLetter(message(notice(number)), "it answers 500", 8, LATER))
    with kept.path.open("a") as written:
        written.write('{"message_id": "msg-cut')
    return kept


def test_letters_are_read_as_they_were_written_each_message_once(file: DeadLetterFile) -> None:
    assert file.read() == [DeadLetter(message(notice(number)), "it answers 500", 8, LATER) for number in (1, 2, 3)]
    assert channels_with_letters(file.path.parent) == ["hook"]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_what_is_taken_leaves_the_file_and_the_rest_stays(file: DeadLetterFile) -> None:
    taken: list[Message] = []

    def deliver(each: Message) -> None:
        if each == message(notice(3)):
            raise DeliveryFailed("no")
        taken.append(each)

    assert file.replay(deliver) == Replayed(2, 1, 1)
    assert [letter.message for letter in file.read()] == [message(notice(3))]
    assert file.replay(deliver) == Replayed(0, 1, 1)


def test_a_death_in_the_middle_keeps_what_was_not_yet_taken(file: DeadLetterFile) -> None:
    def deliver(each: Message) -> None:
        if each == message(notice(2)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file.replay(deliver)
    assert [letter.message for letter in file.read()] == [message(notice(2)), message(notice(3))]


def test_letters_that_come_while_others_are_delivered_again_stay(file: DeadLetterFile) -> None:
    def deliver(each: Message) -> None:
        file.add(DeadLetter(message(notice(9)), "new", 1, LATER))

    file.replay(deliver)
    assert [letter.message for letter in file.read()] == [message(notice(9))]


def test_two_replays_at_once_are_one(file: DeadLetterFile) -> None:
    def deliver(each: Message) -> None:
        with pytest.raises(DeadLettersBusy, match="is being replayed already"):
            DeadLetterFile(file.path.parent, "hook").replay(print)

    assert file.replay(deliver).delivered == 3


def test_without_a_file_nothing_is_done(tmp_path: Path) -> None:
    assert DeadLetterFile(tmp_path / "none", "hook").replay(print) == Replayed(0, 0)


def test_a_line_is_json_with_its_reason(file: DeadLetterFile) -> None:
    first = json.loads(file.path.read_text().splitlines()[0])
    assert (first["reason"], first["attempts"], first["given_up_at"]) == (
        "it answers 500",
        8,
        "2026-03-01T13:00:00.000000Z",
    )
