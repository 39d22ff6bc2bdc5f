"""The web server of the dashboard: Streamlit, closed in before it listens."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from sluice.dashboard.password import Guard, find_password
from sluice.errors import DependencyError, SettingsInvalid
from sluice.settings import DASHBOARD_PASSWORD, Settings

_SCRIPT = Path(__file__).parent / "entry" / "page.py"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


@dataclass(frozen=True)
class Running:
    """What the page needs of the command that started it.

    Attributes:
        guard: None where no password is asked for.
    """

    settings: Settings
    guard: Guard | None


class _Process:
    """The one dashboard of this process; Streamlit runs the page without arguments."""

    running: Running | None = None


def running() -> Running:
    """What `serve` was called with.

    Raises:
        RuntimeError: nobody called it.
    """
    if _Process.running is None:
        raise RuntimeError("start it with `sluice dashboard`")
    return _Process.running


def prepare(settings: Settings) -> Running:
    """What is to be served, checked before anything starts.

    Raises:
        SettingsInvalid: the host is no loopback address and there is no password, or the password cannot be used.
        DependencyError: the port is taken, or the host is no address of this machine.
    """
    host, port = settings.dashboard.host, settings.dashboard.port
    password = find_password(settings.dashboard.password_path, os.environ)
    if password is None and not is_loopback(host):
        raise SettingsInvalid(
            f"dashboard.host is {host}: others could read the lake without a password",
            f"set dashboard.password_path or {DASHBOARD_PASSWORD}, or reach 127.0.0.1 by an SSH tunnel",
        )
    check_port(host, port)
    return Running(settings, None if password is None else Guard(password, time.monotonic))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_port(host: str, port: int) -> None:
    """Refuses an address that cannot be listened at.

    Raises:
        DependencyError: as above.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        fact = (error.strerror or str(error)).lower()
        hint = "stop what listens there, or choose another: --port N"
        raise DependencyError(f"cannot listen at {host}:{port}: {fact}", hint) from None


def serve(started: Running) -> None:
    """Serves the dashboard until the process is asked to stop (SIGINT, SIGTERM).

    Raises:
        DependencyError: Streamlit is not installed.
    """
    try:
        from streamlit import net_util
        from streamlit.web import bootstrap
    except ImportError:
        raise DependencyError("streamlit is not installed", "pip install 'sluice[serving]'") from None
    _Process.running = started
    # Asked of a service on the internet whenever a page from elsewhere tries to connect.
    net_util._external_ip = ""
    options = streamlit_options(started.settings.dashboard.host, started.settings.dashboard.port)
    bootstrap.load_config_options(options)
    # After its options, which it reads when it is imported.
    from sluice.dashboard.page import warm_up

    warm_up()
    bootstrap.run(str(_SCRIPT), False, [], options)


def streamlit_options(host: str, port: int) -> dict[str, object]:
    """Streamlit's options, by its own names with _ for the dot; they win over its files and environment."""
    names = ["localhost", "127.0.0.1", "::1"] if is_loopback(host) else []
    return {
        "server_address": host,
        "server_port": port,
        "server_headless": True,
        "server_allowedHosts": names,
        "server_enableCORS": True,
        "server_enableXsrfProtection": True,
        "server_xsrfCookieSameSite": "strict",
        "server_enableStaticServing": False,
        "server_enableAgentApi": False,
        "server_fileWatcherType": "none",
        "server_runOnSave": False,
        "server_maxUploadSize": 1,
        "server_showEmailPrompt": False,
        "browser_gatherUsageStats": False,
        "global_developmentMode": False,
        "client_toolbarMode": "viewer",
        "client_showErrorDetails": "none",
        "client_showErrorLinks": False,
        "client_showSidebarNavigation": False,
        "logger_level": "error",
        "logger_hideWelcomeMessage": True,
        "theme_font": _FONT,
        "theme_headingFont": _FONT,
        # One for each, so that the browser's choice of light or dark holds.
        "theme_light_primaryColor": "#2563eb",
        "theme_dark_primaryColor": "#60a5fa",
        "theme_baseRadius": "0.5rem",
    }
