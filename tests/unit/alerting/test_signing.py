"""Signatures of webhooks: the convention's own example, exchange of secrets, and what a receiver must refuse."""

from __future__ import annotations

import base64

import pytest

from sluice.alerting.signing import SignatureWrong, sign, verify
from sluice.errors import SecretMissing

# The example of the convention's own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes ......").decode()


def test_the_example_of_the_convention() -> None:
    assert sign([SECRET], MESSAGE, TIME, BODY) == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_are_exchanged_either_is_accepted() -> None:
    headers = sign([OTHER, SECRET], MESSAGE, TIME, BODY)
    assert len(headers["webhook-signature"].split(" ")) == 2
    verify([SECRET], headers, BODY, TIME)
    verify([OTHER], headers, BODY, TIME)


@pytest.mark.parametrize(
    ("headers", "body", "now"),
    [
        ({}, b'{"test": 2432232315}', TIME),
        ({"webhook-id": "msg_other"}, BODY, TIME),
        ({"webhook-timestamp": str(TIME + 1)}, BODY, TIME),
        ({"webhook-signature": "v1,"}, BODY, TIME),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, TIME),
        ({"webhook-timestamp": "x"}, BODY, TIME),
        ({}, BODY, TIME + 301),
        ({}, BODY, TIME - 301),
    ],
    ids=["body", "id", "time", "empty", "scheme", "no time", "replayed", "ahead"],
)
def test_what_was_tampered_with_or_is_replayed_is_refused(headers: dict[str, str], body: bytes, now: float) -> None:
    with pytest.raises(SignatureWrong):
        verify([SECRET], {**sign([SECRET], MESSAGE, TIME, BODY), **headers}, body, now)


def test_a_message_signed_by_a_secret_that_is_no_longer_in_force_is_refused() -> None:
    with pytest.raises(SignatureWrong, match="no signature is by a secret in force"):
        verify([OTHER], sign([SECRET], MESSAGE, TIME, BODY), BODY, TIME)


@pytest.mark.parametrize("secret", ["CANARY", "whsec_CANARY!", "whsec_Q0FOQVJZ", "whsec_" + "Q0FO" * 50])
def test_a_secret_of_another_form_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(SecretMissing) as raised:
        sign([secret], MESSAGE, TIME, BODY)
    assert "CANARY" not in raised.value.in_one_line
    assert "Q0FO" not in raised.value.in_one_line
