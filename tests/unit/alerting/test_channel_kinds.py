"""Channels in conf/alerts.yaml: what is wrong with one is told before anything starts, and no secret with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice.alerting.channels.kinds import parse_channels, require_secrets
from sluice.alerting.configuration import load_configuration
from sluice.errors import AlertRulesInvalid, SecretMissing
from sluice.settings import load_settings

HOOK = {"type": "webhook", "url": "https://hooks.example.com/x", "hosts": ["hooks.example.com"]}
SIGNED = {**HOOK, "secrets": [{"env": "HOOK_SECRET"}]}
MAIL = {"type": "email", "host": "mail", "port": 465, "sender": "a@b.c", "recipients": ["d@e.f"]}


def refusal(entry: Any) -> str:
    with pytest.raises(AlertRulesInvalid) as raised:
        parse_channels({"hook": entry}, "alerts.yaml")
    assert "CANARY" not in raised.value.in_one_line
    return raised.value.message.removeprefix("alerts.yaml: channel hook: ")


def test_the_shipped_file_is_as_it_must_be() -> None:
    assert list(load_configuration(load_settings(environment={})).channels) == ["log"]


def test_every_kind_with_its_least() -> None:
    source = {"env": "SECRET"}
    found = parse_channels(
        {
            "a": {"type": "file", "path": "x"},
            "b": {"type": "kafka", "topic": "t"},
            "c": SIGNED,
            "d": {"type": "slack", "url_from": source},
            "e": MAIL,
            "f": {"type": "pagerduty", "routing_key": source},
        },
        "alerts.yaml",
    )
    assert [settings.type for settings in found.values()] == ["file", "kafka", "webhook", "slack", "email", "pagerduty"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"type": "pigeon"}, "'pigeon'"),
        ({"path": "x"}, "'type'"),
        ("CANARY", "valid dictionary"),
        (HOOK, "secrets: the key is missing"),
        ({**SIGNED, "secret": "whsec_CANARY"}, "secret: there is no such key"),
        ({**HOOK, "secrets": ["whsec_CANARY"]}, "secrets.0: Input should be a valid dictionary"),
        ({**SIGNED, "url_from": {"env": "X"}}, "give one of url and url_from"),
        ({**SIGNED, "hosts": []}, "hosts: Tuple should have at least 1 item"),
        ({**SIGNED, "url": "http://hooks.example.com/CANARY"}, "the URL is not https"),
        ({**SIGNED, "url": "https://elsewhere.org/CANARY"}, "the host elsewhere.org is not among the hosts"),
        ({**SIGNED, "url": "https://127.0.0.1/", "hosts": ["127.0.0.1"]}, "127.0.0.1 leads to 127.0.0.1"),
        ({**SIGNED, "max_attempts": 0}, "max_attempts"),
        (
            {"type": "slack", "url": "https://hooks.slack.com/CANARY", "url_from": {"env": "X"}},
            "url: Input should be None",
        ),
        ({**MAIL, "security": "none"}, "security: Input should be 'tls' or 'starttls'"),
        ({**MAIL, "user": "u"}, "give user and password"),
        ({**MAIL, "recipients": ["d@e.f\nBcc: x@y.z"]}, "is no address"),
        ({**MAIL, "password": "CANARY"}, "password: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(entry: Any, reason: str) -> None:
    assert reason in refusal(entry)


def test_a_name_that_could_be_a_path_is_refused() -> None:
    with pytest.raises(AlertRulesInvalid, match="is no name of a channel"):
        parse_channels({"../x": {"type": "file", "path": "x"}}, "alerts.yaml")


def test_a_secret_that_is_missing_or_malformed_is_named_with_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = parse_channels({"hook": SIGNED}, "alerts.yaml")
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with pytest.raises(SecretMissing, match="channel hook: the environment has no HOOK_SECRET"):
        require_secrets(channels)
    monkeypatch.setenv("HOOK_SECRET", "CANARY")
    with pytest.raises(SecretMissing, match="channel hook: the secret of a webhook does not start with whsec_"):
        require_secrets(channels)


def test_an_unknown_key_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text("channel: {}\n")
    with pytest.raises(AlertRulesInvalid, match="unknown key channel"):
        load_configuration(load_settings(options={"alerts.path": str(tmp_path / "alerts.yaml")}, environment={}))
