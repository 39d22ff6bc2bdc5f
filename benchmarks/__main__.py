"""`python -m benchmarks [CASE …]`: runs cases, prints their tables, writes all figures as JSON.

`python -m benchmarks picture FILE.json …` draws them. A case is a module with `ABOUT`, `EVENTS`, and `run`; it may have
`OPTIONS`, further sizes with their defaults, and `UNIT`, what its EVENTS are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from benchmarks import (
    alerts,
    api,
    audit,
    batches,
    big_silver,
    burst,
    cluster,
    dashboard,
    drain,
    gate_cost,
    maintain,
    picture,
    query,
    small_writes,
    steady,
    steps,
)
from benchmarks.measure import machine
from sluice.errors import SluiceError, print_error

CASES = {
    "drain": drain,
    "steady": steady,
    "burst": burst,
    "big-silver": big_silver,
    "batches": batches,
    "cluster": cluster,
    "query": query,
    "steps": steps,
    "gate-cost": gate_cost,
    "audit": audit,
    "dashboard": dashboard,
    "maintain": maintain,
    "small-writes": small_writes,
    "api": api,
    "alerts": alerts,
}


# Sizes that some cases have beside that of --events.
_ABOUT_OPTIONS = {
    "rate": "events sent a second",
    "rows": "rows that silver holds already",
}
_PROGRAM = "python -m benchmarks"


def main() -> int:
    """Entry point; exit 2 for an unknown case."""
    if sys.argv[1:2] == ["picture"]:
        return picture.main(sys.argv[2:])
    arguments = _read_arguments()
    try:
        return _measure(arguments)
    except SluiceError as error:
        print_error(error, _PROGRAM)
        return error.exit_code


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__)
    listed = "; ".join(f"{name}: {case.ABOUT}" for name, case in CASES.items())
    parser.add_argument("cases", nargs="*", metavar="CASE", help=listed)
    sizes = ", ".join(f"{name} {case.EVENTS:,} {_unit(name)}" for name, case in CASES.items())
    parser.add_argument("--events", type=int, help=f"size of the backlog, stream or lake ({sizes})")
    for option in sorted({option for case in CASES.values() for option in _options(case)}):
        sizes = ", ".join(
            f"{name} {_options(case)[option]:,}" for name, case in CASES.items() if option in _options(case)
        )
        parser.add_argument(f"--{option}", type=int, help=f"{_ABOUT_OPTIONS[option]} ({sizes})")
    parser.add_argument("--seconds", type=float, help="of the stream, in place of --events, for cases with a rate")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each variant (3)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.json"), help="where figures go as JSON")
    arguments = parser.parse_args()
    arguments.cases = arguments.cases or list(CASES)
    if unknown := [name for name in arguments.cases if name not in CASES]:
        parser.error(f"unknown case {', '.join(unknown)}; there are {', '.join(CASES)}")
    return arguments


def _measure(arguments: argparse.Namespace) -> int:
    found: dict[str, object] = {"machine": machine(), "events": {}}
    sizes: dict[str, int] = {}
    for key, value in machine().items():
        print(f"{key:>20} {value}")
    for name in arguments.cases:
        case = CASES[name]
        given = {option: getattr(arguments, option) or default for option, default in _options(case).items()}
        events = arguments.events or case.EVENTS
        if arguments.seconds and "rate" in given:
            events = round(arguments.seconds * given["rate"])
        sizes[name] = events
        found["events"] = sizes
        told = "".join(f", {option} {value:,}" for option, value in given.items())
        print(f"\n{name}: {case.ABOUT}, {events:,} {_unit(name)}{told}", flush=True)
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            series = case.run(Path(folder), events, arguments.runs, **given)
        found[name] = [each.as_json() for each in series]
        # After each case, so that one that fails takes no other's figures along.
        arguments.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"\nall figures: {arguments.output}")
    return 0


def _options(case: ModuleType) -> dict[str, int]:
    return getattr(case, "OPTIONS", {})


def _unit(name: str) -> str:
    return getattr(CASES[name], "UNIT", "events")


if __name__ == "__main__":
    sys.exit(main())
