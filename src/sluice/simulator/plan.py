"""What to simulate: the options of `sluice generate`, checked and resolved before the first event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sluice.errors import UsageError

VERSIONS = ("1", "2", "reading")
LATE, DUPLICATE, CORRUPT, OUT_OF_RANGE = "late", "duplicate", "corrupt", "out_of_range"
FAULTS = (LATE, DUPLICATE, CORRUPT, OUT_OF_RANGE)
DEFAULT_VERSIONS = {"1": 0.3, "2": 0.5, "reading": 0.2}
DEFAULT_DEVICES = 100
DEFAULT_INTERVAL_SECONDS = 5.0
MAX_DEVICES = 100_000
# How far back an endless stream at full speed begins, before it catches up with the clock.
CATCH_UP_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Plan:
    """A stream of events, complete: the same plan is the same bytes.

    Attributes:
        devices: how many report, at least 1.
        start_ms: time of event 0, milliseconds since the epoch, UTC.
        interval_ms: how often each device reports; devices take turns evenly within it.
        seed: decides everything that is random.
        versions: share of the devices per version; sums to 1.
        faults: share of the events per fault; sums to at most 1.
        events: how many messages, copies included; None is no end.
    """

    devices: int
    start_ms: int
    interval_ms: int
    seed: int
    versions: Mapping[str, float]
    faults: Mapping[str, float]
    events: int | None

    @property
    def step_ms(self) -> float:
        """Milliseconds of event time from one event to the next."""
        return self.interval_ms / self.devices


@dataclass(frozen=True)
class Pace:
    """When messages may leave.

    Attributes:
        rate: messages a second; 0 is as fast as it goes.
        follows_clock: no message leaves before the time of the event whose turn it is.
    """

    rate: float
    follows_clock: bool


def resolve_plan(
    *,
    now_ms: int,
    rate: float | None = None,
    events: int | None = None,
    devices: int = DEFAULT_DEVICES,
    start_ms: int | None = None,
    interval_seconds: float | None = None,
    seed: int = 0,
    versions: Mapping[str, float] | None = None,
    faults: Mapping[str, float] | None = None,
) -> tuple[Plan, Pace]:
    """The plan and its pace; no event of a plan without `start_ms` leaves before its own time.

    Without `start_ms`, a given number of events ends now (history); without either, the stream is live: a rate
    stretches or shortens the interval so that event time follows the clock. No rate: full speed for a given number
    of events, else what the devices send by themselves.

    Raises:
        UsageError: options that contradict each other or are out of range.
    """
    if not 1 <= devices <= MAX_DEVICES:
        raise UsageError(f"--devices {devices}: not from 1 to {MAX_DEVICES}")
    live = events is None and start_ms is None
    interval_ms = _interval_ms(interval_seconds, devices, rate if live else None)
    natural_rate = devices * 1000 / interval_ms
    if rate is None:
        rate = 0 if events is not None else natural_rate
    if live and rate > natural_rate * 1.001:
        raise UsageError(
            f"{devices} devices every {interval_ms / 1000:g} s send {natural_rate:g} events a second, not {rate:g}",
            "leave out --interval, or give --start or --events",
        )
    if start_ms is None:
        start_ms = now_ms - _span_before_now(events, rate, interval_ms, devices)
        follows_clock = True
    else:
        follows_clock = False
    plan = Plan(devices, start_ms, interval_ms, seed, dict(versions or DEFAULT_VERSIONS), dict(faults or {}), events)
    return plan, Pace(rate, follows_clock)


def _interval_ms(seconds: float | None, devices: int, live_rate: float | None) -> int:
    if seconds is None:
        seconds = devices / live_rate if live_rate else DEFAULT_INTERVAL_SECONDS
    if not 0.001 <= seconds <= 31_536_000:
        raise UsageError(
            f"each device would report every {seconds:g} s: not from 0.001 s to a year", "mend --interval or --rate"
        )
    return round(seconds * 1000)


def _span_before_now(events: int | None, rate: float, interval_ms: int, devices: int) -> int:
    if events is not None:
        return math.ceil(events * interval_ms / devices)
    return 0 if rate else CATCH_UP_MS


def parse_shares(text: str, known: tuple[str, ...], option: str) -> dict[str, float]:
    """`late=0.01,duplicate=0.02` as a mapping.

    Raises:
        UsageError: an unknown or repeated name, a share outside [0, 1], or a sum above 1.
    """
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name not in known or not equals or name in shares:
            raise UsageError(f"{option} {part}: not of the form name=share", f"names: {', '.join(known)}, each once")
        shares[name] = _share(number, f"{option} {part}")
    if sum(shares.values()) > 1 + 1e-9:
        raise UsageError(f"{option}: the shares add up to {sum(shares.values()):g}, more than 1")
    return shares


def _share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"{where}: the share is not a number from 0 to 1")
    return share


def parse_versions(text: str) -> dict[str, float]:
    """`1=0.3,2=0.5,reading=0.2` as shares of the devices, scaled to sum to 1.

    Raises:
        UsageError: as parse_shares, or no version has a share.
    """
    shares = parse_shares(text, VERSIONS, "--versions")
    total = sum(shares.values())
    if not total:
        raise UsageError("--versions: no version has a share", "e.g. --versions 1=0.3,2=0.5,reading=0.2")
    return {version: share / total for version, share in shares.items()}


def parse_start(text: str) -> int:
    """An RFC 3339 time with offset as milliseconds since the epoch.

    Raises:
        UsageError: it is none, or outside the years 1970 to 9000.
    """
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9000:
        raise UsageError(f"--start {text}: not a time with an offset", "e.g. --start 2026-01-31T12:00:00Z")
    return math.floor(moment.timestamp() * 1000 + 0.5)
