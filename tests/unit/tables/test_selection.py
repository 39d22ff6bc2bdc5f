from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from sluice.errors import UsageError
from sluice.tables.selection import At, Selection, read_selection

SINCE = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
WHOLE = Selection("NOT_JSON", "d\u202e1", "parse", SINCE, (At("iot.raw", None, 0, 7), At("iot.raw", 2, 1, 8)))


@pytest.mark.parametrize(
    "selection", [Selection(), WHOLE, Selection(code="NOT_JSON"), Selection(records=WHOLE.records)]
)
def test_a_selection_is_read_from_its_text(selection: Selection) -> None:
    assert read_selection(selection.as_text()) == selection
    assert read_selection(selection.as_text()).as_text() == selection.as_text()


def test_only_one_that_asks_for_nothing_is_everything() -> None:
    assert Selection().is_everything
    assert not WHOLE.is_everything
    assert not Selection(records=(At("iot.raw", None, 0, 7),)).is_everything


def test_people_read_what_was_meant() -> None:
    assert str(Selection()) == "all"
    assert str(Selection(code="NOT_JSON", records=(At("iot.raw", 2, 0, 7),))) == "code NOT_JSON, iot.raw:2:0:7"
    assert str(WHOLE).endswith("stage parse, quarantined since 2026-03-01T12:00:00+00:00, 2 given coordinates")
    assert Selection(since=SINCE) != Selection(since=SINCE + timedelta(microseconds=1))


@pytest.mark.parametrize(
    "text", ["", "silver-g-7", "[]", '{"since": "today"}', '{"records": [1]}', '{"records": [[1]]}']
)
def test_a_text_that_is_no_selection_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="does not say which records are meant"):
        read_selection(text)
