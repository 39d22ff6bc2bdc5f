"""Signatures of webhooks after the Standard Webhooks convention (https://www.standardwebhooks.com), symmetric keys.

A message carries `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature`: `v1,` and the base64
of HMAC-SHA256 over `id.timestamp.body`, once for each secret in force, separated by spaces.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from sluice.errors import SecretMissing, SluiceError

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_SCHEME = "v1,"
_LEAST_BYTES, _MOST_BYTES = 16, 128


class SignatureWrong(SluiceError):
    """A webhook is not signed by a secret in force, or was signed too long ago or ahead."""


def key_of(secret: str) -> bytes:
    """The key in `whsec_…`.

    Raises:
        SecretMissing: it is not of that form; says nothing of what it is.
    """
    hint = f"write {PREFIX} and the base64 of {_LEAST_BYTES} to {_MOST_BYTES} random bytes"
    if not secret.startswith(PREFIX):
        raise SecretMissing(f"the secret of a webhook does not start with {PREFIX}", hint)
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SecretMissing("the secret of a webhook is not base64", hint) from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise SecretMissing("the secret of a webhook is too short or too long", hint)
    return key


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message.

    Args:
        secrets: those in force, while they are exchanged two.
        timestamp: of this attempt, in seconds since 1970.

    Raises:
        SecretMissing: one is not of its form.
    """
    signatures = [_SCHEME + _digest(key_of(secret), message_id, timestamp, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> None:
    """What a receiver checks; compares in constant time.

    Args:
        headers: names in lower case.
        now: in seconds since 1970.

    Raises:
        SignatureWrong: says what is.
        SecretMissing: a secret is not of its form.
    """
    try:
        message_id, given = headers["webhook-id"], headers["webhook-signature"]
        timestamp = int(headers["webhook-timestamp"])
    except (KeyError, ValueError):
        raise SignatureWrong("headers of the signature are missing or wrong") from None
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        raise SignatureWrong("the message was signed too long ago or ahead")
    expected = [_SCHEME + _digest(key_of(secret), message_id, timestamp, body) for secret in secrets]
    matches = [hmac.compare_digest(one.encode(), other.encode()) for one in given.split(" ") for other in expected]
    if not any(matches):
        raise SignatureWrong("no signature is by a secret in force")


def _digest(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
