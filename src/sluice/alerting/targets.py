"""Where a hook may lead: which hosts and which addresses, so that no rule of alerts reaches what only we can reach.

A host is looked up once, every address it has must be allowed, and the connection goes to one of these addresses: a
name that leads elsewhere a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sluice.errors import TargetRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Host and port to addresses as text, as getaddrinfo gives them.
Resolve = Callable[[str, int], Sequence[str]]

# WHATWG's "ends in a number": what some clients read as an IPv4 address in decimal, octal or hexadecimal.
_NUMBER_AT_END = re.compile(r"(^|\.)(0[xX][0-9a-fA-F]*|[0-9]+)\.?$")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
# Addresses of clouds' metadata services that are not link-local.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254", "192.0.0.192")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_MOST_CHARACTERS = 2_000


@dataclass(frozen=True)
class TargetRules:
    """What a channel may reach.

    Attributes:
        hosts: by name, in lower case; no other.
        allow_private: also addresses of private networks and this machine; never those of metadata services.
        allow_http: also without TLS.
    """

    hosts: tuple[str, ...]
    allow_private: bool = False
    allow_http: bool = False


@dataclass(frozen=True)
class Target:
    """A place that may be reached.

    Attributes:
        host: for the certificate and the header Host.
        address: to connect to, and no other.
        path: with the query; may be secret.
    """

    scheme: str
    host: str
    port: int
    path: str
    address: Address


def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        OSError: it has none, or nobody tells.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check_url(url: str, rules: TargetRules) -> None:
    """Refuses what is wrong with a URL without looking its host up.

    Raises:
        TargetRefused: as find_target.
    """
    _, host, _, _ = _parts(url, rules)
    literal = _literal(host)
    _require_known(host, rules)
    if literal is not None:
        _require_allowed(host, literal, rules)


def find_target(url: str, rules: TargetRules, resolve: Resolve = resolve_host) -> Target:
    """Where a URL leads, if it may be reached.

    Raises:
        TargetRefused: it may not; names the host at most, for the rest of a URL may be secret.
        OSError: the host has no address now.
    """
    scheme, host, port, path = _parts(url, rules)
    _require_known(host, rules)
    literal = _literal(host)
    found = [literal] if literal is not None else [ipaddress.ip_address(text) for text in resolve(host, port)]
    if not found:
        raise OSError(f"{host} has no address")
    for address in found:
        _require_allowed(host, address, rules)
    return Target(scheme, host, port, path, found[0])


def _require_known(host: str, rules: TargetRules) -> None:
    if host not in rules.hosts:
        raise TargetRefused(f"the host {host} is not among the hosts of the channel", "add it to hosts, if it is meant")


def _require_allowed(host: str, address: Address, rules: TargetRules) -> None:
    if why := refusal_of(address, rules):
        raise TargetRefused(f"{host} leads to {address}, {why}", "see allow_private of the channel")


def refusal_of(address: Address, rules: TargetRules) -> str | None:
    """Why an address must not be reached; None where it may."""
    for each in (address, *_embedded(address)):
        if each in _METADATA or each.is_link_local:
            return "which may be a metadata service"
        if each.is_multicast or each.is_unspecified:
            return "which is no host's address"
        if rules.allow_private and (each.is_private or each.is_loopback):
            continue
        if not each.is_global or each.is_reserved or each.is_loopback:
            return "an address of a private network or of this machine"
    return None


def _embedded(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    found += list(address.teredo or ())
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64 or int(address) >> 32 == 0:
        found.append(low)
    return [each for each in found if each is not None]


def _parts(url: str, rules: TargetRules) -> tuple[str, str, int, str]:
    if len(url) > _MOST_CHARACTERS or re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise TargetRefused("the URL holds characters that belong in none")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused("the URL cannot be read") from None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme != "https" and not (scheme == "http" and rules.allow_http):
        raise TargetRefused("the URL is not https", "write https://, or set allow_http for a receiver nearby")
    if "@" in parts.netloc:
        raise TargetRefused("the URL holds a name or password", "leave it out")
    if _literal(host) is None and (not _HOST.fullmatch(host) or _NUMBER_AT_END.search(host)):
        raise TargetRefused("the host of the URL is neither a name nor an address in its usual form")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return scheme, host, port or (443 if scheme == "https" else 80), path


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
