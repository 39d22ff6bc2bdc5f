"""The ready-made queries of conf/queries: one SQL file each, described by its first comment lines.

    -- title: Minutes of a device
    -- about: One row a minute and metric, newest first.
    -- param device_id text default 'sensor-0001': the device
    -- param since timestamp: required, because it has no default
    -- optional: gold.readings_1min
    SELECT …

A parameter is used in the SQL as `$device_id` and bound as a value. Types: text, integer, number, boolean,
timestamp (RFC 3339 with an offset). `null` is a default of any type. A table named as optional reads as empty
while no job has created it; without any other the query fails and says which job to start.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sluice.errors import QueryInvalid
from sluice.schemas import TABLES

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HEADER = re.compile(r"--\s*(title|about|param|optional)\b:?\s*(.*)")
_PARAMETER = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*)\s+(?P<kind>[a-z]+)"
    r"(?:\s+default\s+(?P<default>'(?:[^']|'')*'|[^'\s:][^\s:]*))?"
    r"(?:\s*:\s*(?P<about>.*))?"
)
_TYPES = ("text", "integer", "number", "boolean", "timestamp")
_HINTS = {
    "integer": "give a whole number, e.g. 24",
    "number": "give a number, e.g. 2.5",
    "boolean": "give true or false",
    "timestamp": "give a time with its offset, e.g. 2026-01-31T12:00:00Z",
}
TABLES_BY_NAME = {table.full_name: table for table in TABLES}
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Parameter:
    """One value a query takes.

    Attributes:
        name: used as `$name` in the SQL.
        kind: text, integer, number, boolean or timestamp.
        required: it has no default.
        default: the value if none is given; None is SQL's null.
        about: what it is.
    """

    name: str
    kind: str
    required: bool
    default: object
    about: str


@dataclass(frozen=True)
class Query:
    """A ready-made query, named after its file.

    Attributes:
        optional: tables that read as empty while they do not exist.
    """

    name: str
    title: str
    about: str
    parameters: tuple[Parameter, ...]
    optional: tuple[str, ...]
    sql: str


def load_queries(folder: Path) -> dict[str, Query]:
    """All queries of a folder by name, in the order of the names.

    Raises:
        QueryInvalid: the folder cannot be read, or a file's header is wrong; names file and line.
    """
    if not folder.is_dir():
        raise QueryInvalid(f"there is no folder of queries at {folder}", "set queries.path, e.g. to conf/queries")
    queries = {}
    for path in sorted(folder.glob("*.sql")):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise QueryInvalid(f"cannot read {path}: {error}", "mend or remove the file") from None
        queries[path.stem] = parse_query(path.stem, text)
    return queries


def find_query(queries: Mapping[str, Query], name: str) -> Query:
    """The query of that name.

    Raises:
        QueryInvalid: there is none; suggests near names.
    """
    if name in queries:
        return queries[name]
    near = difflib.get_close_matches(name, queries, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`sluice query --list` shows all"
    raise QueryInvalid(f"there is no query {name!r}", hint)


def parse_query(name: str, text: str) -> Query:
    """A query from the text of its file.

    Raises:
        QueryInvalid: title, about or SQL is missing, or a param line cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise QueryInvalid(f"query {name!r}: a file's name is small letters, digits and _", "rename the file")
    said: dict[str, str] = {}
    parameters: list[Parameter] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("--"):
            break
        if found := _HEADER.fullmatch(line.strip()):
            if found[1] == "param":
                parameters.append(_parse_parameter(found[2], f"query {name}, line {number}"))
            else:
                said[found[1]] = found[2].strip()
    for key in ("title", "about"):
        if not said.get(key):
            raise QueryInvalid(f"query {name}: the header has no `-- {key}:` line", "describe the query in its file")
    return Query(name, said["title"], said["about"], tuple(parameters), _parse_tables(name, said), text)


def _parse_tables(name: str, said: Mapping[str, str]) -> tuple[str, ...]:
    tables = tuple(table.strip() for table in said.get("optional", "").split(",") if table.strip())
    for table in tables:
        if table not in TABLES_BY_NAME:
            raise QueryInvalid(f"query {name}: {table} is no table", f"tables: {', '.join(TABLES_BY_NAME)}")
    return tables


def _parse_parameter(declared: str, where: str) -> Parameter:
    found = _PARAMETER.fullmatch(declared.strip())
    if not found or found["kind"] not in _TYPES:
        raise QueryInvalid(
            f"{where}: cannot read the parameter {declared!r}",
            f"write `-- param NAME TYPE default VALUE: what it is`; types: {', '.join(_TYPES)}",
        )
    default = found["default"]
    value = None
    if default is not None and default != "null":
        value = parse_parameter(found["name"], found["kind"], _unquoted(default), where)
    return Parameter(found["name"], found["kind"], default is None, value, (found["about"] or "").strip())


def _unquoted(default: str) -> str:
    return default[1:-1].replace("''", "'") if default.startswith("'") else default


def parse_parameter(name: str, kind: str, text: str, where: str = "--param") -> object:
    """A parameter's text as a value of its type.

    Raises:
        QueryInvalid: the text is not of the type.
    """
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return _parse_number(text)
        if kind == "boolean":
            return _BOOLEANS[text.lower()]
        if kind == "timestamp":
            return _parse_moment(text)
    except (ValueError, KeyError):
        raise QueryInvalid(f"{where}: {name} is {text!r}, not of type {kind}", _HINTS[kind]) from None
    return text


def _parse_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time without offset")
    return moment


def parse_as_of(text: str) -> int | datetime:
    """The version or the moment that a table is asked for.

    Raises:
        QueryInvalid: the text is neither.
    """
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    try:
        return _parse_moment(text)
    except ValueError:
        hint = f"give the number of a version, or {_HINTS['timestamp'].removeprefix('give ')}"
        raise QueryInvalid(f"--as-of: {text!r} is neither a version nor a time", hint) from None


def bind_parameters(query: Query, given: Mapping[str, str], as_of: object = None) -> dict[str, object]:
    """The values for a query: what was given, else the defaults.

    Args:
        as_of: where it is a moment, a parameter named `at` that was not given has it: what is else counted from now is
            counted from then.

    Raises:
        QueryInvalid: a name the query does not take, a required one missing, or a value of the wrong type.
    """
    known = {parameter.name: parameter for parameter in query.parameters}
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    for name in given:
        if name not in known:
            raise QueryInvalid(f"query {query.name} has no parameter {name!r}", takes)
    missing = [name for name, parameter in known.items() if parameter.required and name not in given]
    if missing:
        raise QueryInvalid(f"query {query.name} needs {', '.join(missing)}", f"add --param {missing[0]}=VALUE")
    values = {
        name: parse_parameter(name, parameter.kind, given[name]) if name in given else parameter.default
        for name, parameter in known.items()
    }
    if isinstance(as_of, datetime) and "at" in values and "at" not in given:
        values["at"] = as_of
    return values
