"""Delivers again what was given up; by a person's wish, beside a running dispatcher or without one."""

from __future__ import annotations

import logging

from sluice.alerting.channels.channel import Channel, DeliveryFailed
from sluice.alerting.channels.kinds import require_secrets
from sluice.alerting.configuration import load_configuration
from sluice.alerting.dead_letters import DeadLetterFile, Replayed, channels_with_letters
from sluice.alerting.messages import Message
from sluice.alerting.running import Dispatch
from sluice.errors import UsageError

logger = logging.getLogger("sluice")


def replay_letters(dispatch: Dispatch, channel: str | None) -> dict[str, Replayed]:
    """Delivers each message that was given up once more, with its id; by channel what came of it.

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
    outcome: dict[str, Replayed] = {}
    for name, opened in dispatch.open_channels(wanted).items():
        try:
            outcome[name] = DeadLetterFile(folder, name).replay(_Told(name, opened))
        finally:
            opened.close()
    for name in names:
        if name not in wanted:
            logger.warning("channel %s is not defined any more; its messages stay in %s", name, folder)
    return outcome


class _Told:
    """Delivers, and tells what fails."""

    def __init__(self, name: str, channel: Channel) -> None:
        self._name = name
        self._channel = channel

    def __call__(self, message: Message) -> None:
        try:
            self._channel.deliver(message)
        except DeliveryFailed as error:
            logger.warning("channel %s: %s: %s", self._name, message.message_id, error.message)
            raise
