"""The channel `email`: a message by SMTP, always with TLS and a certificate that is checked."""

from __future__ import annotations

import smtplib
import ssl
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from sluice.alerting.channels.channel import ChannelSettings, DeliveryFailed
from sluice.alerting.messages import Message
from sluice.alerting.secret_sources import SecretSource
from sluice.errors import SecretMissing

_ADDRESS = r"^[^\s@<>,;:\"\\]{1,64}@[^\s@<>,;:\"\\]{1,255}$"
_MOST_SUBJECT = 200


class EmailSettings(ChannelSettings):
    """A mail server, who writes and to whom.

    Attributes:
        security: `tls` from the first byte (usually port 465), or `starttls` (587); a server without it is refused.
        user, password: to log in with; neither for a server that wants none.
        ca_file: certificates to trust instead of the system's.
    """

    type: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    security: Literal["tls", "starttls"] = "starttls"
    sender: str = Field(pattern=_ADDRESS)
    recipients: tuple[str, ...] = Field(min_length=1, max_length=100)
    user: str | None = None
    password: SecretSource | None = None
    timeout_seconds: float = Field(default=30.0, gt=0, le=300)
    ca_file: Path | None = None
    group_seconds: float = Field(default=60.0, ge=0, le=3600)
    messages_per_minute: float = Field(default=6.0, gt=0)

    @field_validator("recipients")
    @classmethod
    def _addresses(cls, recipients: tuple[str, ...]) -> tuple[str, ...]:
        import re

        for each in recipients:
            if not re.fullmatch(_ADDRESS, each):
                raise ValueError(f"{each!r} is no address")
        return recipients

    @model_validator(mode="after")
    def _whole_login(self) -> EmailSettings:
        if (self.user is None) != (self.password is None):
            raise ValueError("give user and password, or neither")
        return self


class EmailChannel:
    """Sends a mail a message; its Message-ID is made of the message's id."""

    def __init__(self, settings: EmailSettings) -> None:
        self._settings = settings
        self._context = ssl.create_default_context(cafile=settings.ca_file)

    def deliver(self, message: Message) -> None:
        """Sends a message.

        Raises:
            DeliveryFailed: the server has not taken it for every recipient.
        """
        try:
            password = None if self._settings.password is None else self._settings.password.read()
            refused = self._send(mail_of(message, self._settings), password)
        except SecretMissing as error:
            raise DeliveryFailed(error.message) from None
        except smtplib.SMTPResponseException as error:
            # Not the server's words, in which anything may stand.
            kind = type(error).__name__
            raise DeliveryFailed(
                f"the mail server answers {error.smtp_code} ({kind})", is_final=500 <= error.smtp_code < 600
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise DeliveryFailed(
                f"the mail server refuses all recipients ({min(codes)})", is_final=min(codes) >= 500
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise DeliveryFailed("the mail server has no STARTTLS, or no way to log in", is_final=True) from None
        except ssl.SSLCertVerificationError as error:
            raise DeliveryFailed(f"the mail server's certificate is not accepted ({error.verify_message})") from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"no mail server to talk to ({type(error).__name__})") from None
        if refused:
            raise DeliveryFailed(f"the mail server refuses {refused} of the recipients", is_final=True)

    def close(self) -> None:
        """Has nothing open."""

    def _send(self, mail: EmailMessage, password: str | None) -> int:
        settings = self._settings
        with self._connected() as server:
            # The limit is one of each answer; what answers a byte at a time is cut off as a whole.
            guard = threading.Timer(settings.timeout_seconds, _cut_off, (server,))
            guard.daemon = True
            guard.start()
            try:
                if settings.security == "starttls":
                    server.starttls(context=self._context)
                if settings.user is not None and password is not None:
                    server.login(settings.user, password)
                return len(server.send_message(mail))
            finally:
                guard.cancel()

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.security == "tls":
            return smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=settings.timeout_seconds, context=self._context
            )
        return smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_seconds)


def mail_of(message: Message, settings: EmailSettings) -> EmailMessage:
    """The message as a mail; nothing that comes from data can be a header or a command."""
    from sluice.serving.values import printable

    mail = EmailMessage()
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Subject"] = printable(message.title)[:_MOST_SUBJECT]
    mail["Message-ID"] = f"<{message.message_id}@{settings.sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join([printable(line) for line in (message.title, "", *message.lines)]) + "\n")
    return mail


def _cut_off(server: smtplib.SMTP) -> None:
    import contextlib
    import socket

    if server.sock is not None:
        with contextlib.suppress(OSError):
            server.sock.shutdown(socket.SHUT_RDWR)
