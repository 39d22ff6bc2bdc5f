"""One channel at work, in a thread of its own: reads notices, makes messages of them, delivers each until it is taken.

What a message holds is written down before it is sent: the range of notices, as a note beside the committed offset.
So after a death the same message is made again, with the same id, and delivered at least once.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from sluice.alerting.channels.channel import Channel, ChannelSettings, DeliveryFailed
from sluice.alerting.dead_letters import DeadLetter
from sluice.alerting.messages import Message
from sluice.alerting.pacing import Breaker, RateLimit, pause_seconds
from sluice.alerting.state_messages import Notice, decode_notice
from sluice.errors import SignalInvalid, SluiceError
from sluice.sources.kafka_consumer import GroupReader, Place, Record

logger = logging.getLogger("sluice")
# Of one message; more wait for the next.
MOST_NOTICES = 10_000
_POLL_SECONDS = 0.25
_COMMIT_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0


@dataclass
class _Gathered:
    """Notices of the channel that wait, from one offset to another."""

    notices: list[Notice]
    since: float = 0.0


class ChannelWorker:
    """Delivers to one channel.

    Args:
        open_reader: connects to the topic of notices, with the group of the channel.
        give_up: keeps a message that nobody takes.
        stop: set when the dispatcher ends; nothing is begun after that.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        name: str,
        settings: ChannelSettings,
        channel: Channel,
        open_reader: Callable[[], GroupReader],
        give_up: Callable[[DeadLetter], None],
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._settings = settings
        self._channel = channel
        self._open_reader = open_reader
        self._give_up = give_up
        self._stop = stop
        self._clock = clock
        self._rate = RateLimit(settings.messages_per_minute, clock)
        self._breaker = Breaker(settings, clock)

    def run(self, until: Callable[[], Mapping[Place, int] | None] = lambda: None) -> None:
        """Works until it is stopped, or, where `until` names offsets, all before them is dealt with.

        A broker that is away, or whatever else goes wrong here, is told in the log and tried again.
        """
        pause = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                with self._open_reader() as reader:
                    pause = _FIRST_PAUSE_SECONDS
                    if self._work(reader, until):
                        break
            except Exception as error:
                told = error.message if isinstance(error, SluiceError) else type(error).__name__
                logger.warning("channel %s: %s; tried again in %.0f s", self.name, told, pause)
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._channel.close()

    def _work(self, reader: GroupReader, until: Callable[[], Mapping[Place, int] | None]) -> bool:
        """Delivers message after message; whether all up to the given offsets is done."""
        if not self._finish_begun(reader):
            return False
        gathered, committed_at = _Gathered([]), self._clock()
        begun = reader.positions()
        while not self._stop.is_set():
            self._gather(reader, gathered)
            ends = until()
            at_end = ends is not None and _has_reached(reader.positions(), ends)
            if gathered.notices and (at_end or self._is_due(gathered)):
                if self._wait_seconds() > 0:
                    self._stop.wait(min(self._wait_seconds(), _POLL_SECONDS))
                    continue
                ahead = reader.positions()
                reader.commit(begun, {place: _plan(ahead[place]) for place in begun})
                if not self._deliver(gathered.notices):
                    return False
                begun, gathered = self._committed(reader, ahead), _Gathered([])
                committed_at = self._clock()
            elif not gathered.notices and self._clock() - committed_at >= _COMMIT_SECONDS:
                begun, committed_at = self._committed(reader, reader.positions()), self._clock()
            if at_end and not gathered.notices:
                self._committed(reader, reader.positions())
                return True
        return False

    def _finish_begun(self, reader: GroupReader) -> bool:
        """Delivers the message that a death left unfinished; whether there is nothing more of it to do."""
        committed = reader.committed()
        ends = {place: end for place, known in committed.items() if (end := _planned(known.note)) is not None}
        if not any(end > committed[place].offset for place, end in ends.items()):
            return True
        notices = [each for records in reader.chunks_to_end(ends) for each in self._own(records)]
        if notices and not self._deliver(notices):
            return False
        for place, end in ends.items():
            reader.seek(place, end)
        self._committed(reader, ends)
        return True

    def _gather(self, reader: GroupReader, gathered: _Gathered) -> None:
        most = MOST_NOTICES - len(gathered.notices)
        if most <= 0:
            return
        own = self._own(reader.poll(_POLL_SECONDS, most))
        if own and not gathered.notices:
            gathered.since = self._clock()
        gathered.notices += own

    def _own(self, records: list[Record]) -> list[Notice]:
        found = []
        for record in records:
            try:
                notice = decode_notice(record.value)
            except SignalInvalid as error:
                logger.warning("channel %s: offset %d is passed over: %s", self.name, record.offset, error.message)
                continue
            if self.name in notice.channels:
                found.append(notice)
        return found

    def _is_due(self, gathered: _Gathered) -> bool:
        waited = self._clock() - gathered.since
        return waited >= self._settings.group_seconds or len(gathered.notices) >= MOST_NOTICES

    def _wait_seconds(self) -> float:
        return max(self._rate.wait_seconds(), self._breaker.wait_seconds())

    def _committed(self, reader: GroupReader, offsets: Mapping[Place, int]) -> dict[Place, int]:
        reader.commit(offsets)
        return dict(offsets)

    def _deliver(self, notices: list[Notice]) -> bool:
        """Delivers one message, or gives it up; False if it was stopped before."""
        message = Message(self.name, tuple(notices), self._settings.max_alerts)
        attempt = 0
        while not self._stop.wait(self._wait_seconds()):
            self._rate.use()
            attempt += 1
            try:
                self._channel.deliver(message)
            except DeliveryFailed as error:
                failure = error
            except Exception as error:
                # Not its words: they may hold what is secret.
                failure = DeliveryFailed(f"it failed ({type(error).__name__})")
            else:
                self._tell_success(message, attempt)
                return True
            self._tell_failure(message, attempt, failure)
            if failure.is_final or attempt >= self._settings.max_attempts:
                self._give_up(DeadLetter(message, failure.message, attempt, datetime.now(timezone.utc)))
                return True
            if self._stop.wait(pause_seconds(self._settings, attempt, failure.retry_after_seconds)):
                break
        return False

    def _tell_success(self, message: Message, attempt: int) -> None:
        if self._breaker.succeeded():
            logger.info("channel %s: its breaker is closed again", self.name)
        tries = f", attempt {attempt}" if attempt > 1 else ""
        logger.info("channel %s: %s of %s delivered%s", self.name, message.message_id, _many(message), tries)

    def _tell_failure(self, message: Message, attempt: int, failure: DeliveryFailed) -> None:
        of = f"{attempt} of {self._settings.max_attempts}"
        logger.warning(
            "channel %s: %s of %s, attempt %s: %s",
            self.name,
            message.message_id,
            _many(message),
            of,
            failure.message,
        )
        if self._breaker.failed():
            seconds = self._settings.breaker_seconds
            logger.warning("channel %s: its breaker is open; tried again every %.0f s", self.name, seconds)


def _many(message: Message) -> str:
    return "one alert" if len(message.notices) == 1 else f"{len(message.notices):,} alerts"


def _plan(until: int) -> str:
    return json.dumps({"until": until})


def _planned(note: str) -> int | None:
    try:
        return int(json.loads(note)["until"])
    except (ValueError, KeyError, TypeError):
        return None


def _has_reached(positions: Mapping[Place, int], ends: Mapping[Place, int]) -> bool:
    return all(positions.get(place, end) >= end for place, end in ends.items())
