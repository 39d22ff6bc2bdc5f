"""Hooks against real servers: what is sent, every way in which a receiver can fail, and that no secret gets out."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.receivers import Answer, Certificate, HttpReceiver, http_receiver, make_certificate
from tests.unit.alerting.examples import message, notice

from sluice.alerting.channels.channel import DeliveryFailed
from sluice.alerting.channels.pagerduty import PagerDutyChannel, PagerDutySettings
from sluice.alerting.channels.slack import SlackChannel, SlackSettings
from sluice.alerting.channels.webhook import WebhookChannel, WebhookSettings
from sluice.alerting.http_delivery import retry_after_seconds
from sluice.alerting.signing import verify

HOST = "hooks.example.com"
SECRETS = ["whsec_" + "Q0FOQVJZ" * 4, "whsec_" + "c2Vjb25k" * 4]
CANARIES = ["Q0FOQVJZ", "c2Vjb25k", "CANARY"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def receiver(certificate: Certificate) -> Iterator[HttpReceiver]:
    with http_receiver(certificate.context()) as found:
        yield found


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, secret in enumerate(SECRETS):
        monkeypatch.setenv(f"HOOK_SECRET_{number}", secret)
    monkeypatch.setenv("ROUTING_KEY", "CANARY-routing")


def loopback(host: str, port: int) -> Sequence[str]:
    assert host == HOST
    return ["127.0.0.1"]


def settings(receiver: HttpReceiver, certificate: Certificate, **odd: Any) -> dict[str, Any]:
    known = {"hosts": [HOST], "allow_private": True, "ca_file": certificate.certificate, "timeout_seconds": 5}
    return {"url": f"https://{HOST}:{receiver.port}/in?token=CANARY", **known, **odd}


def webhook(receiver: HttpReceiver, certificate: Certificate, **odd: Any) -> WebhookChannel:
    sources = [{"env": "HOOK_SECRET_0"}, {"env": "HOOK_SECRET_1"}]
    content = {"type": "webhook", "secrets": sources, **settings(receiver, certificate, **odd)}
    return WebhookChannel(WebhookSettings.model_validate(content), loopback)


def failure(channel: WebhookChannel) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as raised:
        channel.deliver(message())
    assert not any(canary in raised.value.in_one_line for canary in CANARIES)
    return raised.value


def test_a_message_is_signed_by_both_secrets_and_reaches_the_host_it_was_meant_for(
    receiver: HttpReceiver, certificate: Certificate
) -> None:
    told = message(notice(1), notice(2))
    webhook(receiver, certificate).deliver(told)
    (received,) = receiver.received
    assert received.path == "/in?token=CANARY"
    assert received.headers["host"] == f"{HOST}:{receiver.port}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == told.message_id
    assert json.loads(received.body) == told.as_json()
    for secret in SECRETS:
        verify([secret], received.headers, received.body, time.time())


def test_a_repeated_delivery_has_the_same_id_and_body(receiver: HttpReceiver, certificate: Certificate) -> None:
    channel = webhook(receiver, certificate)
    channel.deliver(message())
    channel.deliver(message())
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


@pytest.mark.parametrize(
    ("answer", "reason", "is_final", "wait"),
    [
        (Answer(500), "it answers 500", False, None),
        (Answer(503, {"retry-after": "7"}), "it answers 503", False, 7.0),
        (Answer(429, {"retry-after": "12"}), "it answers 429", False, 12.0),
        (Answer(408), "it answers 408", False, None),
        (Answer(400, body=b"CANARY"), "it answers 400", True, None),
        (Answer(401), "it answers 401", True, None),
        (Answer(410), "it answers 410", True, None),
        (Answer(302, {"location": "http://127.0.0.1/"}), "it answers 302, a redirect", True, None),
        (Answer(307, {"location": "http://169.254.169.254/"}), "it answers 307, a redirect", True, None),
    ],
    ids=str,
)
def test_an_answer_that_is_no_success_says_whether_to_try_again(
    receiver: HttpReceiver,
    certificate: Certificate,
    answer: Answer,
    reason: str,
    is_final: bool,
    wait: float | None,
) -> None:
    receiver.answers.append(answer)
    found = failure(webhook(receiver, certificate))
    assert reason in found.message
    assert (found.is_final, found.retry_after_seconds) == (is_final, wait)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(drip=True)], ids=["hangs", "drips"])
def test_what_takes_too_long_is_cut_off_as_a_whole(
    receiver: HttpReceiver, certificate: Certificate, answer: Answer
) -> None:
    receiver.answers.append(answer)
    start = time.monotonic()
    found = failure(webhook(receiver, certificate, timeout_seconds=0.5))
    assert (found.message, found.is_final) == ("no answer within 0.5 s", False)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("packed", [False, True])
def test_a_long_answer_is_not_read_to_its_end(receiver: HttpReceiver, certificate: Certificate, packed: bool) -> None:
    body = b"0" * 50_000_000
    headers = {"content-encoding": "gzip"} if packed else {}
    receiver.answers.append(Answer(200, headers, gzip.compress(body, 1) if packed else body))
    webhook(receiver, certificate, max_response_bytes=1000).deliver(message())


def test_a_certificate_of_another_name_or_issuer_is_not_accepted(
    receiver: HttpReceiver, certificate: Certificate, tmp_path: Path
) -> None:
    found = failure(webhook(receiver, make_certificate(tmp_path)))
    assert "its certificate is not accepted" in found.message
    assert not found.is_final
    with http_receiver(make_certificate(tmp_path, "other.example.com").context()) as other:
        channel = webhook(other, Certificate(tmp_path / "other.example.com.pem", tmp_path / "other.example.com.key"))
        assert "its certificate is not accepted" in failure(channel).message
        assert other.received == []


def test_nobody_at_the_address_is_tried_again(receiver: HttpReceiver, certificate: Certificate) -> None:
    channel = webhook(receiver, certificate, url=f"https://{HOST}:1/CANARY")
    assert (failure(channel).message, failure(channel).is_final) == ("cannot connect", False)


def test_a_name_that_is_bound_to_this_machine_after_it_was_allowed_is_not_reached(
    receiver: HttpReceiver, certificate: Certificate
) -> None:
    """The first look-up is what is connected to: a second one, which would lead here, is never made."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        # TEST-NET-1 leads nowhere; were the host looked up again by the client, it would not resolve at all.
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    content = settings(receiver, certificate, timeout_seconds=0.3)
    sources = [{"env": "HOOK_SECRET_0"}]
    channel = WebhookChannel(
        WebhookSettings.model_validate({"type": "webhook", "secrets": sources, **content}), rebinding
    )
    with pytest.raises(DeliveryFailed, match=r"no answer within 0.3 s|cannot connect|the connection broke"):
        channel.deliver(message())
    assert (asked, receiver.received) == ([HOST], [])


def test_a_private_address_is_refused_for_good_unless_it_is_allowed(
    receiver: HttpReceiver, certificate: Certificate
) -> None:
    found = failure(webhook(receiver, certificate, allow_private=False))
    assert found.message.startswith(f"refused to connect: {HOST} leads to 127.0.0.1")
    assert found.is_final
    assert receiver.received == []


def test_a_proxy_of_the_environment_is_not_used(
    receiver: HttpReceiver, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    webhook(receiver, certificate).deliver(message())
    assert len(receiver.received) == 1


def test_slack_gets_its_text_at_the_secret_url(
    receiver: HttpReceiver, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_URL", f"https://{HOST}:{receiver.port}/services/CANARY")
    known = {key: value for key, value in settings(receiver, certificate).items() if key != "url"}
    content = {"type": "slack", "url_from": {"env": "SLACK_URL"}, **known}
    SlackChannel(SlackSettings.model_validate(content), loopback).deliver(message())
    (received,) = receiver.received
    assert received.path == "/services/CANARY"
    assert json.loads(received.body)["text"].startswith("*[critical] firing: d1: 61*\nalert: al-")


def test_pagerduty_gets_an_event_an_alert_and_goes_on_where_it_failed(
    receiver: HttpReceiver, certificate: Certificate
) -> None:
    content = {"type": "pagerduty", "routing_key": {"env": "ROUTING_KEY"}, **settings(receiver, certificate)}
    channel = PagerDutyChannel(PagerDutySettings.model_validate(content), loopback)
    receiver.answers += [Answer(202), Answer(429)]
    told = message(notice(1), notice(2), notice(3))
    with pytest.raises(DeliveryFailed, match="it answers 429"):
        channel.deliver(told)
    channel.deliver(told)
    events = [json.loads(each.body) for each in receiver.received]
    keys = [notice(number).alert.alert_id for number in (1, 2, 2, 3)]
    assert [each["dedup_key"] for each in events] == keys
    assert {each["routing_key"] for each in events} == {"CANARY-routing"}


def test_no_secret_is_logged_at_any_level(
    receiver: HttpReceiver, certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers += [Answer(500, body=b"CANARY"), Answer(302), Answer()]
    channel = webhook(receiver, certificate)
    failure(channel)
    failure(channel)
    channel.deliver(message())
    failure(webhook(receiver, certificate, url=f"https://{HOST}:1/CANARY"))
    assert not any(canary in caplog.text for canary in CANARIES)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_what_retry_after_asks_for(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text, now=100.0) == seconds
