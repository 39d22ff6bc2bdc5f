"""The channels of conf/alerts.yaml as frozen values, and what delivers for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from sluice.alerting.channels.channel import Channel
from sluice.alerting.channels.email import EmailChannel, EmailSettings
from sluice.alerting.channels.file import FileChannel, FileSettings
from sluice.alerting.channels.kafka_topic import KafkaChannel, KafkaSettings
from sluice.alerting.channels.pagerduty import PagerDutyChannel, PagerDutySettings
from sluice.alerting.channels.slack import SlackChannel, SlackSettings
from sluice.alerting.channels.webhook import WebhookChannel, WebhookSettings
from sluice.alerting.http_delivery import HookSettings
from sluice.alerting.rules import describe
from sluice.alerting.secret_sources import SecretSource
from sluice.alerting.signing import key_of
from sluice.alerting.targets import Resolve, check_url, resolve_host
from sluice.errors import AlertRulesInvalid, SecretMissing, TargetRefused
from sluice.sources.kafka_records import RecordSender

AnyChannel = Annotated[
    FileSettings | KafkaSettings | WebhookSettings | SlackSettings | EmailSettings | PagerDutySettings,
    Field(discriminator="type"),
]
_CHANNEL: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
_NAME = TypeAdapter(Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")])
# Topic to what sends to it.
OpenSender = Callable[[str], RecordSender]


def parse_channels(entries: Any, origin: str) -> dict[str, AnyChannel]:
    """The channels under `channels` of conf/alerts.yaml, by name.

    Raises:
        AlertRulesInvalid: names the file, the channel and every key that is unknown, missing or wrong; shows no value.
    """
    if not isinstance(entries, Mapping):
        raise AlertRulesInvalid(f"{origin}: channels must hold names with keys", "write `channels: {}` for none")
    found: dict[str, AnyChannel] = {}
    for name, entry in entries.items():
        try:
            _NAME.validate_python(name, strict=True)
        except ValidationError:
            raise AlertRulesInvalid(
                f"{origin}: {name!r} is no name of a channel", "small letters, digits, - and _, a letter first"
            ) from None
        try:
            found[name] = _CHANNEL.validate_python(entry)
        except ValidationError as error:
            raise AlertRulesInvalid(f"{origin}: channel {name}: {describe(error)}", "mend the file") from None
        _check_target(found[name], f"{origin}: channel {name}")
    return found


def _check_target(settings: AnyChannel, where: str) -> None:
    if isinstance(settings, HookSettings) and settings.url is not None:
        try:
            check_url(settings.url, settings.target_rules)
        except TargetRefused as error:
            raise AlertRulesInvalid(f"{where}: {error.message}", error.hint or "mend the file") from None


def require_secrets(channels: Mapping[str, AnyChannel]) -> None:
    """Refuses channels whose secrets are not there, before anything starts.

    Raises:
        SecretMissing: names the channel and the place.
    """
    for name, settings in channels.items():
        try:
            for source in _sources(settings):
                source.read()
            if isinstance(settings, WebhookSettings):
                for source in settings.secrets:
                    key_of(source.read())
        except SecretMissing as error:
            raise SecretMissing(f"channel {name}: {error.message}", error.hint) from None


def open_channel(
    settings: AnyChannel, folder: Path, open_sender: OpenSender, resolve: Resolve = resolve_host
) -> Channel:
    """What delivers to a channel; connects to nobody yet.

    Args:
        folder: that relative paths are relative to.
        open_sender: connects to the broker.

    Raises:
        OSError: a file of certificates cannot be read.
    """
    if isinstance(settings, FileSettings):
        return FileChannel(folder / settings.path.expanduser())
    if isinstance(settings, KafkaSettings):
        topic = settings.topic
        return KafkaChannel(lambda: open_sender(topic))
    if isinstance(settings, WebhookSettings):
        return WebhookChannel(settings, resolve)
    if isinstance(settings, SlackSettings):
        return SlackChannel(settings, resolve)
    if isinstance(settings, EmailSettings):
        return EmailChannel(settings)
    return PagerDutyChannel(settings, resolve)


def _sources(settings: AnyChannel) -> list[SecretSource]:
    if isinstance(settings, WebhookSettings):
        return [*settings.secrets, *([settings.url_from] if settings.url_from else [])]
    if isinstance(settings, SlackSettings):
        return [settings.url_from]
    if isinstance(settings, PagerDutySettings):
        return [settings.routing_key, *([settings.url_from] if settings.url_from else [])]
    if isinstance(settings, EmailSettings):
        return [settings.password] if settings.password else []
    return []
