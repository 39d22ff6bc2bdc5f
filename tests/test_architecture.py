"""What may import what, and what may stand in no file: DESIGN's directions, read off the sources by ast."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "sluice"
MAX_LINES, MAX_JOB_LINES = 300, 40
# Tables of names and types, no code: halves of it would be harder to read.
LONG_FILES = frozenset({"schemas.py"})

LEAVES = {"errors"}
# Which areas of the package an area may import, besides itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "schemas": set(),
    "sections": set(),
    "settings": {*LEAVES, "sections"},
    "java": LEAVES,
    "secret_files": LEAVES,
    "transforms": {"errors", "schemas"},
    **{name: {"errors", "schemas", "settings"} for name in ("quality", "sources", "tables", "simulator")},
    "embedded": {"errors", "schemas", "sections", "settings", "java"},
    # It makes the lake's tables queryable by name, so it must know where in a lake they lie: Lake, nothing of Delta.
    "session": {"errors", "schemas", "settings", "java", "tables.lake"},
}
# An open lake gives Spark frames where it is asked to, and a report sums up scores by the same arithmetic as gold.
ALLOWED["serving"] = {
    "errors",
    "schemas",
    "sections",
    "settings",
    "tables",
    "session",
    "quality.scores",
    "secret_files",
}
# The dashboard shows what serving reads, and adds readings of its own.
ALLOWED["dashboard"] = {*ALLOWED["serving"], "serving"}
# It consumes and sends messages of its own: Kafka through sources, and reads tables as serving does.
ALLOWED["alerting"] = {*ALLOWED["serving"], "serving", "sources", "transforms.registry"}
BELOW_PIPELINES = {*ALLOWED}
# It answers from the tables alone, as serving does; jobs need not know that it is there.
ALLOWED["api"] = {*ALLOWED["serving"], "serving"}
ALLOWED["pipelines"] = BELOW_PIPELINES
ALLOWED["commands"] = {*BELOW_PIPELINES, "pipelines", "api"}
ALLOWED["cli"] = {"errors", "commands"}
# What `import sluice` gives in a notebook.
ALLOWED["__init__"] = {"session", "serving"}
ALLOWED["testing"] = {"schemas", "transforms"}
ALLOWED["jobs"] = {"pipelines"}

# Packages from outside, and the only areas that may know them.
KEPT_APART = {
    "kafka": {"sources", "embedded"},
    "great_expectations": {"quality"},
    "delta": {"tables"},
    "typer": {"cli", "commands"},
    **{name: {"api"} for name in ("fastapi", "starlette", "uvicorn")},
    **{package: {"dashboard"} for package in ("streamlit", "plotly")},
}
# All that transforms may know from outside the standard library.
TRANSFORMS_KNOW = {"pyspark"}
UDFS = {"udf", "udtf", "pandas_udf", "arrow_udf", "mapInPandas", "mapInArrow", "applyInPandas", "applyInArrow"} | {
    "applyInPandasWithState",
    "transformWithState",
    "transformWithStateInPandas",
}
DANGEROUS = {"eval", "exec", "compile", "__import__"}
DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}
RANDOMNESS = {"rand", "randn", "uuid", "shuffle"}
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "base", "manager", "managers", "misc"}


@dataclass(frozen=True)
class Module:
    """A source file: its area (the first part below the package), its path for people, and its tree."""

    area: str
    path: str
    text: str
    names: tuple[str, ...]

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def modules() -> list[Module]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        names = path.relative_to(SOURCE).with_suffix("").parts
        found.append(Module(names[0], str(path.relative_to(ROOT)), path.read_text("utf-8"), names))
    for path in sorted((ROOT / "jobs").glob("*.py")):
        found.append(Module("jobs", str(path.relative_to(ROOT)), path.read_text("utf-8"), ("jobs", path.stem)))
    return found


def imports_of(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything the module imports, wherever in it; `from a import b` gives a.b."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = module.names[: len(module.names) - node.level] if node.level else ()
            base = ".".join(("sluice", *above)) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                yield node.lineno, f"{origin}.{alias.name}"


def wrong_directions(module: Module) -> Iterator[str]:
    for line, name in imports_of(module):
        parts = name.split(".")
        if parts[0] != "sluice" or len(parts) == 1:
            continue
        allowed = {module.area, *ALLOWED[module.area]} if module.area in ALLOWED else set()
        area = parts[1]
        if area not in allowed and ".".join(parts[1:3]) not in allowed:
            yield f"{module.path}:{line}: {module.area} must not import {name}"


def outside_packages(module: Module) -> Iterator[str]:
    for line, name in imports_of(module):
        package = name.split(".")[0]
        if package in KEPT_APART and module.area not in KEPT_APART[package]:
            yield f"{module.path}:{line}: only {', '.join(sorted(KEPT_APART[package]))} may import {package}"


def impurities(module: Module) -> Iterator[str]:
    """What a transform must not know: anything but pyspark, a clock, chance, reading or writing."""
    if module.area != "transforms":
        return
    for line, name in imports_of(module):
        package = name.split(".")[0]
        if package not in {*TRANSFORMS_KNOW, *sys.stdlib_module_names, "sluice"} or package in {"time", "random", "os"}:
            yield f"{module.path}:{line}: transforms must not import {package}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in {
            "write",
            "read",
            "readStream",
            "writeStream",
            "sparkSession",
        }:
            yield f"{module.path}:{node.lineno}: transforms must not reach {node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if (owner in {"datetime", "date", "time"} and node.func.attr in CLOCKS) or (
                owner == "F" and node.func.attr in RANDOMNESS
            ):
                yield f"{module.path}:{node.lineno}: transforms must not call {owner}.{node.func.attr}"


def forbidden_calls(module: Module) -> Iterator[str]:
    for line, name in imports_of(module):
        if name.split(".")[0] in DANGEROUS_MODULES:
            yield f"{module.path}:{line}: {name.split('.')[0]} runs what it reads"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id in DANGEROUS:
            yield f"{module.path}:{node.lineno}: {node.id}"
        if isinstance(node, (ast.Attribute, ast.Name)):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name in UDFS:
                yield f"{module.path}:{node.lineno}: {name} runs Python for each row"
        if isinstance(node, ast.alias) and node.name in UDFS:
            yield f"{module.path}:{node.lineno}: {node.name} runs Python for each row"
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            if any(word.arg == "shell" and not _is_false(word.value) for word in node.keywords):
                yield f"{module.path}:{node.lineno}: shell="
            if function in {"os.system", "os.popen"}:
                yield f"{module.path}:{node.lineno}: {function}"
            if function == "yaml.load" and not any(word.arg == "Loader" for word in node.keywords):
                yield f"{module.path}:{node.lineno}: yaml.load without a Loader"


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def sizes_and_names(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    most = MAX_JOB_LINES if module.area == "jobs" else MAX_LINES
    if lines > most and "/".join(module.names) + ".py" not in LONG_FILES:
        yield f"{module.path}: {lines} lines, at most {most}"
    for name in module.names:
        if EMPTY_NAMES & set(name.lower().split("_")):
            yield f"{module.path}: {name} says nothing"


def private_folder(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "../shared" in node.value:
            yield f"{module.path}:{node.lineno}: names a folder outside the project"


Check = Callable[[Module], Iterable[str]]
CHECKS: tuple[Check, ...] = (
    wrong_directions,
    outside_packages,
    impurities,
    forbidden_calls,
    sizes_and_names,
    private_folder,
)


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_no_source_breaks_the_architecture(check: Check) -> None:
    found = modules()
    assert len(found) > 50
    assert [fault for module in found for fault in check(module)] == []


def test_every_area_has_a_rule() -> None:
    assert {module.area for module in modules()} <= set(ALLOWED)


def test_the_areas_have_no_cycle() -> None:
    def reaches(area: str, seen: frozenset[str]) -> None:
        assert area not in seen, f"a cycle through {area}"
        for below in ALLOWED.get(area, set()):
            if below.split(".")[0] != area:
                reaches(below.split(".")[0], seen | {area})

    for area in ALLOWED:
        reaches(area, frozenset())


def test_only_tests_import_testing() -> None:
    importers = [
        module.path for module in modules() for _, name in imports_of(module) if name.startswith("sluice.testing")
    ]
    assert importers == []
    assert all("testing" not in allowed for allowed in ALLOWED.values())


def violating(area: str, text: str, name: str = "some") -> Module:
    names = (area,) if area in {"errors", "schemas", "settings", "session", "cli"} else (area, name)
    return Module(area, f"{'/'.join(names)}.py", text, names)


@pytest.mark.parametrize(
    ("check", "module", "fault"),
    [
        (
            wrong_directions,
            violating("transforms", "from sluice.settings import Settings"),
            "transforms must not import sluice.settings",
        ),
        (
            wrong_directions,
            violating("transforms", "def f():\n    import sluice.tables.delta"),
            ":2: transforms must not",
        ),
        (
            wrong_directions,
            violating("transforms", "from ..quality import rules"),
            "must not import sluice.quality.rules",
        ),
        (wrong_directions, violating("tables", "from sluice import quality"), "tables must not import sluice.quality"),
        (
            wrong_directions,
            violating("quality", "from sluice.sources.kafka import producer"),
            "quality must not import",
        ),
        (wrong_directions, violating("simulator", "from sluice.tables.lake import Lake"), "simulator must not import"),
        (wrong_directions, violating("session", "from sluice.tables.delta import append"), "session must not import"),
        (wrong_directions, violating("serving", "from sluice.pipelines import start"), "serving must not import"),
        (wrong_directions, violating("serving", "from sluice.api import app"), "serving must not import"),
        (wrong_directions, violating("api", "from sluice.pipelines import start"), "api must not import"),
        (outside_packages, violating("serving", "import fastapi"), "only api may import fastapi"),
        (wrong_directions, violating("settings", "from sluice.schemas import TABLES"), "settings must not import"),
        (wrong_directions, violating("pipelines", "from sluice.commands import run"), "pipelines must not import"),
        (wrong_directions, violating("pipelines", "from sluice.testing import utc"), "must not import sluice.testing"),
        (wrong_directions, violating("jobs", "from sluice.tables.delta import append"), "jobs must not import"),
        (wrong_directions, violating("unheard", "from sluice.errors import SluiceError"), "unheard must not import"),
        (
            outside_packages,
            violating("pipelines", "from delta.tables import DeltaTable"),
            "only tables may import delta",
        ),
        (outside_packages, violating("pipelines", "import kafka.admin"), "only embedded, sources may import kafka"),
        (outside_packages, violating("tables", "import great_expectations as gx"), "only quality may import"),
        (impurities, violating("transforms", "import yaml"), "transforms must not import yaml"),
        (impurities, violating("transforms", "import time"), "transforms must not import time"),
        (impurities, violating("transforms", "from datetime import datetime\nx = datetime.now()"), "call datetime.now"),
        (impurities, violating("transforms", "F.rand()"), "must not call F.rand"),
        (impurities, violating("transforms", "frame.write.save('x')"), "must not reach write"),
        (forbidden_calls, violating("transforms", "@F.udf\ndef f(x): ..."), "udf runs Python for each row"),
        (forbidden_calls, violating("pipelines", "frame.mapInPandas(f, 'x int')"), "mapInPandas runs Python"),
        (forbidden_calls, violating("pipelines", "from pyspark.sql.functions import pandas_udf"), "pandas_udf runs"),
        (forbidden_calls, violating("serving", "import pickle"), "pickle runs what it reads"),
        (forbidden_calls, violating("serving", "eval('1')"), "eval"),
        (forbidden_calls, violating("embedded", "subprocess.run('x', shell=True)"), "shell="),
        (forbidden_calls, violating("serving", "yaml.load(text)"), "yaml.load without a Loader"),
        (sizes_and_names, violating("serving", "x = 1\n" * 301), "301 lines, at most 300"),
        (sizes_and_names, violating("jobs", "x = 1\n" * 41), "41 lines, at most 40"),
        (sizes_and_names, violating("serving", "", "csv_utils"), "csv_utils says nothing"),
        (sizes_and_names, violating("serving", "", "base"), "base says nothing"),
        (private_folder, violating("serving", "open('../shared/DESIGN.md')"), "names a folder outside"),
    ],
)
def test_a_violation_is_found(check: Check, module: Module, fault: str) -> None:
    (found,) = check(module)
    assert fault in found


@pytest.mark.parametrize(
    ("check", "module"),
    [
        (wrong_directions, violating("session", "from sluice.tables.lake import Lake")),
        (
            wrong_directions,
            violating("transforms", "from sluice import schemas\nfrom sluice.errors import ContractInvalid"),
        ),
        (wrong_directions, violating("transforms", "from .fields import column_values")),
        (outside_packages, violating("tables", "from delta.tables import DeltaTable")),
        (
            impurities,
            violating(
                "transforms",
                "from datetime import datetime\nfrom pyspark.sql import functions as F\nF.current_timestamp()",
            ),
        ),
        (forbidden_calls, violating("settings", "yaml.load(text, Loader=Strict)\nsubprocess.run(x, shell=False)")),
        (sizes_and_names, violating("serving", "x = 1\n" * 300)),
    ],
)
def test_what_is_allowed_is_no_violation(check: Check, module: Module) -> None:
    assert list(check(module)) == []
