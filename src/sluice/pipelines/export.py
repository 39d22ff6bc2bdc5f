"""Tables of the lake as files: whose a device is from gold/devices or the registry file, once or every so often."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluice.errors import DiskFull, LakeMissing
from sluice.pipelines.following import follow
from sluice.serving.export.exporting import Exported, export_table
from sluice.serving.export.owners import DEVICES, Owners, owners_in, owners_of
from sluice.serving.export.wish import Wish, own_folder
from sluice.serving.lake import OpenLake, open_lake
from sluice.settings import Settings, read_yaml
from sluice.transforms.registry import parse_registry

Told = Callable[[list[Exported]], None]


def export_once(settings: Settings, wishes: Sequence[Wish]) -> list[Exported]:
    """Exports tables to one folder, one after the other.

    Args:
        wishes: all of the same folder.

    Raises:
        LakeMissing: there is no lake, or not the table.
        ExportInvalid: the folder holds something else, or the registry's file cannot be used.
        StoreLocked: another process exports to the folder.
    """
    lake = open_lake(settings.lake.path)
    for wish in wishes:
        if wish.table.name not in lake.tables():
            layer = wish.table.table.layer
            raise LakeMissing(
                f"the lake at {lake.path} has no table {wish.table.name} yet",
                f"the {layer} job creates it: `sluice run --once`",
            )
    owners = None
    done = []
    with own_folder(wishes[0].folder):
        for wish in wishes:
            if not wish.table.knows_customers:
                owners = owners or find_owners(settings, lake)
            done.append(_export(lake, wish, None if wish.table.knows_customers else owners))
    return done


def _export(lake: OpenLake, wish: Wish, owners: Owners | None) -> Exported:
    try:
        return export_table(lake, wish, owners)
    except OSError as error:
        if (full := DiskFull.of(error)) is not None:
            raise full from error
        raise


def find_owners(settings: Settings, lake: OpenLake) -> Owners:
    """Whose each device is: as gold/devices has it, while that is not there as the registry file says now."""
    if DEVICES in lake.tables():
        return owners_in(lake)
    path = settings.devices.path
    registry = parse_registry(read_yaml(path), str(path))
    return owners_of([(device.device_id, device.customer) for device in registry.devices])


def export_from_settings(
    settings: Settings, wishes: Sequence[Wish], told: Told, *, every_seconds: float | None
) -> None:
    """Exports once, or until Ctrl-C or SIGTERM.

    Args:
        told: is given what each pass did.
        every_seconds: between two passes; None for one pass.
    """

    def step() -> None:
        told(export_once(settings, wishes))

    if every_seconds is None:
        step()
    else:
        follow(step, every_seconds)
