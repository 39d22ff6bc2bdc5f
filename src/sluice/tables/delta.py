"""Delta tables in Spark: reading at a version, and writing so that a replay changes nothing.

Every write carries a transaction of its table (`app_id`, `version`): Delta drops a second write under the same
one. The application id names layer, checkpoint generation and table, so that two writes of one batch differ,
and a new checkpoint starts afresh.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.schemas import Table
from sluice.tables.lake import Lake

_MERGE_APP_ID = "spark.databricks.delta.write.txnAppId"
_MERGE_VERSION = "spark.databricks.delta.write.txnVersion"


@dataclass(frozen=True)
class Transaction:
    """Identity of one micro-batch's writes.

    Attributes:
        application: layer and checkpoint generation.
        version: the micro-batch's id, rising.
    """

    application: str
    version: int

    def app_id(self, table: Table) -> str:
        """The application id under which this batch writes a table."""
        return f"sluice:{self.application}:{table.full_name}"


def read_table(spark: SparkSession, lake: Lake, table: Table, version: int | None = None) -> DataFrame:
    """The table's rows, now or as they were at a version."""
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    return reader.load(lake.table_path(table))


def current_version(lake: Lake, table: Table) -> int:
    """The table's latest version, 0 for one just created; asks neither Spark nor the whole log."""
    log = _log_path(lake, table)
    try:
        version = int(json.loads((log / "_last_checkpoint").read_text("utf-8"))["version"])
    except FileNotFoundError:
        version = 0
    # Versions follow each other without a gap from the last checkpoint on.
    while (log / _commit_name(version + 1)).exists():
        version += 1
    return version


def rows_written(lake: Lake, table: Table) -> int:
    """How many rows the table's latest commit wrote, 0 for a table just created."""
    commit = _log_path(lake, table) / _commit_name(current_version(lake, table))
    actions = map(json.loads, commit.read_text("utf-8").splitlines())
    return sum(json.loads(action["add"]["stats"])["numRecords"] for action in actions if "add" in action)


def _log_path(lake: Lake, table: Table) -> Path:
    return Path(lake.table_path(table)) / "_delta_log"


def _commit_name(version: int) -> str:
    return f"{version:020d}.json"


def change_status(spark: SparkSession, lake: Lake, table: Table, condition: Column, status: str) -> None:
    """Sets `status` of the rows that meet the condition; it must not hold for rows that have that status already."""
    DeltaTable.forPath(spark, lake.table_path(table)).update(condition, {"status": F.lit(status)})


def delete_rows(spark: SparkSession, lake: Lake, table: Table, condition: Column) -> None:
    """Deletes the rows that meet the condition; for tables that no stream reads."""
    DeltaTable.forPath(spark, lake.table_path(table)).delete(condition)


def supersede(keys: DataFrame, lake: Lake, table: Table, condition: str, status: str) -> None:
    """Sets `status` of the rows whose key is among the given ones and that meet the condition.

    Args:
        keys: columns that identify rows; each once.
        condition: SQL over `target`; it must not hold for rows that have the status already.
    """
    target = DeltaTable.forPath(keys.sparkSession, lake.table_path(table)).alias("target")
    merge = target.merge(keys.alias("source"), meeting(keys.columns, condition))
    merge.whenMatchedUpdate(set={"status": F.lit(status)}).execute()


@dataclass(frozen=True)
class Upsert:
    """How rows meet those of a table.

    Attributes:
        keys: columns that identify a row; the source has each key once.
        bound: SQL over `target`, literal, that holds for every row the source can meet; it prunes files.
        update_when: SQL over `target` and `source` under which a met row is replaced; empty for always.
    """

    keys: Sequence[str]
    bound: str = ""
    update_when: str = ""


def upsert(frame: DataFrame, lake: Lake, table: Table, how: Upsert, transaction: Transaction) -> None:
    """Replaces rows whose key is there and adds the others, once, however often the batch is replayed."""
    spark = frame.sparkSession
    with _merge_transaction(spark, transaction.app_id(table), transaction.version):
        target = DeltaTable.forPath(spark, lake.table_path(table)).alias("target")
        merge = target.merge(frame.alias("source"), meeting(how.keys, how.bound))
        merge.whenMatchedUpdateAll(how.update_when or None).whenNotMatchedInsertAll().execute()


@dataclass(frozen=True)
class Change:
    """How a row of a table changes that a given row meets.

    Attributes:
        values: SQL over `target` and `source`, by column.
        when: SQL over both under which it applies; empty for always. Of several changes the first that does.
    """

    values: Mapping[str, str]
    when: str = ""


def change_rows(
    frame: DataFrame, lake: Lake, table: Table, how: Upsert, changes: Sequence[Change], transaction: Transaction
) -> None:
    """Changes the rows of a table that the given ones meet, once, however often it is repeated; adds none.

    Args:
        frame: rows with `how.keys`, each key once.
    """
    spark = frame.sparkSession
    with _merge_transaction(spark, transaction.app_id(table), transaction.version):
        target = DeltaTable.forPath(spark, lake.table_path(table)).alias("target")
        merge = target.merge(frame.alias("source"), meeting(how.keys, how.bound))
        for change in changes:
            merge = merge.whenMatchedUpdate(change.when or None, set=dict(change.values))
        merge.execute()


def replace_rows(frame: DataFrame, lake: Lake, table: Table, how: Upsert, transaction: Transaction) -> None:
    """Replaces, adds and deletes rows by their key in one commit, once, however often it is repeated.

    Args:
        frame: the table's columns and `stays`: whether a row of that key is to be there, and then which, or none; each
            key once.
    """
    spark = frame.sparkSession
    values = {f"`{name}`": f"source.`{name}`" for name in table.column_names}
    with _merge_transaction(spark, transaction.app_id(table), transaction.version):
        target = DeltaTable.forPath(spark, lake.table_path(table)).alias("target")
        merge = target.merge(frame.alias("source"), meeting(how.keys, how.bound))
        merge = merge.whenMatchedUpdate("source.stays", set=dict(values)).whenMatchedDelete("NOT source.stays")
        merge.whenNotMatchedInsert("source.stays", values=dict(values)).execute()


def meeting(keys: Sequence[str], bound: str = "") -> str:
    """SQL over `target` and `source`, for Spark and for DuckDB, under which two rows are one; null meets null."""
    met = [f"target.{key} IS NOT DISTINCT FROM source.{key}" for key in keys]
    return " AND ".join([*([f"({bound})"] if bound else []), *met])


@contextmanager
def _merge_transaction(spark: SparkSession, app_id: str, version: int) -> Iterator[None]:
    # MERGE takes its transaction from the session alone, and every later write there would inherit it.
    spark.conf.set(_MERGE_APP_ID, app_id)
    spark.conf.set(_MERGE_VERSION, str(version))
    try:
        yield
    finally:
        spark.conf.unset(_MERGE_APP_ID)
        spark.conf.unset(_MERGE_VERSION)
