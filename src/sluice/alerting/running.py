"""The dispatcher as a whole: state in one thread, each channel in its own, the log and the watcher beside them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from sluice.alerting.alert_log import AlertLog, open_log_reader
from sluice.alerting.channels.channel import Channel
from sluice.alerting.channels.kinds import AnyChannel, open_channel, require_secrets
from sluice.alerting.configuration import AlertConfiguration, load_configuration
from sluice.alerting.dead_letters import DeadLetter, DeadLetterFile, letter_record
from sluice.alerting.delivery import ChannelWorker
from sluice.alerting.dispatcher import Dispatcher, open_transactions
from sluice.alerting.signals import Signal, encode_signal
from sluice.alerting.state import AlertState, Key
from sluice.alerting.targets import Resolve, resolve_host
from sluice.alerting.watching.watch import Watch
from sluice.errors import AlertRulesInvalid, BrokerDown, SluiceError
from sluice.settings import Settings, home
from sluice.sources.kafka import record_sender
from sluice.sources.kafka_consumer import GroupReader, Place, group_reader
from sluice.sources.kafka_records import OutgoingRecord, RecordSender
from sluice.sources.kafka_topics import COMPACT, OwnTopic, make_topics
from sluice.tables.lake import Lake, own_layer

logger = logging.getLogger("sluice")
OWNER = "dispatch"
_POLL_SECONDS = 0.25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
# What a thread is given to finish what it is at, once all are told to stop.
_STOP_SECONDS = 10.0


@dataclass
class Dispatch:
    """One run of the dispatcher.

    Attributes:
        find_broker: the address, asked for anew whenever a connection is made.
        stop: set from outside to end it.
        with_log: whether it writes gold/alerts, unless another process does.
        resolve: host and port to addresses.
    """

    settings: Settings
    find_broker: Callable[[], str]
    stop: threading.Event = field(default_factory=threading.Event)
    with_log: bool = True
    resolve: Resolve = resolve_host

    def run(self, *, once: bool = False) -> None:
        """Works until it is stopped; `once` until what is there now is in effect and delivered or given up.

        Raises:
            AlertRulesInvalid, YamlInvalid, SecretMissing: the configuration is not as it must be.
            LayerLocked: another process dispatches for this lake.
            BrokerDown, TopicUnsuited, SettingsInvalid: it cannot begin.
            DispatcherReplaced: another machine's has taken over.
        """
        configuration = load_configuration(self.settings)
        require_secrets(configuration.channels)
        channels = self.open_channels(configuration.channels)
        lake = Lake(self.settings.lake.path)
        lake.prepare()
        with own_layer(lake, OWNER):
            self.make_ready(configuration)
            logger.info("dispatching alerts to %s", ", ".join(channels) or "no channel")
            _Threads(self, configuration, channels, lake).run(once=once)

    def open_channels(self, channels: Mapping[str, AnyChannel]) -> dict[str, Channel]:
        """What delivers, by channel.

        Raises:
            AlertRulesInvalid: a file of certificates cannot be read.
        """
        found = {}
        for name, settings in channels.items():
            try:
                found[name] = open_channel(settings, home(), self._open_sender, self.resolve)
            except OSError as error:
                raise AlertRulesInvalid(
                    f"channel {name}: its ca_file cannot be read: {error.strerror or type(error).__name__}",
                    "give a file of certificates in PEM",
                ) from None
        return found

    def make_ready(self, configuration: AlertConfiguration) -> None:
        """Makes the topics, and notes for channels that are new that they begin with what happens from now on.

        Raises:
            BrokerDown, TopicUnsuited, SettingsInvalid: it cannot.
        """
        alerts, partitions = self.settings.alerts, self.settings.broker.partitions
        topics = [
            OwnTopic(alerts.topic, partitions=partitions),
            OwnTopic(alerts.dead_letter_topic),
            OwnTopic(alerts.state_topic, COMPACT),
            OwnTopic(self.settings.dispatch.notice_topic),
        ]
        bootstrap_servers = self.find_broker()
        if made := make_topics(bootstrap_servers, topics, self.settings.kafka.options):
            logger.info("topics made: %s", ", ".join(made))
        for name in configuration.channels:
            with self.open_notices(name) as reader:
                known = reader.committed()
                if missing := {place: end for place, end in reader.ends().items() if place not in known}:
                    reader.commit(missing)

    def open_notices(self, channel: str) -> GroupReader:
        """The topic of notices, from where the channel has committed.

        Raises:
            BrokerDown, TopicMissing, SettingsInvalid: as group_reader.
        """
        dispatch = self.settings.dispatch
        group = f"{dispatch.group}.channel.{channel}"
        return group_reader(self.find_broker(), [dispatch.notice_topic], group, self.settings.kafka.options)

    def open_log(self) -> GroupReader:
        """What gold/alerts is made of, from where its log has committed.

        Raises:
            BrokerDown, TopicMissing, SettingsInvalid: as group_reader.
        """
        return open_log_reader(self.settings, self.find_broker())

    def give_up(self, letter: DeadLetter) -> None:
        """Keeps a message that nobody takes: in the channel's file, and in the topic if the broker is there.

        Raises:
            OSError: the file cannot be written; then the message is not given up.
        """
        name = letter.message.channel
        file = DeadLetterFile(self.settings.dispatch.path, name)
        file.add(letter)
        logger.error(
            "channel %s: %s is given up after %d attempts, and kept in %s; next: sluice dispatch replay --channel %s",
            name,
            letter.message.message_id,
            letter.attempts,
            file.path,
            name,
        )
        try:
            sender = self._open_sender(self.settings.alerts.dead_letter_topic)
            try:
                sender.send([letter_record(letter)])
            finally:
                sender.close()
        except SluiceError as error:
            logger.warning("channel %s: no copy in the topic of dead letters: %s", name, error.message)

    def send_signals(self, signals: Iterable[Signal]) -> int:
        """Sends signals to their topic; how many.

        Raises:
            BrokerDown, TopicMissing: not all were acknowledged.
        """
        records = [OutgoingRecord(signal.subject.encode(), encode_signal(signal), []) for signal in signals]
        if records:
            sender = self._open_sender(self.settings.alerts.topic)
            try:
                sender.send(records)
            finally:
                sender.close()
        return len(records)

    def _open_sender(self, topic: str) -> RecordSender:
        return record_sender(self.find_broker(), topic, self.settings.kafka.options)


class _Threads:
    """The threads of one run."""

    def __init__(
        self, dispatch: Dispatch, configuration: AlertConfiguration, channels: Mapping[str, Channel], lake: Lake
    ) -> None:
        self._dispatch = dispatch
        self._configuration = configuration
        self._channels = channels
        self._lake = lake
        self._watch = Watch(lake.path, configuration.rules, configuration.devices)
        self._open_alerts: Callable[[], Mapping[Key, AlertState]] = dict
        self._notice_ends: Mapping[Place, int] | None = None
        self._log_ends: Mapping[Place, int] | None = None

    def run(self, *, once: bool) -> None:
        workers = [self._started(f"channel {name}", self._deliver, name) for name in self._channels]
        others = [self._started("alert log", self._log)] if self._dispatch.with_log else []
        if not once:
            others.append(self._started("watch", self._look_again))
        stop = self._dispatch.stop
        try:
            self._judge(once=once)
            if once and not stop.is_set():
                self._drain(workers, others)
        finally:
            stop.set()
            for thread in (*workers, *others):
                thread.join(_STOP_SECONDS)

    def _started(self, name: str, work: Callable[..., None], *arguments: str) -> threading.Thread:
        # A daemon: what hangs in a receiver does not keep the process from ending.
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        thread.start()
        return thread

    def _judge(self, *, once: bool) -> None:
        """Keeps the state; connects anew when the broker was away."""
        stop, pause = self._dispatch.stop, _FIRST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                dispatcher = Dispatcher(self._dispatch.settings, self._configuration, self._dispatch.find_broker())
            except BrokerDown as error:
                self._put_off(error, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            self._open_alerts, pause = dispatcher.open_alerts, _FIRST_PAUSE_SECONDS
            try:
                if once:
                    self._look()
                ends = dispatcher.ends() if once else None
                while not stop.is_set() and not (ends is not None and dispatcher.has_reached(ends)):
                    dispatcher.work(_POLL_SECONDS)
                return
            except BrokerDown as error:
                self._put_off(error, pause)
            finally:
                dispatcher.close()

    def _put_off(self, error: SluiceError, pause: float) -> None:
        logger.warning("alerts wait: %s; tried again in %.0f s", error.message, pause)
        self._dispatch.stop.wait(pause)

    def _drain(self, workers: list[threading.Thread], others: list[threading.Thread]) -> None:
        # The broker says that a transaction is committed before readers can see it; this waits until they can.
        open_transactions(self._dispatch.settings, self._dispatch.find_broker()).close()
        with self._dispatch.open_log() as reader:
            self._log_ends = reader.ends()
        topic = self._dispatch.settings.dispatch.notice_topic
        self._notice_ends = {place: end for place, end in self._log_ends.items() if place[0] == topic}
        for thread in (*workers, *others):
            while thread.is_alive() and not self._dispatch.stop.is_set():
                thread.join(_POLL_SECONDS)

    def _deliver(self, name: str) -> None:
        dispatch = self._dispatch
        worker = ChannelWorker(
            name,
            self._configuration.channels[name],
            self._channels[name],
            lambda: dispatch.open_notices(name),
            dispatch.give_up,
            dispatch.stop,
        )
        worker.run(lambda: self._notice_ends)

    def _log(self) -> None:
        dispatch = self._dispatch
        AlertLog(dispatch.settings, self._lake, dispatch.open_log, dispatch.stop).run(lambda: self._log_ends)

    def _look_again(self) -> None:
        while not self._dispatch.stop.wait(self._dispatch.settings.alerts.watch_seconds):
            self._look()

    def _look(self) -> None:
        """Judges the rules over tables once; what goes wrong is told in the log, and judged again the next time."""
        try:
            signals = self._watch.find_signals(self._open_alerts(), datetime.now(timezone.utc))
            self._dispatch.send_signals(signals)
        except Exception as error:
            told = error.message if isinstance(error, SluiceError) else f"{type(error).__name__}: {error}"
            logger.warning("rules over tables are not judged: %s", told)
