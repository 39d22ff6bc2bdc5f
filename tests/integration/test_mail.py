"""Mail to a real server: TLS and login always, and every way in which it can fail."""

from __future__ import annotations

import email
import email.policy
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.receivers import Certificate, MailReceiver, free_port, mail_receiver, make_certificate
from tests.unit.alerting.examples import message, notice

from sluice.alerting.channels.channel import DeliveryFailed
from sluice.alerting.channels.email import EmailChannel, EmailSettings

LOGIN = ("sluice", "CANARY-word")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "mail.example.com")


@pytest.fixture(params=["starttls", "tls"])
def security(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver(certificate: Certificate, security: str) -> Iterator[MailReceiver]:
    with mail_receiver(certificate, LOGIN, starttls=security == "starttls") as found:
        yield found


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", LOGIN[1])


def channel(port: int, security: str, certificate: Certificate | None, **odd: Any) -> EmailChannel:
    content = {
        "type": "email",
        "host": "127.0.0.1",
        "port": port,
        "security": security,
        "sender": "sluice@example.com",
        "recipients": ["ops@example.com", "night@example.com"],
        "user": LOGIN[0],
        "password": {"env": "MAIL_PASSWORD"},
        "timeout_seconds": 5,
        "ca_file": certificate.certificate if certificate else None,
    }
    return EmailChannel(EmailSettings.model_validate({**content, **odd}))


def failure(found: EmailChannel) -> tuple[str, bool]:
    with pytest.raises(DeliveryFailed) as raised:
        found.deliver(message())
    assert "CANARY" not in raised.value.in_one_line
    return raised.value.message, raised.value.is_final


def test_a_mail_arrives_with_the_id_of_its_message(
    receiver: MailReceiver, security: str, certificate: Certificate
) -> None:
    told = message(notice(1, text="d1: 61 °C"), notice(2))
    channel(receiver.port, security, certificate).deliver(told)
    (envelope,) = receiver.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("sluice@example.com", ["ops@example.com", "night@example.com"])
    assert isinstance(envelope.content, bytes)
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["Message-ID"] == f"<{told.message_id}@example.com>"
    assert mail["Subject"] == "[critical] 2 alerts: 2 firing"
    assert mail.get_content().splitlines() == [told.title, "", *told.lines]


def test_a_certificate_that_nobody_vouches_for_is_not_accepted_and_no_password_sent(
    receiver: MailReceiver, security: str
) -> None:
    reason, is_final = failure(channel(receiver.port, security, None))
    assert reason.startswith("the mail server's certificate is not accepted")
    assert not is_final
    assert receiver.mails == []


def test_a_wrong_password_is_final(
    receiver: MailReceiver, security: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "CANARY-other")
    reason, is_final = failure(channel(receiver.port, security, certificate))
    assert (reason, is_final) == ("the mail server answers 535 (SMTPAuthenticationError)", True)


def test_what_the_server_cannot_take_now_is_tried_again_and_what_it_refuses_is_not(
    receiver: MailReceiver, security: str, certificate: Certificate
) -> None:
    receiver.refuses += ["451 try later, CANARY", "554 never, CANARY"]
    found = channel(receiver.port, security, certificate)
    assert failure(found) == ("the mail server answers 451 (SMTPDataError)", False)
    assert failure(found) == ("the mail server answers 554 (SMTPDataError)", True)
    found.deliver(message())
    assert len(receiver.mails) == 1


def test_a_server_without_tls_gets_neither_password_nor_mail() -> None:
    from aiosmtpd.controller import Controller

    plain = MailReceiver(free_port())
    controller = Controller(plain, "127.0.0.1", plain.port)
    controller.start()
    try:
        reason, is_final = failure(channel(plain.port, "starttls", None))
        assert (reason, is_final) == ("the mail server has no STARTTLS, or no way to log in", True)
        assert plain.mails == []
    finally:
        controller.stop()


def test_a_server_that_says_nothing_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        found = channel(silent.getsockname()[1], "starttls", None, timeout_seconds=0.5)
        assert failure(found) == ("no mail server to talk to (SMTPServerDisconnected)", False)
        assert time.monotonic() - start < 5
