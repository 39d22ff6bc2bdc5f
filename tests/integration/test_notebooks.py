"""The notebooks as a person runs them: from top to bottom in a kernel of their own, on a lake the jobs made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from deltalake import DeltaTable
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tests.spark_options import OF_A_PROCESS

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TOUR = next(path for path in NOTEBOOKS if path.name == "01_tour.ipynb")
# Their last line is a statement.
SILENT_CELLS = {"spark-stop"}


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def execute(notebook: nbformat.NotebookNode) -> None:
    where = {"metadata": {"path": str(TOUR.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()


def printed(notebook: nbformat.NotebookNode, cell_id: str) -> list[str]:
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout").splitlines()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_committed_notebook_is_valid_and_holds_no_outputs(path: Path) -> None:
    notebook = read(path)

    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


@pytest.fixture(scope="module")
def tour(small_lake: Path) -> Any:
    """The tour, executed on the small lake."""
    notebook = read(TOUR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_LAKE__PATH", str(small_lake))
        for name, value in OF_A_PROCESS.items():
            patch.setenv(name, value)
        execute(notebook)
    return notebook


def test_every_cell_of_the_tour_shows_something_and_none_fails(tour: Any) -> None:
    code = [cell for cell in tour.cells if cell.cell_type == "code"]

    assert {cell.id for cell in code if not cell.outputs} == SILENT_CELLS
    assert [output for cell in code for output in cell.outputs if output.output_type == "error"] == []


def test_the_tour_counts_what_the_tables_hold(tour: Any, small_lake: Path) -> None:
    tables = {name: DeltaTable(small_lake / name).to_pyarrow_table() for name in ("bronze/events", "silver/readings")}
    came_in, promoted = (table.num_rows for table in tables.values())
    quarantine, duplicates = (
        DeltaTable(small_lake / name).to_pyarrow_table().num_rows for name in ("silver/quarantine", "silver/duplicates")
    )

    assert printed(tour, "open") == [f"reading {small_lake}"]
    assert printed(tour, "balance") == [
        f"{came_in:,} came in = {promoted:,} promoted + {quarantine:,} quarantined + {duplicates:,} duplicate "
        "+ 0 held + 0 pending",
        "the books balance",
    ]


def test_the_tour_draws_and_spark_agrees_with_duckdb(tour: Any) -> None:
    (plot,) = (cell for cell in tour.cells if cell.id == "plot")

    assert [list(output.data) for output in plot.outputs] == [["text/plain", "image/png"]]
    assert printed(tour, "spark-agrees")[-1] == "Spark and DuckDB agree"


def test_without_a_lake_the_tour_stops_with_a_readable_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(tmp_path / "none"))
    notebook = read(TOUR)

    with pytest.raises(CellExecutionError) as caught:
        execute(notebook)

    assert (caught.value.ename, caught.value.evalue) == (
        "SystemExit",
        f"there is no lake at {tmp_path / 'none'}\n"
        "What to do: start the jobs with `sluice run`, or point lake.path (SLUICE_LAKE__PATH) at another lake",
    )
    run = [cell.id for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count]
    assert run == ["open"]
