from __future__ import annotations

import os
from pathlib import Path

from sluice.pipelines.gatekeeper import newest_first, rows_of

ROWS = {"rows_in": 9, "rows_promoted": 5, "rows_quarantined": 3, "rows_duplicate": 1, "rows_held": 0}


def test_all_rows_of_a_refused_batch_are_held() -> None:
    held = {"rows_in": 9, "rows_promoted": 0, "rows_quarantined": 0, "rows_duplicate": 0, "rows_held": 9}
    assert rows_of(ROWS, "HOLD") == rows_of(ROWS, "ERROR") == held
    assert rows_of(ROWS, "PROMOTE") == rows_of(ROWS, "PROMOTE_WITH_WARNINGS") == ROWS


def test_results_are_listed_by_when_they_were_written_whatever_their_names(tmp_path: Path) -> None:
    for second, name in enumerate(("silver-g-9.json", "silver-g-10.json", "silver-g-9-approve.json")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, second))
    assert [path.stem for path in newest_first(tmp_path)] == ["silver-g-9-approve", "silver-g-10", "silver-g-9"]
