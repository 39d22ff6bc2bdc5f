"""`python -m benchmarks [CASE …]`: runs cases, prints their tables, writes all figures as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import alerts, api, audit, dashboard, drain, gate_cost, maintain, small_writes, steps
from benchmarks.measure import machine

CASES = {
    "drain": drain,
    "steps": steps,
    "gate-cost": gate_cost,
    "audit": audit,
    "dashboard": dashboard,
    "maintain": maintain,
    "small-writes": small_writes,
    "api": api,
    "alerts": alerts,
}


def main() -> int:
    """Entry point; exit 2 for an unknown case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    listed = "; ".join(f"{name}: {case.ABOUT}" for name, case in CASES.items())
    parser.add_argument("cases", nargs="*", metavar="CASE", help=listed)
    sizes = ", ".join(f"{name} {case.EVENTS:,}" for name, case in CASES.items())
    parser.add_argument("--events", type=int, help=f"size of the backlog or lake ({sizes})")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each variant (3)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.json"), help="where figures go as JSON")
    arguments = parser.parse_args()
    names = arguments.cases or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"unknown case {', '.join(unknown)}; there are {', '.join(CASES)}")
    sizes_of = {name: arguments.events or CASES[name].EVENTS for name in names}
    found: dict[str, object] = {"machine": machine(), "events": sizes_of}
    for key, value in machine().items():
        print(f"{key:>20} {value}")
    for name in names:
        print(f"\n{name}: {CASES[name].ABOUT}, {sizes_of[name]:,} events", flush=True)
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            series = CASES[name].run(Path(folder), sizes_of[name], arguments.runs)
        found[name] = [each.as_json() for each in series]
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"\nall figures: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
