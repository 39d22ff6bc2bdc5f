"""Signals and acknowledgements in, the state of alerts and notices out: each message in effect exactly once.

What a poll brought is applied in memory; the state that changed, the notices, what was refused, and the offsets are one
transaction. A death before its end leaves nothing of it; the next start reads the state anew and goes on at the
committed offsets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from sluice.alerting.acknowledgement import Acknowledgement, decode_message
from sluice.alerting.configuration import AlertConfiguration
from sluice.alerting.episodes import Episode, Episodes
from sluice.alerting.signals import Signal
from sluice.alerting.state import AlertState, Key, Remembered, Step, apply_acknowledgement, apply_signal, resolve_orphan
from sluice.alerting.state_messages import decode_remembered, encode_notice, encode_remembered, key_bytes, notice_of
from sluice.errors import AlertUnknown, SignalInvalid
from sluice.schemas import ALERT_STATUSES
from sluice.settings import Settings
from sluice.sources.kafka_consumer import GroupReader, Place, Record, group_reader
from sluice.sources.kafka_records import OutgoingRecord
from sluice.sources.kafka_transactions import TransactionalSender, transactional_sender

logger = logging.getLogger("sluice")
STATE_TRANSACTIONS = ".state"
MOST_SIGNALS = 5_000
# A device's clock may be so far ahead of the broker's; a time beyond that would silence its rule until then.
MOST_AHEAD = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
# Of a message that is refused, this much is kept.
_MOST_BYTES = 262_144
# Of the reason that is logged: what was refused may stand in it.
_MOST_CHARACTERS = 200


@dataclass
class Tally:
    """What came of the messages of a poll."""

    signals: int = 0
    refused: int = 0
    first_reason: str = ""
    changed: dict[Key, Remembered] = field(default_factory=dict)
    notices: list[tuple[AlertState, Episode]] = field(default_factory=list)
    letters: list[OutgoingRecord] = field(default_factory=list)


class Dispatcher:
    """Owns the state of alerts; for one thread. While it is open, no other has effect.

    Args:
        bootstrap_servers: the broker.
        clock: now, in UTC.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: it cannot begin.
    """

    def __init__(
        self,
        settings: Settings,
        configuration: AlertConfiguration,
        bootstrap_servers: str,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._settings = settings
        self._rules = {rule.id: rule for rule in configuration.rules}
        self._clock = clock
        options, dispatch = settings.kafka.options, settings.dispatch
        # First: it ends what a dead predecessor has begun, and shuts out one that lives.
        self._sender: TransactionalSender = open_transactions(settings, bootstrap_servers)
        try:
            self._known = read_state(settings, bootstrap_servers)
            self._reader: GroupReader = group_reader(
                bootstrap_servers, [settings.alerts.topic], dispatch.group, options
            )
        except BaseException:
            self._sender.close()
            raise
        self._episodes = Episodes(self._known.values())
        self._resolve_orphans()

    def open_alerts(self) -> dict[Key, AlertState]:
        """The alerts that are not resolved, by rule and subject."""
        alerts = (remembered.alert for remembered in list(self._known.values()))
        return {alert.key: alert for alert in alerts if alert is not None and alert.is_open}

    def work(self, seconds: float) -> int:
        """Applies what is there, or comes within the time; how many messages.

        Raises:
            BrokerDown: what came is in effect as a whole or not at all; a new Dispatcher goes on.
            DispatcherReplaced: another one works.
        """
        records = self._reader.poll(seconds, MOST_SIGNALS)
        if records:
            self._commit(self._apply(records))
        return len(records)

    def ends(self) -> Mapping[Place, int]:
        """How far there are messages now."""
        return self._reader.ends()

    def has_reached(self, ends: Mapping[Place, int]) -> bool:
        """Whether all before those offsets is in effect."""
        positions = self._reader.positions()
        return all(positions[place] >= end for place, end in ends.items())

    def close(self) -> None:
        """Disconnects."""
        self._reader.close()
        self._sender.close()

    def _apply(self, records: list[Record]) -> Tally:
        tally = Tally()
        for record in records:
            tally.signals += 1
            try:
                key, step = self._step(record, tally.changed)
            except (SignalInvalid, AlertUnknown) as error:
                tally.refused += 1
                tally.first_reason = tally.first_reason or error.message
                tally.letters.append(_letter(record, error.message))
                continue
            self._take(tally, key, step)
        return tally

    def _step(self, record: Record, changed: Mapping[Key, Remembered]) -> tuple[Key, Step]:
        message = decode_message(record.value)
        key = (message.rule_id, message.subject)
        known = changed.get(key, self._known.get(key))
        rule, now = self._rules.get(message.rule_id), self._clock()
        if isinstance(message, Acknowledgement):
            return key, apply_acknowledgement(known, message, rule, now)
        sent_at = _EPOCH + timedelta(milliseconds=max(0, record.timestamp_ms))
        _require_possible(message, sent_at)
        return key, apply_signal(known, message, rule, sent_at, now)

    def _take(self, tally: Tally, key: Key, step: Step) -> None:
        if step.remembered is None:
            return
        tally.changed[key] = step.remembered
        if step.notice is not None:
            episode = self._episodes.after(step.notice)
            tally.changed[key] = replace(step.remembered, episode_id=episode.episode_id)
            tally.notices.append((step.notice, episode))

    def _commit(self, tally: Tally) -> None:
        alerts = self._settings.alerts
        outgoing = [
            (alerts.state_topic, OutgoingRecord(key_bytes(key), encode_remembered(known), []))
            for key, known in tally.changed.items()
        ]
        for alert, episode in tally.notices:
            rule = self._rules.get(alert.rule_id)
            channels = tally.changed[alert.key].channels if rule is None else rule.channels
            notice = notice_of(alert, channels, episode)
            outgoing.append(
                (self._settings.dispatch.notice_topic, OutgoingRecord(key_bytes(alert.key), encode_notice(notice), []))
            )
        outgoing += [(alerts.dead_letter_topic, letter) for letter in tally.letters]
        self._sender.commit(outgoing, self._reader.positions(), self._reader)
        self._known.update(tally.changed)
        if tally.notices or tally.refused:
            _tell(tally, alerts.dead_letter_topic)

    def _resolve_orphans(self) -> None:
        """Resolves what no rule would ever clear."""
        tally = Tally()
        for key, known in self._known.items():
            if key[0] not in self._rules:
                self._take(tally, key, resolve_orphan(known, self._clock()))
        if tally.notices:
            self._commit(tally)


def open_transactions(settings: Settings, bootstrap_servers: str) -> TransactionalSender:
    """What the state is written by; once it is open, all that was committed before can be read.

    Raises:
        BrokerDown, SettingsInvalid: the broker does not answer.
    """
    name = settings.dispatch.group + STATE_TRANSACTIONS
    return transactional_sender(bootstrap_servers, name, settings.kafka.options)


def read_state(settings: Settings, bootstrap_servers: str) -> dict[Key, Remembered]:
    """What is remembered, from the compacted topic; messages in it that are none of ours are told in the log.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: it cannot be read.
    """
    known: dict[Key, Remembered] = {}
    topic = settings.alerts.state_topic
    with group_reader(bootstrap_servers, [topic], None, settings.kafka.options) as reader:
        for record in reader.read_to_end():
            try:
                key, remembered = decode_remembered(record.key, record.value)
            except SignalInvalid as error:
                logger.warning("%s: offset %d is passed over: %s", topic, record.offset, error.message)
                continue
            if remembered is None:
                known.pop(key, None)
            else:
                known[key] = remembered
    return known


def _require_possible(signal: Signal, sent_at: datetime) -> None:
    """Refuses an event time that no event is accepted with, or that lies after the record's own time."""
    if signal.event_time > sent_at + MOST_AHEAD:
        minutes = MOST_AHEAD.total_seconds() / 60
        raise SignalInvalid(f"its event time is more than {minutes:g} minutes after it was sent")
    if signal.event_time < EARLIEST:
        raise SignalInvalid(f"its event time is before {EARLIEST.year}")


def _letter(record: Record, reason: str) -> OutgoingRecord:
    """A refused message for the topic of dead letters: its bytes, and why."""
    texts = {
        "sluice-stage": "signal",
        "sluice-topic": record.topic,
        "sluice-partition": str(record.partition),
        "sluice-offset": str(record.offset),
        "sluice-error-detail": reason,
    }
    value = record.value
    if value is not None and len(value) > _MOST_BYTES:
        texts["sluice-value-left-out"], value = str(len(value)), None
    key = record.key if record.key is None or len(record.key) <= _MOST_BYTES else None
    headers = [(name, text.encode("utf-8", "replace")) for name, text in texts.items()]
    # The client sends no record without key and value.
    return OutgoingRecord(key, value if value is not None or key is not None else b"", headers)


def _tell(tally: Tally, dead_letter_topic: str) -> None:
    from sluice.serving.values import printable

    counts = {status: sum(1 for alert, _ in tally.notices if alert.status == status) for status in ALERT_STATUSES}
    told = [f"{count:,} {status}" for status, count in counts.items() if count]
    if tally.refused:
        reason = printable(tally.first_reason)[:_MOST_CHARACTERS]
        told.append(f"{tally.refused:,} refused, kept in {dead_letter_topic} (the first: {reason})")
    logger.info(
        "alerts: %s: %s", "one message" if tally.signals == 1 else f"{tally.signals:,} messages", ", ".join(told)
    )
