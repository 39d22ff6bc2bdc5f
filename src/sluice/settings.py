"""Settings: conf/base.yaml < --config FILE < environment SLUICE_SECTION__KEY < options.

One frozen value; unknown keys, wrong types and out-of-range values are named errors. Reads files and the
environment, nothing else.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sluice.errors import SettingsInvalid, YamlInvalid
from sluice.sections import (
    AlertsSettings,
    BrokerSettings,
    BronzeSettings,
    DashboardSettings,
    DispatchSettings,
    DocsSettings,
    ExportSettings,
    FileSettings,
    GateSettings,
    GoldSettings,
    KafkaSettings,
    LakeSettings,
    MaintainSettings,
    PublishSettings,
    QuarantineSettings,
    RunSettings,
    Section,
    ServeSettings,
    SilverSettings,
    SparkSettings,
)

ENVIRONMENT_PREFIX = "SLUICE_"
# The password of `sluice dashboard`: a secret is no setting, for settings may be shown.
DASHBOARD_PASSWORD = "SLUICE_DASHBOARD_PASSWORD"  # noqa: S105 (a name)
RESERVED_VARIABLES = frozenset(
    {"SLUICE_HOME", "SLUICE_PUBLISH_DSN", DASHBOARD_PASSWORD}
)  # of the prefix, and no settings
MAX_YAML_BYTES, MAX_YAML_ALIASES = 16 * 1024 * 1024, 100
# Settings that are paths, and therefore relative to where they were written.
PATH_SETTINGS = (
    "lake.path",
    "broker.data_path",
    "spark.jars_path",
    "contract.path",
    "devices.path",
    "expectations.path",
    "queries.path",
    "gate.candidate_path",
    "alerts.path",
    "publish.path",
    "publish.dsn_path",
    "export.path",
    "serve.keys_path",
    "dashboard.password_path",
    "dispatch.path",
)


class Settings(Section):
    """All settings, absolute paths, validated. Units stand in the keys."""

    lake: LakeSettings
    kafka: KafkaSettings
    broker: BrokerSettings
    spark: SparkSettings
    contract: FileSettings
    devices: FileSettings
    expectations: FileSettings
    queries: FileSettings
    bronze: BronzeSettings
    silver: SilverSettings
    quarantine: QuarantineSettings
    gold: GoldSettings
    gate: GateSettings
    run: RunSettings
    docs: DocsSettings
    maintain: MaintainSettings
    alerts: AlertsSettings
    publish: PublishSettings
    export: ExportSettings
    serve: ServeSettings
    dashboard: DashboardSettings
    dispatch: DispatchSettings


# Of a value that is wrong: enough to know it by, however much it holds.
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxlist, _SHOWN.maxdict, _SHOWN.maxstring = 2, 3, 3, 100


def home() -> Path:
    """The folder that holds conf/, expectations/ and infra/: $SLUICE_HOME, or the checkout."""
    if named := os.environ.get("SLUICE_HOME"):
        return Path(named).absolute()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "conf" / "base.yaml").is_file() else Path.cwd()


_MERGE = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, and files built of aliases."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MAX_YAML_ALIASES:
                raise yaml.YAMLError(f"more than {MAX_YAML_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                raise yaml.YAMLError(f"line {line}: a {type(key).__name__} cannot be a key")
            if key in seen:
                raise yaml.YAMLError(f"line {line}: the key {key!r} stands there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


# Beside its own error: ValueError and AttributeError for 2024-13-45 and tags that do not fit, RecursionError.
_WHAT_YAML_RAISES = (yaml.YAMLError, ValueError, AttributeError, TypeError, RecursionError)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        YamlInvalid: the file is missing, too large, no YAML, no mapping, or has a key twice.
    """
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise YamlInvalid(f"{path} is larger than {MAX_YAML_BYTES} bytes", "split or shorten it")
        content = yaml.load(path.read_text("utf-8"), Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise YamlInvalid(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from None
    except _WHAT_YAML_RAISES as error:
        raise YamlInvalid(f"{path} is not valid YAML: {' '.join(str(error).split())}", "mend the file") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise YamlInvalid(f"{path} holds a {type(content).__name__}, not keys with values", "mend the file")
    return content


def load_settings(
    config: Path | None = None,
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from all four places, later ones over earlier ones.

    Args:
        config: a YAML file in the form of conf/base.yaml, holding any part of it.
        options: dotted keys to values, e.g. ``{"lake.path": "/data/lake"}``; None values are left out.
        environment: os.environ unless given.

    Raises:
        SettingsInvalid: a key is unknown or a value wrong; names the key and where it was written.
        YamlInvalid: a file cannot be read.
    """
    base = home()
    merged: dict[str, Any] = {}
    _overlay(merged, read_yaml(base / "conf" / "base.yaml"), "conf/base.yaml", base)
    if config is not None:
        _overlay(merged, read_yaml(config), str(config), config.absolute().parent)
    found = os.environ if environment is None else environment
    for section, origin in (
        (_from_environment(found), "the environment"),
        (_nested({k: v for k, v in (options or {}).items() if v is not None}), "the options"),
    ):
        _overlay(merged, section, origin, Path.cwd())
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsInvalid(_describe(error), "conf/base.yaml lists every key with its unit") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    dotted: dict[str, object] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in RESERVED_VARIABLES:
            continue
        dotted[variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")] = parse_value(text)
    return _nested(dotted)


def parse_value(text: str) -> object:
    """A value given as text (environment, --set), read as YAML so that lists and null can be written."""
    try:
        value = yaml.safe_load(text)
    except _WHAT_YAML_RAISES:
        return text
    return text if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _nested(dotted: Mapping[str, object]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in dotted.items():
        section, _, name = key.partition(".")
        if name:
            nested.setdefault(section, {})[name] = value
        else:
            nested[section] = value
    return nested


def _overlay(merged: dict[str, Any], layer: Mapping[str, Any], origin: str, base: Path) -> None:
    for section, values in layer.items():
        if section not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise SettingsInvalid(f"{origin}: unknown section {section!r}", f"known sections: {known}")
        if not isinstance(values, Mapping):
            raise SettingsInvalid(
                f"{origin}: {section} must hold keys, not {_SHOWN.repr(values)}", f"write {section}: {{key: …}}"
            )
        fields = Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        for key, value in values.items():
            if key not in fields:
                raise SettingsInvalid(
                    f"{origin}: unknown key {section}.{key}", f"known keys of {section}: {', '.join(fields)}"
                )
            if f"{section}.{key}" in PATH_SETTINGS and isinstance(value, str):
                value = _resolve(value, base, f"{origin}: {section}.{key}")
            merged.setdefault(section, {})[key] = value


def _resolve(text: str, base: Path, where: str) -> Path:
    try:
        return (base / Path(text).expanduser()).resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise SettingsInvalid(f"{where}: {text!r} is no path: {error}", "write an absolute path") from None


def _describe(error: ValidationError) -> str:
    facts = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        # What is written under kafka.options may be a password.
        value = "not shown" if key.startswith("kafka.options") else f"is {_SHOWN.repr(problem['input'])}"
        facts.append(f"{key}: {problem['msg']} ({value})")
    return "wrong settings: " + "; ".join(facts)
