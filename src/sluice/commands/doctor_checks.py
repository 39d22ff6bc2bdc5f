"""The checks of `sluice doctor`, one function each; none changes anything."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator

from sluice.commands.context import Invocation
from sluice.commands.doctor import OK, WARN, WRONG, Finding
from sluice.errors import EXIT_DEPENDENCY, EXIT_NOT_ALL_RIGHT, SluiceError
from sluice.settings import Settings, home, read_yaml

_GIBIBYTE = 1024**3
# A day of 1,000 devices at one event each 5 seconds takes about 2 GiB in all layers and Kafka.
LOW_DISK_BYTES = 5 * _GIBIBYTE
FULL_DISK_BYTES = _GIBIBYTE // 2


def check_python() -> Iterator[Finding]:
    """The Python that runs this."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < (3, 10):  # noqa: UP036 (setup is not the only way to start it)
        yield Finding("python", WRONG, f"{found}; 3.10 or later is needed", "make setup", EXIT_DEPENDENCY)
    else:
        yield Finding("python", OK, found)


def check_java() -> Iterator[Finding]:
    """The Java that Spark and the broker are started with."""
    from sluice.java import find_java, java_version

    java = find_java()
    yield Finding("java", OK, f"version {java_version(java)} ({java})")


def check_packages() -> Iterator[Finding]:
    """The installed packages against the ranges in setup.cfg; those of extras count only where installed."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        required = [Requirement(text) for text in metadata.requires("sluice") or []]
    except metadata.PackageNotFoundError:
        yield Finding("packages", WRONG, "sluice itself is not installed", "make setup", EXIT_DEPENDENCY)
        return
    faults = []
    for requirement in required:
        is_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            if not is_extra:
                faults.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            faults.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    if faults:
        yield Finding("packages", WRONG, "; ".join(faults), "make setup", EXIT_DEPENDENCY)
    else:
        yield Finding("packages", OK, f"{len(required)} of the versions that setup.cfg asks for")


def check_settings(options: Invocation, settings: list[Settings]) -> Iterator[Finding]:
    """The settings in force; appended to `settings` when they are valid."""
    settings.append(options.settings())
    files = ["conf/base.yaml", *([str(options.config)] if options.config else [])]
    yield Finding("settings", OK, f"{', '.join(files)} under {home()}")


def check_jars(settings: Settings) -> Iterator[Finding]:
    """Every JVM jar by its hash, where the list of them is at hand."""
    from sluice.embedded.jars import LIST_NAME, jar_faults, read_jar_list

    expected = read_jar_list(home() / "infra" / LIST_NAME)
    faults = jar_faults(settings.spark.jars_path, expected)
    if not faults:
        yield Finding("jars", OK, f"{len(expected)} in {settings.spark.jars_path}")
        return
    shown = ", ".join(f"{name} {fault}" for name, fault in sorted(faults.items())[:3])
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    found = f"{settings.spark.jars_path}: {shown}{more}"
    yield Finding("jars", WRONG, found, "make setup", EXIT_DEPENDENCY)


def check_contract(settings: Settings) -> Iterator[Finding]:
    """conf/contract.yaml, whole."""
    from sluice.transforms.contract import parse_contract

    path = settings.contract.path
    contract = parse_contract(read_yaml(path), str(path))
    yield Finding("contract", OK, f"{len(contract.versions)} versions in {path}")


def check_devices(settings: Settings) -> Iterator[Finding]:
    """conf/devices.yaml, whole."""
    from sluice.transforms.registry import parse_registry

    path = settings.devices.path
    registry = parse_registry(read_yaml(path), str(path))
    yield Finding("devices", OK, f"{len(registry.devices)} devices in {path}")


def check_expectations(settings: Settings) -> Iterator[Finding]:
    """The suites of silver and gold, whole."""
    from sluice.pipelines.rulebook import load_layer_suite
    from sluice.transforms.contract import parse_contract

    folder, path = settings.expectations.path, settings.contract.path
    contract = parse_contract(read_yaml(path), str(path))
    rules = sum(len(load_layer_suite(folder, layer, contract).rules) for layer in ("silver", "gold"))
    yield Finding("expectations", OK, f"{rules} rules in {folder}")


def check_broker(settings: Settings) -> Iterator[Finding]:
    """The configured broker and its topic, else the embedded one if it is up."""
    from sluice.embedded.broker import running_broker
    from sluice.sources.kafka import require_topic

    embedded = running_broker(settings.broker.data_path)
    address = settings.kafka.bootstrap_servers or (embedded.bootstrap_servers if embedded else None)
    if address is None:
        yield Finding("broker", WARN, "none is configured and the embedded one is not up", "sluice up")
        return
    kind = "configured" if settings.kafka.bootstrap_servers else "embedded"
    try:
        partitions = require_topic(address, settings.kafka.topic, settings.kafka.options).partitions
    except SluiceError as error:
        mend = error.hint if kind == "configured" else "sluice down, then sluice up"
        yield Finding("broker", WRONG, error.message, mend, error.exit_code)
        return
    topic = f"{settings.kafka.topic} with {partitions} partitions"
    yield Finding("broker", OK, f"{kind}, {address}, {topic}")
    yield from _check_topic(settings, address)


def _check_topic(settings: Settings, address: str) -> Iterator[Finding]:
    """Whether bronze may go on in the topic, as its start would judge."""
    from sluice.pipelines.topic_watch import LAYER, TopicWatch
    from sluice.tables.damage import find_damage
    from sluice.tables.lake import Lake

    lake = Lake(settings.lake.path)
    if find_damage(lake, LAYER):
        # What bronze has read is not known before its checkpoint is mended.
        return
    try:
        TopicWatch(lake, settings, address).examine()
    except SluiceError as error:
        yield Finding("topic", WRONG, error.message, error.hint, error.exit_code)
    else:
        yield Finding("topic", OK, "the one that bronze reads, and it holds what bronze has not read yet")


def check_lake(settings: Settings) -> Iterator[Finding]:
    """The lake's format, and who owns each layer now."""
    from sluice.schemas import LAYER_TABLES
    from sluice.tables.lake import Lake, layer_owner

    lake = Lake(settings.lake.path)
    if not lake.path.exists():
        yield Finding("lake", OK, f"none yet at {lake.path}; `sluice run` makes it")
        return
    lake.check_format()
    yield Finding("lake", OK, f"{lake.path}")
    for layer, tables in LAYER_TABLES.items():
        made = sum(lake.has_table(table) for table in tables)
        owner = layer_owner(lake, layer)
        who = f"owned by process {owner.pid} on {owner.host} since {owner.since}" if owner else "no job is running"
        yield Finding(layer, OK, f"{made} of {len(tables)} tables, {who}")


def check_checkpoints(settings: Settings) -> Iterator[Finding]:
    """Each layer's checkpoint: whether a start may go on from it, as the start itself would judge."""
    from sluice.schemas import LAYERS
    from sluice.tables.damage import find_damage
    from sluice.tables.lake import Lake

    lake = Lake(settings.lake.path)
    faults = {layer: damage for layer in LAYERS if (damage := find_damage(lake, layer))}
    if not faults:
        yield Finding("checkpoints", OK, "whole, and as the tables tell")
        return
    found = "; ".join(str(fault) for each in faults.values() for fault in each)
    mend = ", ".join(f"sluice recover {layer}" for layer in faults)
    yield Finding("checkpoints", WRONG, found, mend, EXIT_NOT_ALL_RIGHT)


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Free space where the lake and the broker's data lie, each file system once."""
    seen: set[int] = set()
    for path in (settings.lake.path, settings.broker.data_path):
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        if existing.stat().st_dev in seen:
            continue
        seen.add(existing.stat().st_dev)
        free = shutil.disk_usage(existing).free
        found = f"{free / _GIBIBYTE:.1f} GiB free at {existing}"
        if free < FULL_DISK_BYTES:
            yield Finding("disk", WRONG, found, "free some space", EXIT_NOT_ALL_RIGHT)
        elif free < LOW_DISK_BYTES:
            yield Finding("disk", WARN, found, "free some space")
        else:
            yield Finding("disk", OK, found)
