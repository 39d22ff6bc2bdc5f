"""The lake without a JVM: Delta tables as Arrow, pandas, Polars, or SQL in DuckDB.

Reads only. A table is opened at its newest version whenever it is asked for, so a long session sees what the
jobs have written since; two tables of one statement are each at their own newest version. Asked for `as_of` a
moment, each is at the newest version it then had.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from sluice.errors import DependencyError, LakeMissing
from sluice.schemas import TABLES
from sluice.serving.as_of import CATALOGUE, snapshot
from sluice.serving.empty_tables import empty_view
from sluice.serving.queries import bind_parameters, find_query, load_queries
from sluice.serving.values import plain
from sluice.serving.versions import Commit, TableVersions, Version
from sluice.settings import load_settings
from sluice.tables.lake import Lake
from sluice.tables.reading import connect, open_dataset

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow
    import pyarrow.dataset
    from pyspark.sql import DataFrame, SparkSession

Parameters = Mapping[str, object] | Sequence[object]

_LAYERS = ("bronze", "silver", "gold", "ops")
_TABLE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_START = "start the jobs with `sluice run`, or point lake.path (SLUICE_LAKE__PATH) at another lake"


def open_lake(path: str | Path | None = None) -> OpenLake:
    """The lake at `path`, ready to be read; needs neither Java nor Spark.

    Args:
        path: the lake's folder; None takes lake.path of the settings (conf/base.yaml, SLUICE_LAKE__PATH).

    Raises:
        LakeMissing: there is no lake, or not one table in it.
        LakeTooNew: a newer version of Sluice wrote it.
    """
    lake = Lake(load_settings().lake.path if path is None else Path(path).expanduser().absolute())
    if not lake.path.is_dir():
        raise LakeMissing(f"there is no lake at {lake.path}", _START)
    lake.check_format()
    opened = OpenLake(lake)
    if not opened.tables():
        raise LakeMissing(f"the lake at {lake.path} has no tables yet", _START)
    return opened


class OpenLake:
    """Reads the tables of one lake; made by `open_lake`.

    Tables are named as in SQL, `silver.readings`. Where a method takes `version`, it is a number of the table's
    history or a moment (the newest version not younger than it); None is the newest. Not to be shared between
    threads: open one per thread.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._connection = connect()

    @property
    def path(self) -> Path:
        """The lake's folder."""
        return self._lake.path

    def tables(self) -> list[str]:
        """The tables that exist, in the order of the layers and of the data's journey."""
        found = {
            f"{layer}.{log.parent.name}"
            for layer in _LAYERS
            for log in (self.path / layer).glob("*/_delta_log")
            if _TABLE_NAME.fullmatch(log.parent.name)
        }
        described = [table.full_name for table in TABLES]
        order = {name: place for place, name in enumerate(described)}
        return sorted(found, key=lambda name: (_LAYERS.index(name.split(".")[0]), order.get(name, len(order)), name))

    def delta(self, name: str, version: Version | None = None) -> DeltaTable:
        """The Delta table itself: schema, version, files.

        Raises:
            LakeMissing: the lake has no such table, or the table no such version, or not any more.
        """
        number = None if version is None else self.version_of(name, version)
        self._require(name)
        try:
            table = DeltaTable(self.path / name.replace(".", "/"), version=number)
        except TableNotFoundError:
            raise LakeMissing(f"the lake at {self.path} has no table {name}", self._hint_for(name)) from None
        except (DeltaError, OverflowError) as error:
            wanted = "" if number is None else f" at version {number}"
            raise LakeMissing(f"{name} cannot be read{wanted}: {_first_line(error)}", f"check {self.path}") from None
        if number is not None:
            self.versions(name).require_files(table)
        return table

    def version_of(self, name: str, version: Version) -> int:
        """The number of a version of a table.

        Args:
            version: a number, or a moment with a time zone: the newest version not younger than it.

        Raises:
            LakeMissing: the lake has no such table, or the table no such version.
        """
        versions = self.versions(name)
        return versions.require(version) if isinstance(version, int) else versions.at(version)

    def history(self, name: str, limit: int = 20) -> list[Commit]:
        """The versions of a table, the newest first: number, time and operation.

        Args:
            limit: at most so many; 0 for all that the log still tells of.

        Raises:
            LakeMissing: the lake has no such table.
        """
        return list(self.versions(name).newest_first(limit))

    def versions(self, name: str) -> TableVersions:
        """The versions of a table that its log still tells of.

        Raises:
            LakeMissing: the lake has no such table.
        """
        self._require(name)
        return TableVersions(name, self.path / name.replace(".", "/"))

    def _require(self, name: str) -> None:
        if name not in self.tables():
            raise LakeMissing(f"the lake at {self.path} has no table {name}", self._hint_for(name))

    def dataset(self, name: str, version: Version | None = None) -> pyarrow.dataset.Dataset:
        """The table as an Arrow dataset: nothing is read until something asks for rows."""
        return open_dataset(self.delta(name, version), self.path / name.replace(".", "/"))

    def arrow(self, name: str, version: Version | None = None, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """The whole table, or some of its columns, in memory."""
        return self.dataset(name, version).to_table(columns=None if columns is None else list(columns))

    def pandas(
        self, name: str, version: Version | None = None, columns: Sequence[str] | None = None
    ) -> pandas.DataFrame:
        """As `arrow`, for pandas; times are UTC with microseconds."""
        return self.arrow(name, version, columns).to_pandas()

    def polars(
        self, name: str, version: Version | None = None, columns: Sequence[str] | None = None
    ) -> polars.DataFrame:
        """As `arrow`, for Polars.

        Raises:
            DependencyError: Polars is not installed.
        """
        try:
            import polars
        except ImportError:
            raise DependencyError("polars is not installed", "pip install 'sluice[notebooks]'") from None
        return cast("polars.DataFrame", polars.from_arrow(self.arrow(name, version, columns)))

    def relation(self, name: str, version: Version | None = None) -> duckdb.DuckDBPyRelation:
        """The table as a lazy DuckDB relation: chain .filter(), .aggregate(), .order(), then .df() or .pl()."""
        return self._connection.from_arrow(self.dataset(name, version))

    def spark(self, name: str, version: Version | None = None, session: SparkSession | None = None) -> DataFrame:
        """The table as a lazy Spark frame.

        Args:
            session: a running one; None takes the active one, else starts one, which takes some seconds and needs Java.

        Raises:
            LakeMissing: as `delta`.
            DependencyError: there is no Java, or no JVM jars.
        """
        number = self.delta(name, version).version()
        # Not before it is asked for: all else here needs no Spark.
        from pyspark.sql import SparkSession as Session

        from sluice.session import open_session

        running = session or Session.getActiveSession() or open_session(load_settings())
        folder = str(self.path / name.replace(".", "/"))
        return running.read.format("delta").option("versionAsOf", number).load(folder)

    def sql(
        self, text: str, parameters: Parameters | None = None, as_of: Version | None = None
    ) -> duckdb.DuckDBPyRelation:
        """The answer to one SELECT over `bronze.events`, `silver.readings`, …, as a lazy DuckDB relation.

        Not locked down: this is the caller's own DuckDB. For text from elsewhere use `run_read_only`.

        Args:
            text: DuckDB SQL; only the tables it mentions are opened.
            parameters: values for `$name` (a mapping) or `?` (a sequence).
            as_of: a moment: each table at its newest version then; or the version of the one table it reads.

        Raises:
            LakeMissing: a table has no such version.
            QueryInvalid: a version was given, and the statement reads more or less than one table.
        """
        if as_of is not None:
            return self._answer_apart(text, parameters, snapshot(self, text, as_of), ())
        self.register(self._connection, self.mentioned(text))
        return self._connection.sql(text, params=parameters)

    def ask(self, name: str, as_of: Version | None = None, **parameters: object) -> duckdb.DuckDBPyRelation:
        """The answer to a ready-made query, as `sluice query NAME` gives it, as a DuckDB relation.

        Args:
            as_of: as in `sql`.
            parameters: of the query; times with a time zone, or as text.

        Raises:
            QueryInvalid: there is no such query or parameter, or a value is not of its type.
            LakeMissing: a table does not exist, or has no such version.
        """
        query = find_query(load_queries(load_settings().queries.path), name)
        given = {key: _as_text(value) for key, value in parameters.items() if value is not None}
        values = bind_parameters(query, given, as_of)
        read = self.mentioned(query.sql) if as_of is None else snapshot(self, query.sql, as_of, query.optional)
        return self._answer_apart(query.sql, values or None, read, set(query.optional) - set(read))

    def _answer_apart(
        self,
        text: str,
        parameters: Parameters | None,
        read: Iterable[str] | Mapping[str, int],
        empty: Collection[str],
    ) -> duckdb.DuckDBPyRelation:
        """An answer in a session of its own: a relation is lazy, and must not see what is registered later."""
        connection = connect()
        self.register(connection, read)
        for name in empty:
            connection.execute(empty_view(name))
        return connection.sql(text, params=parameters)

    def mentioned(self, text: str) -> list[str]:
        """The existing tables a statement may read: those whose layer and name both occur in it as words."""
        if CATALOGUE.search(text):
            return self.tables()
        words = {word.lower() for word in _WORD.findall(text)}
        return [name for name in self.tables() if set(name.split(".")) <= words]

    def register(self, connection: duckdb.DuckDBPyConnection, names: Iterable[str] | Mapping[str, int]) -> None:
        """Makes tables readable as `layer.name` on a DuckDB connection.

        Args:
            names: of tables, each at its newest version; as a mapping, at the version it names.
        """
        versions = names if isinstance(names, Mapping) else {}
        for name in names:
            layer, table = name.split(".")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
            connection.execute(f"USE memory.{layer}")
            connection.from_arrow(self.dataset(name, versions.get(name))).create_view(table, replace=True)
            connection.execute("USE memory.main")

    def _hint_for(self, name: str) -> str:
        if name in {table.full_name for table in TABLES}:
            return f"the {name.split('.')[0]} job creates it: `sluice run --once`"
        return f"there are: {', '.join(self.tables())}"


def _as_text(value: object) -> str:
    """A parameter as it is written on the command line."""
    return str(plain(value)).lower() if isinstance(value, bool) else str(plain(value))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
