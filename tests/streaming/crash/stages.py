"""The stages and the order of their commits.

To add one: a Stage here, with the files it leaves in the order in which it leaves them, in STAGES; and a maker of its
scene in `scenes.py`. All points follow from that.
"""

from __future__ import annotations

from sluice import schemas
from sluice.schemas import Table
from tests.streaming.crash.points import Stage, Step
from tests.streaming.crash.watch import BEGUN, OPENED

_BY_ANN = ("--by", "ann", "--why", "looked at it")


def _checkpoint(layer: str, folder: str) -> Step:
    path = f"_checkpoints/{layer}/{folder}"
    return Step(f"{path}/[0-9]*", f"{layer}'s {folder}/N", temporary=f"{path}/.[0-9]*.tmp")


def _owned(layer: str) -> Step:
    return Step(f"_locks/{layer}", f"{layer} has its owner", kind=OPENED, stays=False)


def _sealed(layer: str) -> Step:
    return Step(f"_checkpoints/{layer}/sealed.json", f"{layer} has sealed its offsets")


def _decision(layer: str) -> Step:
    path = f"_checkpoints/{layer}/decisions"
    return Step(f"{path}/{layer}-*.json", f"the decision of {layer}", temporary=f"{path}/.*.tmp")


def _breaker(layer: str) -> Step:
    return Step(f"_checkpoints/{layer}/breaker.json", f"the breaker of {layer}")


def _data(table: Table) -> Step:
    return Step(f"{table.relative_path}/*.parquet", f"files of {table.full_name}")


def _commit(table: Table, count: int = 1) -> Step:
    log = f"{table.relative_path}/_delta_log"
    name = f"the commit of {table.full_name}" + (" again" if count > 1 else "")
    # Spark renames it into place, deltalake links it there: whole as soon as it has its name.
    return Step(f"{log}/*.json", name, count, BEGUN, temporary=f"{log}/*.json[.#]*")


# Every command that asks for something begins and ends alike; one that promotes and a replay are killed there too.
_ASKING = ("the request", "the answer")


def _request(layer: str, name: str = "the request") -> Step:
    # It is taken away once it is answered. Its name ends in hexadecimal digits, the answer's does not.
    return Step(f"_requests/{layer}/*[0-9a-f].json", name, stays=False)


def _answer(layer: str, name: str = "the answer") -> Step:
    return Step(f"_requests/{layer}/*.answer.json", name)


def _begin(layer: str) -> tuple[Step, ...]:
    return _owned(layer), _checkpoint(layer, "offsets"), _sealed(layer)


def _batch(layer: str, *writes: Step) -> tuple[Step, ...]:
    return (*_begin(layer), *writes, _checkpoint(layer, "commits"))


def _run(layer: str) -> tuple[str, ...]:
    return ("run", "--once", "--layers", layer)


def _decide(action: str) -> tuple[str, ...]:
    return ("gate", action, "{hold}", *_BY_ANN)


BRONZE = Stage(
    "bronze",
    _run("bronze"),
    _batch("bronze", _data(schemas.BRONZE_EVENTS), _commit(schemas.BRONZE_EVENTS)),
    inside=("bronze's offsets/N", "the commit of bronze.events", "bronze's commits/N"),
)
SILVER = Stage(
    "silver",
    _run("silver"),
    _batch(
        "silver",
        _decision("silver"),
        _data(schemas.SILVER_READINGS),
        _commit(schemas.SILVER_READINGS),
        _data(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_DUPLICATES),
        _commit(schemas.OPS_CONFIGS),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _breaker("silver"),
    ),
    inside=("the decision of silver", "the commit of silver.readings"),
)
GOLD = Stage(
    "gold",
    _run("gold"),
    (
        *_batch(
            "gold",
            _decision("gold"),
            _data(schemas.GOLD_READINGS_1MIN),
            _commit(schemas.GOLD_READINGS_1MIN),
            # First what this batch supersedes, then what it holds itself.
            _commit(schemas.GOLD_HELD),
            _commit(schemas.GOLD_HELD, 2),
            _commit(schemas.GOLD_LATEST_READINGS),
            _commit(schemas.OPS_GOLD_PROMOTIONS),
            _breaker("gold"),
        ),
        _commit(schemas.GOLD_QUALITY_SCORES),
        Step("_checkpoints/gold/scores.json", "what the scores know"),
        _commit(schemas.GOLD_READINGS_1HOUR),
        _commit(schemas.GOLD_READINGS_1DAY),
        Step("_checkpoints/gold/rollups.json", "what the hours and days know"),
    ),
    inside=("the commit of gold.readings_1min",),
)
REFUSED = Stage(
    "refused",
    _run("silver"),
    _batch(
        "silver",
        _decision("silver"),
        _data(schemas.SILVER_HELD),
        _commit(schemas.SILVER_HELD),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _breaker("silver"),
    ),
    known=(
        "silver has its owner",
        "silver's offsets/N",
        "silver has sealed its offsets",
        "silver's commits/N",
    ),
)
APPROVE_SILVER = Stage(
    "approve silver",
    _decide(schemas.APPROVE),
    (
        _request("silver"),
        _decision("silver"),
        _commit(schemas.SILVER_READINGS),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_DUPLICATES),
        _commit(schemas.SILVER_HELD),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _answer("silver"),
    ),
)
APPROVE_GOLD = Stage(
    "approve gold",
    _decide(schemas.APPROVE),
    (
        _request("gold"),
        _decision("gold"),
        _commit(schemas.GOLD_READINGS_1MIN),
        _commit(schemas.GOLD_HELD),
        _commit(schemas.OPS_GOLD_PROMOTIONS),
        _answer("gold"),
    ),
    known=_ASKING,
)
REJECT_SILVER = Stage(
    "reject silver",
    _decide(schemas.REJECT),
    (_request("silver"), _commit(schemas.SILVER_HELD), _commit(schemas.OPS_SILVER_PROMOTIONS), _answer("silver")),
    known=_ASKING,
)

REPLAY = Stage(
    "replay",
    ("quarantine", schemas.REPLAY, "--code", schemas.RULE_FAILED, *_BY_ANN),
    (
        _request("silver"),
        _decision("silver"),
        _commit(schemas.SILVER_READINGS),
        _commit(schemas.SILVER_DUPLICATES),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.OPS_CONFIGS),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _answer("silver"),
    ),
)
DISCARD = Stage(
    "discard",
    ("quarantine", schemas.DISCARD, "--code", schemas.RULE_FAILED, *_BY_ANN),
    (
        _request("silver"),
        _decision("silver"),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _answer("silver"),
    ),
    known=_ASKING,
)

# From bronze into silver, and on into gold by a second owner.
REBUILD = Stage(
    schemas.REBUILD,
    ("replay", "--layer", "silver", "--from", "2000-01-01T00:00:00Z", *_BY_ANN),
    (
        _request("silver"),
        _decision("silver"),
        _request("gold", "the request to gold"),
        # What comes into a table is appended, what leaves it is taken away after the readings.
        _commit(schemas.SILVER_DUPLICATES),
        _commit(schemas.SILVER_READINGS),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_DUPLICATES, 2),
        _commit(schemas.OPS_CONFIGS),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _answer("silver", "silver's answer"),
        Step("_checkpoints/gold/replayed.json", "gold's note"),
        _decision("gold"),
        _commit(schemas.GOLD_READINGS_1MIN),
        _commit(schemas.GOLD_HELD),
        _commit(schemas.GOLD_HELD, 2),
        _commit(schemas.GOLD_LATEST_READINGS),
        _commit(schemas.OPS_GOLD_PROMOTIONS),
        _commit(schemas.GOLD_QUALITY_SCORES),
        _commit(schemas.GOLD_READINGS_1HOUR),
        _commit(schemas.GOLD_READINGS_1DAY),
        _answer("gold"),
    ),
    known=_ASKING,
)

STAGES = (BRONZE, SILVER, GOLD, REFUSED, APPROVE_SILVER, APPROVE_GOLD, REJECT_SILVER, REPLAY, DISCARD, REBUILD)
# All layers in one run, for `make test`.
WHOLE = Stage("whole", ("run", "--once"), (*BRONZE.steps, *SILVER.steps, *GOLD.steps))
