"""What a person, or a timer, asks of the tables' owners: given to them, or carried out here where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake.exceptions import DeltaError

from sluice.errors import RequestUnanswered, SluiceError
from sluice.pipelines.driver import order_layers
from sluice.pipelines.holds import await_answer
from sluice.pipelines.interrupted import unfinished_batch
from sluice.pipelines.maintenance import (
    MAINTAIN,
    Plan,
    Told,
    answer_maintenance,
    maintain_layer,
    plan_of,
    summary,
)
from sluice.schemas import LAYER_TABLES, LEDGERS
from sluice.settings import Settings
from sluice.tables.lake import Lake
from sluice.tables.requests import Request, find_answer, submit_once

BY, WHY = "sluice maintain", "as maintain.…_days asks"


@dataclass(frozen=True)
class LayerOutcome:
    """What became of the maintenance of a layer.

    Attributes:
        done: false if it failed; `message` then says why.
        tables: what was done to each table, the fields of `Upkeep`.
    """

    layer: str
    done: bool
    message: str
    tables: Sequence[Mapping[str, Any]] = ()

    @property
    def refused(self) -> list[str]:
        """What was refused, of all tables."""
        return [f"{table['table']}: {line}" for table in self.tables for line in table["refused"]]


def maintain(
    settings: Settings,
    layers: Sequence[str],
    *,
    by: str = BY,
    why: str = WHY,
    dry_run: bool = False,
    wait_seconds: float = 600.0,
    told: Told = lambda _: None,
) -> list[LayerOutcome]:
    """Maintains the tables of some layers, one layer after the other.

    A request stays until the layer's owner has answered it. The same one, given again while it stays, is not a second
    one. A layer that nobody has run yet is passed over.

    Args:
        dry_run: only tell; owns nothing and writes nothing.
        wait_seconds: for each owner's answer.
        told: is given what is being done, for people.

    Raises:
        UsageError: a layer is unknown.
        LakeMissing, LakeTooNew: there is nothing to maintain, or not by this version.
    """
    lake = Lake(settings.lake.path)
    lake.require()
    plan, carry_out = plan_of(settings), _rehearse if dry_run else _ask
    return [
        carry_out(settings, lake, layer, plan, by, why, wait_seconds, told)
        for layer in order_layers(layers)
        if any(lake.has_table(table) for table in LAYER_TABLES[layer])
    ]


def _rehearse(
    _: Settings, lake: Lake, layer: str, plan: Plan, by: str, why: str, __: float, told: Told
) -> LayerOutcome:
    try:
        found = maintain_layer(lake, layer, plan, by, why, dry_run=True, told=told)
    except (DeltaError, OSError) as error:
        return LayerOutcome(layer, False, f"the tables of {layer} cannot be read: {error}")
    return LayerOutcome(layer, True, summary(layer, found), [each.as_json() for each in found])


def _ask(
    settings: Settings, lake: Lake, layer: str, plan: Plan, by: str, why: str, wait_seconds: float, told: Told
) -> LayerOutcome:
    request = submit_once(lake, layer, MAINTAIN, plan.as_text(), by, why)
    told(f"{layer}: waiting for its owner, or being it")
    try:
        answer = await_answer(settings, request, wait_seconds, _as_owner(told))
    except SluiceError as error:
        # The other layers are maintained all the same.
        return LayerOutcome(layer, False, error.in_one_line)
    return LayerOutcome(layer, answer.done, answer.message, answer.details.get("tables", ()))


def _as_owner(told: Told) -> Callable[[Settings, Lake, Request], None]:
    def carry_out(_: Settings, lake: Lake, request: Request) -> None:
        layer = request.layer
        answer_maintenance(lake, layer, told)
        if find_answer(lake, request) is None:
            interrupted = unfinished_batch(lake, layer) if layer in LEDGERS else None
            raise RequestUnanswered(
                f"{layer} was interrupted in the middle of a micro-batch, {interrupted}, which must be finished first",
                f"sluice run --once --layers {layer} finishes it, and then carries the request out",
            )

    return carry_out


def job_main() -> int:
    """Entry point of the job: maintains all layers, or those of `--layers`.

    Returns:
        The exit code: 0 done, 1 something was refused or failed, else that of the error; one line for each table.
    """
    import argparse
    from pathlib import Path

    from sluice.errors import EXIT_DONE, EXIT_NOT_ALL_RIGHT, naming_full_disk, print_error
    from sluice.schemas import LAYERS
    from sluice.settings import load_settings

    parser = argparse.ArgumentParser(description="Compaction, vacuum and retention of the lake's tables.")
    parser.add_argument("--layers", default=",".join(LAYERS), help="of bronze, silver, gold (all)")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file over conf/base.yaml")
    arguments = parser.parse_args()
    try:
        layers = [layer.strip() for layer in arguments.layers.split(",")]
        with naming_full_disk():
            outcomes = maintain(load_settings(arguments.config), layers, dry_run=arguments.dry_run)
    except SluiceError as error:
        print_error(error)
        return error.exit_code
    for outcome in outcomes:
        sys.stdout.write("\n".join([outcome.message, *(f"  refused: {line}" for line in outcome.refused)]) + "\n")
    return EXIT_DONE if is_all_right(outcomes) else EXIT_NOT_ALL_RIGHT


def is_all_right(outcomes: Sequence[LayerOutcome]) -> bool:
    """Whether everything was done that was asked for."""
    return all(outcome.done and not outcome.refused for outcome in outcomes)
