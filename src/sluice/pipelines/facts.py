"""The facts about a batch that batch rules judge, from what the pass counted (docs/rules.md defines them)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sluice.pipelines.tally import Tally
from sluice.quality.facts import FEWEST_HISTORY_BATCHES

UNKNOWN_DEVICE, LATE = "unknown_device", "late"
Facts = Mapping[str, float | None]


def facts_of_silver(
    tally: Tally, rows: Mapping[str, int], versions: Iterable[int], past: Sequence[Facts], decided_at: datetime
) -> dict[str, float | None]:
    """What is known of a silver batch; None where nothing can be known.

    Args:
        rows: the ledger's counts, should the batch be promoted.
        versions: of the contract.
        past: the facts of earlier batches.
    """
    count, readable = rows["rows_in"], tally.readable
    shares = {f"share_version_{version}": _share(tally.versions[version], readable) for version in sorted(versions)}
    newest = tally.newest_kafka_timestamp
    return {
        "rows_in": count,
        "share_unreadable": _share(tally.unreadable.total(), count),
        "share_quarantined": _share(rows["rows_quarantined"], count),
        "share_unknown_device": _share(tally.marks[UNKNOWN_DEVICE], readable),
        "share_duplicate": _share(rows["rows_duplicate"], count),
        "share_late": _share(tally.marks[LATE], readable),
        "freshness_seconds": (decided_at - newest).total_seconds() if newest else None,
        "volume_ratio": _volume_ratio(count, past),
        "version_shift": _version_shift(shares, past),
        **shares,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _volume_ratio(count: int, past: Sequence[Facts]) -> float | None:
    volumes = [volume for facts in past if (volume := facts.get("rows_in"))]
    return count * len(volumes) / sum(volumes) if len(volumes) >= FEWEST_HISTORY_BATCHES else None


def _version_shift(shares: Facts, past: Sequence[Facts]) -> float | None:
    shifts = []
    for name, share in shares.items():
        before = [value for facts in past if (value := facts.get(name)) is not None]
        if share is not None and len(before) >= FEWEST_HISTORY_BATCHES:
            shifts.append(abs(share - sum(before) / len(before)))
    return max(shifts, default=None)
