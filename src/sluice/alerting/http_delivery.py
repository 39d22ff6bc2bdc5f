"""Posts a body to a hook: to the very address that was allowed, once, within a time, and reads little of the answer."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from sluice.alerting.channels.channel import ChannelSettings, DeliveryFailed
from sluice.alerting.secret_sources import SecretSource
from sluice.alerting.targets import Resolve, Target, TargetRules, find_target, resolve_host
from sluice.errors import SecretMissing, TargetRefused

if TYPE_CHECKING:
    import httpx

# Answers after which the same request may succeed; every other that is no success is final.
_TEMPORARY = frozenset({408, 425, 429})


class HookSettings(ChannelSettings):
    """What channels have that post to a URL.

    Attributes:
        url, url_from: the address, or where it is kept if it is secret.
        hosts: the URL's host must be one of them, spelt out.
        allow_private, allow_http: also addresses of private networks and this machine; also without TLS.
        timeout_seconds: for one attempt from its beginning to its end.
        max_response_bytes: an answer that is longer is cut off, and counts by its status.
        ca_file: certificates to trust instead of the usual ones.
    """

    url: str | None = None
    url_from: SecretSource | None = None
    hosts: tuple[str, ...] = Field(min_length=1)
    allow_private: bool = False
    allow_http: bool = False
    timeout_seconds: float = Field(default=10.0, gt=0, le=300)
    max_response_bytes: int = Field(default=65_536, ge=0)
    ca_file: Path | None = None

    @field_validator("hosts")
    @classmethod
    def _lower_case(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in hosts)

    @property
    def target_rules(self) -> TargetRules:
        """What may be reached."""
        return TargetRules(self.hosts, self.allow_private, self.allow_http)

    def where(self) -> str:
        """The URL as it is now.

        Raises:
            SecretMissing: it is not where it should be kept.
        """
        return self.url if self.url is not None else self.url_from.read() if self.url_from is not None else ""


class Hook:
    """Posts to the URL of a channel.

    Args:
        resolve: host and port to addresses.
    """

    def __init__(self, settings: HookSettings, resolve: Resolve = resolve_host) -> None:
        self._settings = settings
        self._resolve = resolve
        self._context = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        # They would tell URLs.
        for client in ("httpx", "httpcore"):
            logging.getLogger(client).setLevel(logging.WARNING)

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Posts JSON and expects an answer from 200 to 299.

        Raises:
            DeliveryFailed: there was another answer or none; final if another attempt would bring the same.
        """
        try:
            target = find_target(self._settings.where(), self._settings.target_rules, self._resolve)
        except TargetRefused as error:
            raise DeliveryFailed(f"refused to connect: {error.message}", is_final=True) from None
        except SecretMissing as error:
            raise DeliveryFailed(error.message) from None
        except (OSError, UnicodeError):
            raise DeliveryFailed("the host has no address") from None
        sent = {"content-type": "application/json", "user-agent": "sluice", **headers}
        _judge(*self._exchange(target, body, sent))

    def _exchange(self, target: Target, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        import httpx

        limit = self._settings.timeout_seconds
        try:
            return asyncio.run(asyncio.wait_for(self._send(target, body, headers), limit))
        except (TimeoutError, asyncio.TimeoutError, httpx.TimeoutException):
            raise DeliveryFailed(f"no answer within {limit:g} s") from None
        except httpx.ConnectError as error:
            # The cause names what is wrong with a certificate; the address is not in it.
            cause = _ssl_cause(error)
            raise DeliveryFailed(f"cannot connect{f': {cause}' if cause else ''}") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            # Not the error's own words, in which the URL may stand.
            raise DeliveryFailed(f"the connection broke ({type(error).__name__})") from None

    async def _send(self, target: Target, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        import httpx

        literal = f"[{target.address}]" if target.address.version == 6 else str(target.address)
        host = f"[{target.host}]" if ":" in target.host else target.host
        usual = 443 if target.scheme == "https" else 80
        named = {**headers, "host": host if target.port == usual else f"{host}:{target.port}"}
        async with (
            httpx.AsyncClient(
                verify=self._context, trust_env=False, follow_redirects=False, timeout=self._settings.timeout_seconds
            ) as client,
            client.stream(
                "POST",
                f"{target.scheme}://{literal}:{target.port}{target.path}",
                content=body,
                headers=named,
                extensions={"sni_hostname": target.host},
            ) as answer,
        ):
            await self._drain(answer)
            return answer.status_code, answer.headers.get("retry-after")

    async def _drain(self, answer: httpx.Response) -> None:
        """Reads no more of an answer than is allowed; as it came, for packed it could be of any size."""
        read = 0
        async for chunk in answer.aiter_raw():
            read += len(chunk)
            if read > self._settings.max_response_bytes:
                return


def retry_after_seconds(text: str | None, now: float) -> float | None:
    """What `Retry-After` asks for: seconds, or a moment; None where it says nothing that can be understood."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _judge(status: int, retry_after: str | None) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise DeliveryFailed(f"it answers {status}, a redirect, which is not followed", is_final=True)
    wait = retry_after_seconds(retry_after, time.time())
    is_final = status < 500 and status not in _TEMPORARY
    raise DeliveryFailed(f"it answers {status}", is_final=is_final, retry_after_seconds=wait)


def _ssl_cause(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({error.verify_message})"
        error = error.__cause__ or error.__context__
    return None
