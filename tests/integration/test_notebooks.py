"""The notebooks as a person runs them: from top to bottom in a kernel of their own, on a lake the jobs made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from deltalake import DeltaTable
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tests.spark_options import OF_A_PROCESS

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TOUR = FOLDER / "01_tour.ipynb"
QUALITY = FOLDER / "02_quality.ipynb"
SERIES = FOLDER / "03_time_series.ipynb"
TRAVEL = FOLDER / "04_time_travel_and_features.ipynb"
SPARK = FOLDER / "05_spark.ipynb"
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
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


def executed(path: Path, lake: Path) -> nbformat.NotebookNode:
    """A notebook after it ran on a lake."""
    notebook = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_LAKE__PATH", str(lake))
        for name, value in OF_A_PROCESS.items():
            patch.setenv(name, value)
        execute(notebook)
    return notebook


@pytest.fixture(scope="module")
def tour(small_lake: Path) -> Any:
    """The tour, executed on the small lake."""
    return executed(TOUR, small_lake)


def require_all_cells_shown(notebook: nbformat.NotebookNode) -> None:
    """Every cell shows something, but those that are meant not to, and none fails; see also `warnings_of`."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert {cell.id for cell in code if not cell.outputs} <= SILENT_CELLS
    assert [output for cell in code for output in cell.outputs if output.output_type == "error"] == []


def warnings_of(notebook: nbformat.NotebookNode) -> list[str]:
    """What cells wrote to standard error, where a reader would see it between the results."""
    return [
        output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"
    ]


def test_every_cell_of_the_tour_shows_something_and_none_fails(tour: Any) -> None:
    require_all_cells_shown(tour)


def test_the_quality_notebook_makes_a_score_again_by_hand_and_explains_a_promotion(small_lake: Path) -> None:
    notebook = executed(QUALITY, small_lake)

    require_all_cells_shown(notebook)
    assert warnings_of(notebook) == []
    (line,) = printed(notebook, "validity-by-hand")
    by_hand, in_table = re.findall(r"\d\.\d{6}", line)
    assert by_hand == in_table
    ledger = DeltaTable(small_lake / "ops/silver_promotions").to_pyarrow_table().to_pylist()
    ledger += DeltaTable(small_lake / "ops/gold_promotions").to_pyarrow_table().to_pylist()
    verdicts = {row["promotion_id"]: row["verdict"] for row in ledger}
    ((promotion_id, verdict),) = [line.split() for line in printed(notebook, "choose-promotion")]
    assert verdicts[promotion_id] == verdict


def test_the_time_series_notebook_agrees_with_silver(small_lake: Path) -> None:
    notebook = executed(SERIES, small_lake)

    require_all_cells_shown(notebook)
    assert warnings_of(notebook) == []
    differences = [float(line.split(": ")[1]) for line in printed(notebook, "same-from-silver")]
    assert len(differences) == 2
    assert max(differences) < 1e-6
    plots = [
        cell.id
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert plots == ["gaps-plot", "completeness-plot", "correlation-plot", "anomalies-plot"]


def test_the_training_set_comes_out_the_same_again_and_differs_at_another_version(small_lake: Path) -> None:
    notebook = executed(TRAVEL, small_lake)

    require_all_cells_shown(notebook)
    assert warnings_of(notebook) == []
    assert printed(notebook, "made-again") == ["the same, value for value"]
    assert printed(notebook, "first-version") == ["first version: 0 rows, another fingerprint"]
    assert printed(notebook, "keep-parquet") == ["read back the same"]


@pytest.mark.soak
def test_spark_and_duckdb_agree_in_the_spark_notebook(small_lake: Path) -> None:
    notebook = executed(SPARK, small_lake)

    require_all_cells_shown(notebook)
    hours, values = printed(notebook, "agree")
    assert hours.endswith("counts, minima and maxima are equal")
    assert values == "means and deviations agree"
    for line in printed(notebook, "versions"):
        in_spark, in_duckdb = re.findall(r"([\d,]+) rows|, ([\d,]+) in DuckDB", line)
        assert in_spark[0] == in_duckdb[1]


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
