"""Where a hook may lead: no form of a private address, no host that is not listed, no name that leads elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sluice.alerting.targets import Resolve, Target, TargetRules, check_url, find_target
from sluice.errors import TargetRefused

PUBLIC = "93.184.216.34"
RULES = TargetRules(("hooks.example.com",))


def leading_to(*addresses: str) -> Resolve:
    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def refusal(url: str, *addresses: str, rules: TargetRules = RULES) -> str:
    with pytest.raises(TargetRefused) as raised:
        find_target(url, rules, leading_to(*addresses))
    return raised.value.message


def test_a_listed_host_with_a_public_address_is_reached_at_that_address() -> None:
    found = find_target("https://Hooks.example.com/a?b=c#d", RULES, leading_to(PUBLIC))
    assert str(found.address) == PUBLIC
    assert found == Target("https", "hooks.example.com", 443, "/a?b=c", found.address)


def test_the_host_is_looked_up_once() -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        # Another answer each time, as when a name is bound anew behind our back.
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    assert str(find_target("https://hooks.example.com/", RULES, resolve).address) == PUBLIC
    assert asked == ["hooks.example.com"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_an_address_that_only_we_can_reach_is_refused(address: str) -> None:
    assert refusal("https://hooks.example.com/", address).startswith("hooks.example.com leads to ")


def test_one_refused_address_among_several_refuses_the_host() -> None:
    assert "leads to 10.0.0.1" in refusal("https://hooks.example.com/", PUBLIC, "10.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "::ffff:192.168.1.1", "fd12::1"])
def test_private_addresses_are_reached_where_that_is_allowed(address: str) -> None:
    allowed = TargetRules(("hooks.example.com",), allow_private=True)
    assert find_target("https://hooks.example.com/", allowed, leading_to(address)).host == "hooks.example.com"


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "::"])
def test_metadata_services_are_never_reached(address: str) -> None:
    allowed = TargetRules(("hooks.example.com",), allow_private=True)
    assert "leads to" in refusal("https://hooks.example.com/", address, rules=allowed)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://evil.example.com/", "the host evil.example.com is not among the hosts of the channel"),
        ("https://hooks.example.com.evil.org/", "is not among the hosts"),
        ("http://hooks.example.com/", "the URL is not https"),
        ("ftp://hooks.example.com/", "the URL is not https"),
        ("file:///etc/passwd", "the URL is not https"),
        ("https://user:word@hooks.example.com/", "holds a name or password"),
        ("https://hooks.example.com\\@127.0.0.1/", "characters that belong in none"),
        ("https://hooks.example.com/\r\nX: y", "characters that belong in none"),
        ("https://hooks.example.com:99999/", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https:///x", "neither a name nor an address"),
        ("https://2130706433/", "neither a name nor an address"),
        ("https://0177.0.0.1/", "neither a name nor an address"),
        ("https://0x7f.0.0.1/", "neither a name nor an address"),
        ("https://0x7f000001/", "neither a name nor an address"),
        ("https://127.1/", "neither a name nor an address"),
        ("https://127.0.0.1./", "neither a name nor an address"),
        ("https://①②⑦.⓪.⓪.①/", "neither a name nor an address"),
        ("https://" + "a" * 2000, "characters that belong in none"),
    ],
)
def test_a_url_that_is_not_as_it_must_be_is_refused_before_anything_is_looked_up(url: str, reason: str) -> None:
    assert reason in refusal(url)
    with pytest.raises(TargetRefused):
        check_url(url, RULES)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_address_that_is_listed_is_judged_all_the_same(host: str) -> None:
    listed = TargetRules((host.strip("[]"),))
    assert "leads to" in refusal(f"https://{host}/", rules=listed)


def test_a_name_without_an_address_is_no_refusal() -> None:
    with pytest.raises(OSError, match="has no address"):
        find_target("https://hooks.example.com/", RULES, leading_to())
