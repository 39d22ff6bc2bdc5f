from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.errors import EXIT_USAGE, SettingsInvalid, UsageError, YamlInvalid
from sluice.settings import (
    MAX_YAML_ALIASES,
    PATH_SETTINGS,
    Settings,
    home,
    load_settings,
    parse_value,
    read_yaml,
)

PORT = "broker.port"


def load(
    tmp_path: Path,
    *,
    file: Any = None,
    environment: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
) -> Settings:
    """Settings from a --config file of this content, an environment and options, each empty unless given."""
    config = None
    if file is not None:
        config = tmp_path / "config.yaml"
        config.write_text(file if isinstance(file, str) else yaml.safe_dump(file))
    return load_settings(config, options, environment or {})


def refusal(tmp_path: Path, **sources: Any) -> UsageError:
    """The one error of a user that loading ends in."""
    with pytest.raises(UsageError) as refused:
        load(tmp_path, **sources)
    assert isinstance(refused.value, (SettingsInvalid, YamlInvalid))
    assert refused.value.exit_code == EXIT_USAGE
    assert refused.value.hint
    assert "\n" not in refused.value.message
    return refused.value


def test_each_source_weighs_more_than_the_one_before_it(tmp_path: Path) -> None:
    file = {"broker": {"port": 1, "partitions": 1, "heap_megabytes": 1001}}
    environment = {"SLUICE_BROKER__PORT": "2", "SLUICE_BROKER__PARTITIONS": "2"}
    options = {PORT: 3}
    assert load(tmp_path).broker.port == 0
    found = load(tmp_path, file=file, environment=environment, options=options).broker
    assert (found.port, found.partitions, found.heap_megabytes, found.max_message_bytes) == (3, 2, 1001, 33_554_432)


def test_an_option_that_is_none_is_no_option(tmp_path: Path) -> None:
    assert load(tmp_path, file={"broker": {"port": 7}}, options={PORT: None}).broker.port == 7


def test_the_shipped_file_names_every_setting_and_no_other() -> None:
    base = read_yaml(home() / "conf" / "base.yaml")
    named = {f"{section}.{key}" for section, keys in base.items() for key in keys}
    known = {
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    }
    assert named == known
    assert set(PATH_SETTINGS) <= known


@pytest.mark.parametrize(
    ("sources", "fact"),
    [
        ({"file": {"brocker": {"port": 1}}}, "config.yaml: unknown section 'brocker'"),
        ({"file": {"broker": {"prt": 1}}}, "config.yaml: unknown key broker.prt"),
        ({"file": {1: {"port": 1}}}, "config.yaml: unknown section 1"),
        ({"file": {"broker": {1: 1}}}, "config.yaml: unknown key broker.1"),
        ({"environment": {"SLUICE_BROCKER__PORT": "1"}}, "the environment: unknown section 'brocker'"),
        ({"environment": {"SLUICE_BROKER__PRT": "1"}}, "the environment: unknown key broker.prt"),
        ({"environment": {"SLUICE_BROKER_PORT": "1"}}, "the environment: unknown section 'broker_port'"),
        ({"environment": {"SLUICE_BROKER__PORT__X": "1"}}, "the environment: unknown key broker.port.x"),
        ({"environment": {"SLUICE_": "1"}}, "the environment: unknown section ''"),
        ({"options": {"brocker.port": 1}}, "the options: unknown section 'brocker'"),
        ({"options": {"broker.prt": 1}}, "the options: unknown key broker.prt"),
        ({"options": {"": 1}}, "the options: unknown section ''"),
    ],
)
def test_an_unknown_key_is_an_error_wherever_it_stands(tmp_path: Path, sources: dict[str, Any], fact: str) -> None:
    error = refusal(tmp_path, **sources)
    assert fact in error.message
    assert error.hint.startswith("known ")


@pytest.mark.parametrize(
    ("sources", "fact"),
    [
        ({"file": {"broker": None}}, "broker must hold keys, not None"),
        ({"file": {"broker": [1]}}, r"broker must hold keys, not [1]"),
        ({"environment": {"SLUICE_BROKER": "1"}}, "broker must hold keys, not '1'"),
        ({"options": {"broker": 1}}, "broker must hold keys, not 1"),
        ({"options": {PORT: "many"}}, "broker.port: Input should be a valid integer"),
        ({"environment": {"SLUICE_BROKER__PORT": "65536"}}, "broker.port: Input should be less than or equal to 65535"),
        ({"file": {"broker": {"port": -1}}}, "broker.port: Input should be greater than or equal to 0"),
        ({"file": {"broker": {"port": 1.5}}}, "broker.port: Input should be a valid integer"),
        ({"file": {"broker": {"port": None}}}, "broker.port: Input should be a valid integer"),
        ({"file": {"bronze": {"trigger_seconds": -0.1}}}, "bronze.trigger_seconds: Input should be greater than"),
        ({"file": "bronze: {trigger_seconds: .inf}"}, "bronze.trigger_seconds: Input should be a finite number"),
        ({"file": "bronze: {trigger_seconds: .nan}"}, "bronze.trigger_seconds: Input should be"),
        ({"file": {"silver": {"max_nesting": 501}}}, "silver.max_nesting: Input should be less than or equal to 500"),
        ({"file": {"lake": {"path": 5}}}, "lake.path: Input is not a valid path"),
        ({"file": {"lake": {"path": ["a"]}}}, "lake.path: Input is not a valid path"),
        ({"file": {"lake": {"path": "a\0b"}}}, "lake.path: 'a\\x00b' is no path"),
        ({"options": {"lake.path": "~nobody-of-that-name/lake"}}, "is no path: Could not determine home directory"),
        ({"options": {"kafka.topic": "a/b"}}, "kafka.topic: String should match pattern"),
        ({"options": {"kafka.topic": ""}}, "kafka.topic: String should match pattern"),
        ({"options": {"kafka.topic": "x" * 250}}, "kafka.topic: String should match pattern"),
        ({"environment": {"SLUICE_KAFKA__OPTIONS": "[1]"}}, "kafka.options: Input should be a valid dictionary"),
        ({"environment": {"SLUICE_KAFKA__BOOTSTRAP_SERVERS": "[a]"}}, "kafka.bootstrap_servers: Input should be"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_key(tmp_path: Path, sources: dict[str, Any], fact: str) -> None:
    assert fact in refusal(tmp_path, **sources).message


def test_every_wrong_value_is_named_at_once(tmp_path: Path) -> None:
    error = refusal(tmp_path, options={PORT: "many", "spark.driver_memory_megabytes": 1})
    assert "broker.port" in error.message
    assert "spark.driver_memory_megabytes" in error.message


def test_no_error_shows_what_stands_under_the_options_of_kafka(tmp_path: Path) -> None:
    error = refusal(tmp_path, file={"kafka": {"options": {"ssl.key.password": 123456789}}})
    assert "kafka.options.ssl.key.password: Input should be a valid string" in error.message
    assert "123456789" not in error.message


def test_paths_are_relative_to_where_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    folder = tmp_path / "etc"
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text("lake: {path: ../data}\ncontract: {path: c.yaml}\n")
    found = load_settings(
        config, {"devices.path": "d.yaml", "queries.path": "~/q"}, {"SLUICE_BROKER__DATA_PATH": "broker"}
    )
    assert found.lake.path == tmp_path / "data"
    assert found.contract.path == folder / "c.yaml"
    assert found.devices.path == tmp_path / "d.yaml"
    assert found.broker.data_path == tmp_path / "broker"
    assert found.queries.path == Path("/home/somebody/q")
    assert found.spark.jars_path == home() / ".jars"
    assert found.expectations.path == home() / "expectations"
    # A relative --config is relative to the current directory too.
    assert load_settings(Path("etc/config.yaml"), None, {}).contract.path == folder / "c.yaml"


def test_a_home_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "base.yaml").write_bytes((home() / "conf" / "base.yaml").read_bytes())
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    assert load_settings(None, None, dict(os.environ)).lake.path == tmp_path / "var" / "lake"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).lake.path = tmp_path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9092", "9092"),
        ("0123", "0123"),
        ("1e3", "1e3"),
        ("1:30", "1:30"),
        ("true", True),
        ("null", None),
        ("", None),
        ("a,b", "a,b"),
        ("host:9092,other:9092", "host:9092,other:9092"),
        ("[a, b]", ["a", "b"]),
        ("{sasl.mechanism: PLAIN}", {"sasl.mechanism": "PLAIN"}),
        ("{", "{"),
        ("'", "'"),
        ("2024-13-45", "2024-13-45"),
        ("0b_", "0b_"),
        ("!!int x", "!!int x"),
        ("!!timestamp x", "!!timestamp x"),
        ("!!python/object/apply:os.system [true]", "!!python/object/apply:os.system [true]"),
        ("{[a]: 1}", "{[a]: 1}"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_value_given_as_text_is_yaml_but_for_numbers_and_what_is_no_yaml(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_settings_given_as_text_are_read_as_their_type(tmp_path: Path) -> None:
    environment = {
        "SLUICE_BROKER__PORT": "9092",
        "SLUICE_BRONZE__TRIGGER_SECONDS": "0.5",
        "SLUICE_KAFKA__BOOTSTRAP_SERVERS": "a:1,b:2",
        "SLUICE_KAFKA__TOPIC": "1",
        "SLUICE_KAFKA__OPTIONS": '{security.protocol: SASL_SSL, "max.poll.records": "5"}',
        "SLUICE_HOME": "reserved, no setting",
        "PATH": "none of ours",
    }
    found = load(tmp_path, environment=environment)
    assert (found.broker.port, found.bronze.trigger_seconds) == (9092, 0.5)
    assert (found.kafka.bootstrap_servers, found.kafka.topic) == ("a:1,b:2", "1")
    assert found.kafka.options == {"security.protocol": "SASL_SSL", "max.poll.records": "5"}


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "---\n", "null\n"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, file=text) == load(tmp_path)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{above}'] * 9)}]\n"
    for above, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("broker: {port: 1}\nbroker: {port: 2}\n", "line 2: the key 'broker' stands there twice"),
        ("broker:\n  port: 1\n  port: 1\n", "line 3: the key 'port' stands there twice"),
        (BOMB, f"more than {MAX_YAML_ALIASES} aliases"),
        ("lake: !!python/object/apply:os.system ['touch /tmp/owned']", "could not determine a constructor for the tag"),
        ("lake: !!python/name:os.system", "could not determine a constructor for the tag"),
        ("lake: !custom {path: x}", "could not determine a constructor for the tag"),
        ("{[a]: 1}", "line 1: a list cannot be a key"),
        ("{{a: 1}: 1}", "line 1: a dict cannot be a key"),
        ("lake: {path: 2024-13-45}", "month must be in 1..12"),
        ("lake: {path: !!int x}", "is not valid YAML"),
        ("lake: {path: !!timestamp x}", "is not valid YAML"),
        ("lake: {path: 0b_}", "is not valid YAML"),
        ("lake: [", "is not valid YAML"),
        ("lake: {path: a\tb: c}", "is not valid YAML"),
        ("\tlake: 1", "is not valid YAML"),
        ("a: 1\n--- \nb: 2", "is not valid YAML"),
        ("lake: *absent", "undefined alias"),
        ("[" * 50_000, "is not valid YAML"),
        ("- lake", "holds a list, not keys with values"),
        ("lake", "holds a str, not keys with values"),
        ("5", "holds a int, not keys with values"),
        ("a: \x07", "is not valid YAML"),
    ],
)
def test_a_file_with_a_trap_is_refused_by_name(tmp_path: Path, text: str, fact: str) -> None:
    error = refusal(tmp_path, file=text)
    assert isinstance(error, YamlInvalid)
    assert fact in error.message
    assert "config.yaml" in error.message


def test_a_bomb_of_few_aliases_is_not_unfolded_to_say_what_is_wrong(tmp_path: Path) -> None:
    lists = "[&a [x,x,x,x,x,x,x,x,x]" + "".join(
        f", &{name} [{','.join([f'*{above}'] * 9)}]" for above, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    began = time.monotonic()
    error = refusal(tmp_path, file=f"lake: {lists}]")
    assert "lake must hold keys" in error.message
    assert len(error.message) < 1000
    error = refusal(tmp_path, file=f"kafka: {{topic: {lists}]}}")
    assert "kafka.topic" in error.message
    assert len(error.message) < 1000
    assert time.monotonic() - began < 10


def test_aliases_and_merges_within_reason_are_read(tmp_path: Path) -> None:
    file = "bronze: &one {trigger_seconds: 2}\ngold:\n  <<: *one\n  max_megabytes_per_batch: 5\n"
    found = load(tmp_path, file=file)
    assert (found.gold.trigger_seconds, found.gold.max_megabytes_per_batch) == (2.0, 5)


@pytest.mark.parametrize("kind", ["absent", "folder", "latin", "large"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "latin":
        path.write_bytes(b"lake: {path: \xfc}")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(16 * 1024 * 1024 + 1)
    with pytest.raises(YamlInvalid, match=str(path)) as refused:
        load_settings(path, None, {})
    assert refused.value.hint
