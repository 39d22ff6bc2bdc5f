"""gold/alerts: one row an alert, as the last message about it says. Written here alone, without Spark.

What is remembered of a rule and a subject tells the newest of each alert; notices tell those too that another has
replaced since, so that neither compaction nor a pause of this log loses one. A row is replaced only by one that was
changed later: so messages may come twice and in any order of the topics, and offsets are committed after the table.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sluice.alerting.state import AlertState
from sluice.alerting.state_messages import decode_notice, decode_remembered
from sluice.errors import LayerLocked, SignalInvalid, SluiceError
from sluice.schemas import GOLD_ALERTS
from sluice.settings import Settings
from sluice.sources.kafka_consumer import GroupReader, Place, Record, group_reader
from sluice.tables.lake import Lake, own_layer

logger = logging.getLogger("sluice")
OWNER = "alert_log"
GROUP = ".alert-log"
_MOST_RECORDS = 10_000
_LONGEST_PAUSE_SECONDS = 60.0


def open_log_reader(settings: Settings, bootstrap_servers: str) -> GroupReader:
    """What reads the messages of the log from where it has committed.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: as group_reader.
    """
    topics = [settings.alerts.state_topic, settings.dispatch.notice_topic]
    return group_reader(bootstrap_servers, topics, settings.dispatch.group + GROUP, settings.kafka.options)


class AlertLog:
    """Brings gold/alerts up to date; owns the table while it runs.

    Args:
        open_reader: connects to the topics.
        stop: set when it shall end.
    """

    def __init__(
        self, settings: Settings, lake: Lake, open_reader: Callable[[], GroupReader], stop: threading.Event
    ) -> None:
        self._pause = settings.dispatch.log_seconds
        self._lake = lake
        self._open_reader = open_reader
        self._stop = stop

    def run(self, until: Callable[[], Mapping[Place, int] | None] = lambda: None, *, must_own: bool = False) -> None:
        """Works until it is stopped, or, where `until` names offsets, all before them is in the table.

        Whatever goes wrong is told in the log and tried again; another owner of the table is left at it.

        Raises:
            LayerLocked: there is one, and `must_own`.
        """
        pause = self._pause
        while not self._stop.is_set():
            try:
                with own_layer(self._lake, OWNER), self._open_reader() as reader:
                    pause = self._pause
                    if self.follow(reader, until):
                        return
            except LayerLocked as error:
                if must_own:
                    raise
                if until() is not None:
                    return
                logger.info("gold/alerts: %s", error.message)
                pause = _LONGEST_PAUSE_SECONDS
            except Exception as error:
                told = error.message if isinstance(error, SluiceError) else f"{type(error).__name__}: {error}"
                logger.warning("gold/alerts: %s; tried again in %.0f s", told, pause)
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def follow(self, reader: GroupReader, until: Callable[[], Mapping[Place, int] | None]) -> bool:
        """Writes what comes; whether all up to the given offsets is in the table."""
        while not self._stop.is_set():
            records = reader.poll(0.5, _MOST_RECORDS)
            if records:
                write_alerts(self._lake, _alerts_in(records))
                reader.commit(reader.positions())
                continue
            ends = until()
            if ends is not None:
                positions = reader.positions()
                if all(positions.get(place, end) >= end for place, end in ends.items()):
                    return True
                continue
            self._stop.wait(self._pause)
        return False


def write_alerts(lake: Lake, alerts: Iterable[AlertState]) -> int:
    """Puts alerts into gold/alerts in place of older rows of theirs; how many there were.

    Raises:
        LakeTooNew: the table has a column of another type than this version writes.
    """
    from sluice.tables.delta import Upsert
    from sluice.tables.rows import create_table, migrate_table
    from sluice.tables.small_upsert import upsert_rows

    newest: dict[str, AlertState] = {}
    for alert in alerts:
        known = newest.get(alert.alert_id)
        if known is None or alert.updated_at > known.updated_at:
            newest[alert.alert_id] = alert
    if not newest:
        return 0
    create_table(lake, GOLD_ALERTS)
    migrate_table(lake, GOLD_ALERTS)
    how = Upsert(("first_event_time", "alert_id"), update_when="source.updated_at > target.updated_at")
    rows = sorted(newest.values(), key=lambda alert: (alert.first_event_time, alert.alert_id))
    upsert_rows([row_of(alert) for alert in rows], lake, GOLD_ALERTS, how)
    return len(newest)


def row_of(alert: AlertState) -> dict[str, Any]:
    """The alert as a row of gold/alerts."""
    return {**asdict(alert), "alert_date": alert.first_event_time.date()}


def _alerts_in(records: list[Record]) -> list[AlertState]:
    found = []
    for record in records:
        try:
            if record.key is not None and (alert := _alert_in(record)) is not None:
                found.append(alert)
        except SignalInvalid as error:
            logger.warning("gold/alerts: %s offset %d is passed over: %s", record.topic, record.offset, error.message)
    return found


def _alert_in(record: Record) -> AlertState | None:
    if record.value is not None and b'"notice_id"' in record.value[:32]:
        return decode_notice(record.value).alert
    _, remembered = decode_remembered(record.key, record.value)
    return None if remembered is None else remembered.alert
