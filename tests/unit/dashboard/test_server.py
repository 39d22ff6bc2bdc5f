"""What is checked before the dashboard listens, and how Streamlit is closed in."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from sluice.dashboard.server import check_port, is_loopback, prepare, streamlit_options
from sluice.errors import DependencyError, SettingsInvalid
from sluice.settings import load_settings

EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("192.168.0.7", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_only_addresses_of_this_machine_alone_are_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_another_host_needs_a_password(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.delenv("SLUICE_DASHBOARD_PASSWORD", raising=False)
    settings = load_settings(options={"dashboard.host": EVERYWHERE, "dashboard.port": free_port})
    with pytest.raises(SettingsInvalid, match="without a password") as refused:
        prepare(settings)
    assert refused.value.exit_code == 2
    monkeypatch.setenv("SLUICE_DASHBOARD_PASSWORD", "x")
    guard = prepare(settings).guard
    assert guard is not None
    assert guard.accepts("x")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DependencyError, match=f"cannot listen at 127.0.0.1:{port}: address already in use"):
            check_port("127.0.0.1", port)


def test_a_name_that_is_no_address_is_named(free_port: int) -> None:
    with pytest.raises(DependencyError, match=r"cannot listen at no\.such\.host\.invalid"):
        check_port("no.such.host.invalid", free_port)


@pytest.mark.parametrize(("host", "names"), [("127.0.0.1", ["localhost", "127.0.0.1", "::1"]), (EVERYWHERE, [])])
def test_streamlit_sends_nothing_and_takes_no_request_from_elsewhere(host: str, names: list[str]) -> None:
    options = streamlit_options(host, 1234)
    closed: Mapping[str, object] = {
        "server_address": host,
        "server_port": 1234,
        "server_headless": True,
        "server_enableCORS": True,
        "server_enableXsrfProtection": True,
        "server_allowedHosts": names,
        "browser_gatherUsageStats": False,
        "client_showErrorDetails": "none",
    }
    assert {name: options[name] for name in closed} == closed


def test_every_option_is_one_that_streamlit_knows() -> None:
    from streamlit import config, net_util

    known = config.get_config_options()
    assert [name for name in streamlit_options("127.0.0.1", 1) if name.replace("_", ".") not in known] == []
    # What `serve` sets so that no address of this machine is asked for on the internet.
    assert "_external_ip" in vars(net_util)
