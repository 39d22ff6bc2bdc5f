from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chispa import assert_df_equality
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, PySparkRuntimeError
from pyspark.sql import SparkSession

from sluice import session as session_module
from sluice.errors import EXIT_DEPENDENCY, JarsMissing, LakeMissing, LakeTooNew, SparkNotStarted
from sluice.schemas import BRONZE_EVENTS, SILVER_DUPLICATES
from sluice.session import open_session, register
from sluice.settings import Settings, load_settings
from sluice.tables.delta import Transaction
from sluice.tables.lake import Lake
from sluice.tables.many_rows import append_many
from sluice.tables.rows import create_tables
from sluice.testing import rows_of


class Builder:
    """In the place of Spark's: keeps what it is told."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}

    def appName(self, name: str) -> Builder:  # noqa: N802 (Spark's name)
        self.options["name"] = name
        return self

    def config(self, key: str, value: str) -> Builder:
        self.options[key] = value
        return self

    def getOrCreate(self) -> dict[str, str]:  # noqa: N802 (Spark's name)
        return self.options


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that gives the options open_session would start Spark with."""
    jars = tmp_path / "jars" / "spark"
    jars.mkdir(parents=True)
    for name in ("b.jar", "a.jar", "notes.txt"):
        (jars / name).touch()

    def run(**options: Any) -> Any:
        builder = Builder()
        monkeypatch.setattr(session_module, "SparkSession", type("Session", (), {"builder": builder}))
        monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
        # Put back afterwards, whatever open_session makes of it.
        for name in ("JAVA_HOME", "PYSPARK_PYTHON"):
            monkeypatch.setenv(name, os.environ.get(name, ""))
        if options.pop("submitted", False):
            monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
        return open_session(_settings(tmp_path, **options), "a name")

    return run


def _settings(tmp_path: Path, **options: Any) -> Settings:
    known = {"lake.path": str(tmp_path / "lake"), "spark.jars_path": str(tmp_path / "jars")}
    return load_settings(options={**known, **options}, environment={})


def test_what_results_depend_on_is_pinned_in_the_running_session(spark: SparkSession) -> None:
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.conf.get("spark.sql.ansi.enabled") == "true"
    assert os.environ["TZ"] == "UTC"
    row = spark.sql("SELECT cast(timestamp'2024-07-01 12:00:00' AS string), try_cast('x' AS int)").first()
    assert row is not None
    assert tuple(row) == ("2024-07-01 12:00:00", None)


def test_every_pinned_setting_holds_in_the_running_session(spark: SparkSession) -> None:
    wanted = {**session_module.PINNED, **session_module.TUNED}
    assert {key: spark.conf.get(key) for key in wanted} == wanted


def test_a_session_of_our_own_has_master_memory_and_only_local_jars(opened: Any, tmp_path: Path) -> None:
    options = opened(
        **{"spark.master": "local[3]", "spark.driver_memory_megabytes": 777, "spark.shuffle_partitions": 5}
    )
    assert options["name"] == "a name"
    assert options["spark.master"] == "local[3]"
    assert options["spark.driver.memory"] == "777m"
    assert options["spark.sql.shuffle.partitions"] == "5"
    assert options["spark.jars"] == ",".join(str(tmp_path / "jars" / "spark" / name) for name in ("a.jar", "b.jar"))
    # Resolved at every start, and published for no version that fits.
    assert "spark.jars.packages" not in options
    assert options["spark.driver.bindAddress"] == "127.0.0.1"
    assert options["spark.ui.enabled"] == "false"


def test_executors_of_a_cluster_have_memory_and_java_options_and_reach_the_driver(opened: Any) -> None:
    cluster = {"spark.master": "spark://elsewhere:7077", "spark.executor_memory_megabytes": 888}
    options = opened(**cluster, **{"spark.java_options": "-XX:+UseParallelGC"})
    assert options["spark.master"] == "spark://elsewhere:7077"
    assert options["spark.executor.memory"] == "888m"
    assert options["spark.executor.extraJavaOptions"] == "-XX:+UseParallelGC"
    assert "spark.executor.memory" not in opened(**{"spark.master": "local[2]"})
    # From another machine loopback is not the driver's.
    assert not {"spark.driver.host", "spark.driver.bindAddress"} & set(options)


@pytest.mark.parametrize("failure", [Py4JError("the context was stopped"), PySparkRuntimeError("the JVM ended")])
def test_a_spark_that_does_not_start_is_named_with_its_master_and_its_log(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: Exception
) -> None:
    def refuse(_: Builder) -> None:
        raise failure

    monkeypatch.setattr(Builder, "getOrCreate", refuse)
    with pytest.raises(SparkNotStarted) as refused:
        opened(**{"spark.master": "spark://nobody:7077"})
    assert refused.value.message == "Spark does not start with spark.master spark://nobody:7077"
    assert str(tmp_path / "lake" / "_logs" / "spark.log") in refused.value.hint
    assert refused.value.exit_code == EXIT_DEPENDENCY


def test_0_shuffle_partitions_are_as_many_as_there_are_cores(opened: Any) -> None:
    assert opened()["spark.sql.shuffle.partitions"] == str(os.cpu_count())


def test_under_spark_submit_master_memory_and_jars_are_its_own(opened: Any) -> None:
    options = opened(submitted=True)
    assert not {"spark.master", "spark.driver.memory", "spark.jars", "spark.driver.extraJavaOptions"} & set(options)
    assert session_module.PINNED.items() <= options.items()


def test_spark_is_started_with_a_java_that_fits_though_java_home_names_another(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("jdk-11", "11.0.2"), ("jdk-17", "17.0.1")):
        (tmp_path / name / "bin").mkdir(parents=True)
        java = tmp_path / name / "bin" / "java"
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", "utf-8")
        java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "jdk-17" / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk-11"))
    opened()
    assert os.environ["JAVA_HOME"] == str(tmp_path / "jdk-17")


def test_the_workers_run_the_python_of_the_driver(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "python2")
    opened()
    assert os.environ["PYSPARK_PYTHON"] == sys.executable


def test_absent_jars_are_named_with_what_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(JarsMissing, match="no JVM jars under") as missing:
        open_session(_settings(tmp_path))
    assert str(tmp_path / "jars" / "spark") in missing.value.message
    assert missing.value.hint == "make setup"
    assert missing.value.exit_code == EXIT_DEPENDENCY


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two lakes that have bronze/events, with one record at offset 1 and at offset 2; one in an odd folder."""
    tmp_path = tmp_path_factory.mktemp("lakes")
    paths = (tmp_path / "one", tmp_path / "it's number two")
    for offset, path in enumerate(paths, 1):
        create_tables(Lake(path), "bronze")
        rows = rows_of(spark, BRONZE_EVENTS, [{"offset": offset, "value": bytearray(b"x")}])
        append_many(rows, Lake(path), BRONZE_EVENTS, Transaction("bronze:g", 0))
    yield paths
    spark.sql("DROP DATABASE IF EXISTS bronze CASCADE")


def test_the_tables_of_a_lake_are_queryable_by_name_and_those_of_another_after_it(
    spark: SparkSession, lakes: tuple[Path, Path]
) -> None:
    for offset, path in enumerate(lakes, 1):
        assert register(spark, str(path)) == ["bronze.events"]
        expected = rows_of(spark, BRONZE_EVENTS, [{"offset": offset, "value": bytearray(b"x")}])
        assert_df_equality(spark.table("bronze.events"), expected, ignore_nullable=True)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO bronze.events SELECT * FROM bronze.events",
        "DELETE FROM bronze.events",
        "UPDATE bronze.events SET offset = 9",
        "ALTER TABLE bronze.events ADD COLUMN x INT",
        "TRUNCATE TABLE bronze.events",
    ],
)
def test_no_statement_changes_the_lake_by_those_names(
    spark: SparkSession, lakes: tuple[Path, Path], statement: str
) -> None:
    register(spark, lakes[0])
    log = lakes[0] / "bronze" / "events" / "_delta_log"
    before = sorted(path.name for path in log.glob("*.json"))
    with pytest.raises(AnalysisException):
        spark.sql(statement)
    assert sorted(path.name for path in log.glob("*.json")) == before


def test_a_place_without_tables_is_no_lake(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(LakeMissing, match="there is no lake at") as missing:
        register(spark, tmp_path)
    assert missing.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_lake_of_a_newer_format_is_not_registered(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "_sluice.json").write_text('{"lake_format": 99}')
    (tmp_path / SILVER_DUPLICATES.relative_path / "_delta_log").mkdir(parents=True)
    with pytest.raises(LakeTooNew):
        register(spark, tmp_path)
