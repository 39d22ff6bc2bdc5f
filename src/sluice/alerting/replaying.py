"""Delivers again what was given up; by a person's wish, beside a running dispatcher or without one."""

from __future__ import annotations

import logging
from dataclasses import replace

from sluice.alerting.channels.channel import Channel, DeliveryFailed
from sluice.alerting.channels.kinds import require_secrets
from sluice.alerting.configuration import load_configuration
from sluice.alerting.dead_letters import DeadLetterFile, Replayed, channels_with_letters
from sluice.alerting.dispatcher import read_state
from sluice.alerting.messages import Message
from sluice.alerting.running import Dispatch
from sluice.errors import SluiceError, UsageError

logger = logging.getLogger("sluice")


def replay_letters(dispatch: Dispatch, channel: str | None) -> dict[str, Replayed]:
    """Delivers each message that was given up once more, with its id; by channel what came of it.

    Where no broker answers it is not known which alerts are over since; then a warning is logged.

    Args:
        channel: only this one; None for all.

    Raises:
        UsageError: no such channel is defined.
        AlertRulesInvalid, YamlInvalid, SecretMissing: the configuration is not as it must be.
        DeadLettersBusy: another process is at it.
    """
    configuration = load_configuration(dispatch.settings)
    known = ", ".join(configuration.channels) or "none"
    if channel is not None and channel not in configuration.channels:
        raise UsageError(f"there is no channel {channel!r}", f"defined channels: {known}")
    folder = dispatch.settings.dispatch.path
    names = channels_with_letters(folder) if channel is None else [channel]
    wanted = {name: settings for name, settings in configuration.channels.items() if name in names}
    require_secrets(wanted)
    open_ids = _open_ids(dispatch) if wanted else None
    outcome: dict[str, Replayed] = {}
    for name, opened in dispatch.open_channels(wanted).items():
        try:
            outcome[name] = DeadLetterFile(folder, name).replay(_Told(name, opened, open_ids))
        finally:
            opened.close()
    for name in names:
        if name not in wanted:
            logger.warning("channel %s is not defined any more; its messages stay in %s", name, folder)
    return outcome


def _open_ids(dispatch: Dispatch) -> frozenset[str] | None:
    """The alerts that are open; None where that cannot be asked."""
    try:
        known = read_state(dispatch.settings, dispatch.find_broker())
    except SluiceError as error:
        logger.warning("which of the alerts are over is not known: %s", error.message)
        return None
    alerts = (remembered.alert for remembered in known.values())
    return frozenset(alert.alert_id for alert in alerts if alert is not None and alert.is_open)


class _Told:
    """Delivers, and tells what fails.

    Args:
        open_ids: the alerts that are open; None where that is not known.
    """

    def __init__(self, name: str, channel: Channel, open_ids: frozenset[str] | None) -> None:
        self._name = name
        self._channel = channel
        self._open_ids = open_ids

    def __call__(self, message: Message) -> None:
        ids = frozenset(notice.alert.alert_id for notice in message.notices)
        over = frozenset() if self._open_ids is None else ids - self._open_ids
        try:
            self._channel.deliver(replace(message, over=over))
        except DeliveryFailed as error:
            logger.warning("channel %s: %s: %s", self._name, message.message_id, error.message)
            raise
