from __future__ import annotations

from pathlib import Path

import pytest

from sluice.errors import DsnInvalid, StoreDown
from sluice.sections import PublishSettings
from sluice.serving.publish.place import DSN_VARIABLE, find_dsn, open_store
from sluice.settings import load_settings

CANARY = "canary-s3cret"
DSN = f"host=/nowhere port=1 dbname=d user=u password={CANARY}"


def settings(path: Path, dsn_path: Path | None = None) -> PublishSettings:
    options = {"publish.path": str(path / "store.sqlite"), "publish.dsn_path": str(dsn_path) if dsn_path else None}
    return load_settings(options=options, environment={}).publish


def dsn_file(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "dsn"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_environment_weighs_more_than_the_file_and_without_both_it_is_sqlite(tmp_path: Path) -> None:
    file = dsn_file(tmp_path, f"{DSN}\n")
    assert find_dsn(settings(tmp_path), {}) is None
    assert find_dsn(settings(tmp_path, file), {}) == DSN
    assert find_dsn(settings(tmp_path, file), {DSN_VARIABLE: "host=other"}) == "host=other"
    store = open_store(settings(tmp_path), {})
    assert store.name == f"SQLite {tmp_path / 'store.sqlite'}"
    store.close()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(DsnInvalid, match="can be read by others"):
        find_dsn(settings(tmp_path, dsn_file(tmp_path, DSN, mode)), {})


@pytest.mark.parametrize(
    "text", [f"password={CANARY} {CANARY}", f"postgresql://u:{CANARY}@[broken/d", f"passwort={CANARY}", "  \n"]
)
def test_a_dsn_that_is_none_is_refused_and_never_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(DsnInvalid) as refused:
        find_dsn(settings(tmp_path, dsn_file(tmp_path, text)), {})
    assert CANARY not in refused.value.in_one_line
    assert refused.value.exit_code == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DsnInvalid, match=r"publish\.dsn_path: cannot read"):
        find_dsn(settings(tmp_path, tmp_path / "none"), {})
    file = tmp_path / "latin"
    file.write_bytes(b"password=\xff")
    file.chmod(0o600)
    with pytest.raises(DsnInvalid, match="is no text"):
        find_dsn(settings(tmp_path, file), {})


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path: Path) -> None:
    # A folder of the password's name brings it into the message of the client's library.
    with pytest.raises(StoreDown) as down:
        open_store(settings(tmp_path), {DSN_VARIABLE: DSN.replace("/nowhere", f"/nowhere/{CANARY}")})
    assert "/nowhere" in down.value.message
    assert CANARY not in down.value.in_one_line
