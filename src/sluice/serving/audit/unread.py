"""Which readings gold may not have taken in yet: their minutes are pending, whatever gold says of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from deltalake.exceptions import DeltaError

from sluice.errors import BooksUnreadable, LakeMissing
from sluice.schemas import BATCH, REPLAY, SILVER_READINGS
from sluice.serving.audit.books import Books, asked_of_gold
from sluice.serving.audit.pages import BookFile, book_files, source_of
from sluice.tables.changes import next_with_rows
from sluice.tables.checkpoints import whole_version
from sluice.tables.lake import Lake
from sluice.tables.spans import read_buckets

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_LAST = f"""
SELECT generation, batch_id, to_version FROM gold_ledger WHERE kind = '{BATCH}'
ORDER BY max(decided_at) OVER (PARTITION BY generation) DESC, batch_id DESC LIMIT 1
"""  # noqa: S608 (our own names)


def mark_unread(books: Books) -> bool:
    """Makes the table `unread`, the promotions of silver of which gold may not have read every row.

    Gold reads silver/readings version by version, and computes a minute from all readings that silver has by then: a
    minute of which every reading was read is what a recompute gives, one with an unread reading may be older or newer.

    Returns:
        Whether there are any.

    Raises:
        BooksUnreadable: the version that gold has read up to is no longer in the table's log.
    """
    books.run("CREATE OR REPLACE TEMP TABLE unread (promotion_id VARCHAR)")
    pages, read = books.pages(SILVER_READINGS), _read_version(books)
    if pages is None or next_with_rows(Lake(books.lake.path), SILVER_READINGS, read + 1, pages.version) > pages.version:
        return False
    older = {file.path for file in _files_at(books, read)} if read >= 0 else set()
    new = [file for file in pages.files if file.path not in older]
    # What was compacted since is in new files, and was read all the same.
    rewritten = sorted(older - {file.path for file in pages.files})
    books.run(f"INSERT INTO unread SELECT DISTINCT promotion_id FROM {source_of(SILVER_READINGS, new)}")  # noqa: S608
    if rewritten:
        files = [BookFile(path, 0, None, None) for path in rewritten]
        read_before = f"SELECT promotion_id FROM {source_of(SILVER_READINGS, files)}"  # noqa: S608 (our own names)
        books.run(f"DELETE FROM unread WHERE promotion_id IN ({read_before})")  # noqa: S608
    # What replaced rows of silver is no news to Delta's stream; gold made its minutes anew on request.
    books.run(
        "DELETE FROM unread WHERE promotion_id IN (SELECT parent_promotion_id FROM gold_ledger WHERE kind = ?)",
        [REPLAY],
    )
    return books.number("SELECT count(*) FROM unread") > 0


def mark_replaying(books: Books) -> None:
    """Makes the table `replaying`: the times (microseconds, half-open) whose minutes gold has still to make anew."""
    books.run("CREATE OR REPLACE TEMP TABLE replaying (low BIGINT, high BIGINT)")
    for subject in {*books.replaying, *asked_of_gold(books.lake.path)}:
        for low, high in read_buckets(subject).ranges:
            books.run("INSERT INTO replaying VALUES (?, ?)", [_micros(low), _micros(high)])


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _read_version(books: Books) -> int:
    """The last version of silver/readings that gold has read whole, -1 before the first."""
    last = books.rows(_LAST)
    if not last:
        return -1
    generation, batch_id, to_version = last[0]
    checkpoint = Lake(books.lake.path).checkpoint_path("gold")
    # The ledger names the version a micro-batch ended in, only the checkpoint knows whether at its end.
    whole = whole_version(checkpoint, generation, batch_id)
    if whole is not None:
        return whole
    return -1 if to_version is None else int(to_version)


def _files_at(books: Books, version: int) -> list[BookFile]:
    try:
        delta = books.lake.delta(SILVER_READINGS.full_name, version)
        return list(book_files(delta, books.lake.path / SILVER_READINGS.relative_path))
    except (LakeMissing, DeltaError) as error:
        raise BooksUnreadable(
            f"gold has read silver.readings up to version {version}, which its log no longer has: {error}",
            "let gold catch up (sluice run), then audit again",
        ) from None
