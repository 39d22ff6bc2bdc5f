"""Listens, and ends in order: who may reach the server is settled before the first request."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from sluice.api.app import build_app
from sluice.api.keys import read_keys
from sluice.errors import AddressTaken, KeysInvalid, SettingsInvalid
from sluice.sections import ServeSettings

_WAITING_CONNECTIONS = 128
_MOST_CONNECTIONS = 1000
_GRACE_SECONDS = 10


class _Server(uvicorn.Server):
    """Ends on SIGTERM and SIGINT without ending by them: that it was told to stop is no failure."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(settings: ServeSettings, lake: Path, announce: Callable[[str], None]) -> None:
    """Serves a lake until SIGTERM or SIGINT; requests at work are answered first.

    Args:
        lake: its folder; need not exist yet.
        announce: is told the address as soon as connections are taken.

    Raises:
        SettingsInvalid: it would be open to the network without keys, or the host has no address.
        KeysInvalid: the file of keys cannot be used, or holds none.
        AddressTaken: nothing can listen there.
    """
    family, address = _resolve(settings.host, settings.port)
    _check_keys(settings, address)
    listening = _listen(family, address, settings)
    host, port = listening.getsockname()[:2]
    with listening:
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        config = uvicorn.Config(
            build_app(settings, lake),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        _Server(config).run(sockets=[listening])


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise SettingsInvalid(f"serve.host: {host!r} has no address", "e.g. 127.0.0.1") from None
    return family, str(address[0])


def _check_keys(settings: ServeSettings, address: str) -> None:
    if settings.keys_path is not None:
        if not read_keys(settings.keys_path):
            raise KeysInvalid(
                f"there are no keys in {settings.keys_path}", "sluice serve keys add NAME --customer '*' makes one"
            )
    elif not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise SettingsInvalid(
            f"without keys the API must not listen on {settings.host}: whoever reaches it could read all",
            "set serve.keys_path and add a key with `sluice serve keys add`, or use --host 127.0.0.1",
        )


def _listen(family: socket.AddressFamily, address: str, settings: ServeSettings) -> socket.socket:
    # asyncio lets small answers leave at once (TCP_NODELAY) only where a socket says that it is TCP; else the second
    # packet of an answer waits 40 ms for the client's delayed acknowledgement of the first.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, settings.port))
        listening.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        listening.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise AddressTaken(
            f"port {settings.port} of {settings.host} {why}", "stop what uses it, or take another with --port (0: any)"
        ) from None
    return listening
