"""Who is let in, what is refused, and that refusals tell nothing: hostile parameters, keys, limits of a real server."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from tests.unit.serving.lake_builder import append, at, build_lake, minute, reading

from sluice.api.keys import add_key, hash_of, revoke_key
from sluice.cli import run_command

from .served import NOW, Served, running, serving, wait_until

DAY = "since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z"
TOO_LONG = "since: at most 31 days before until; ask for the time in parts"
ANYWHERE = "0.0.0.0"  # noqa: S104
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guards")
    rows = [reading(number, at("12:00:00") + timedelta(seconds=number), customer="acme") for number in range(5)]
    lake = build_lake(folder / "lake", {"silver.readings": rows, "gold.readings_1min": [minute(at("12:00:00"))]})
    with serving(lake, folder, SLUICE_SERVE__MAX_ROWS="50", SLUICE_SERVE__BURST_REQUESTS="10000") as server:
        yield server


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("device_id=%00", "device_id: Value error, holds a control character"),
        ("device_id=" + "x" * 257, "device_id: String should have at most 256 characters"),
        ("device_id=", "device_id: String should have at least 1 character"),
        ("device_id=a&device_id=b", "parameters: each at most once"),
        ("limit=-1", "limit: Input should be greater than or equal to 1"),
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("limit=51", "limit: at most 50; the rest comes page by page"),
        ("limit=1e3", "limit: Input should be a valid integer, unable to parse string as an integer"),
        ("limit=" + "9" * 5000, None),
        ("since=yesterday", "since: give an RFC 3339 time with an offset, e.g. 2026-03-01T12:00:00Z (write + as %2B)"),
        ("since=1772366400", "since: give an RFC 3339 time with an offset, e.g. 2026-03-01T12:00:00Z (write + as %2B)"),
        ("since=0000-01-01T00:00:00Z", "since: there is no such time"),
        ("since=2026-02-30T00:00:00Z", "since: there is no such time"),
        ("until=9999-12-31T23:59:59-23:59", "until: there is no such time"),
        (
            "since=0001-01-01T00:00:00Z&until=9999-12-31T00:00:00Z",
            TOO_LONG,
        ),
        ("since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "since: must lie before until"),
        ("columns=event_id;DROP", None),
        ("columns=*", None),
        ("cursor=AAAA", "cursor: hand back next_cursor of the page before, as it was, to the same endpoint"),
        ("cursor=WyJyZWFkaW5ncyIsMSwyLHRydWUsIngiLG51bGxd", None),
        ("as_of=2999-01-01T00:00:00Z", "as_of: lies in the future"),
        ("as_of=-1", None),
        ("%24where=1", "unknown parameter; `/` lists those of each path"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(served: Served, query: str, detail: str | None) -> None:
    answer = served.get(f"/v1/readings?{query}")

    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert detail in (None, problem["detail"])


@pytest.mark.parametrize(
    "device_id",
    [
        "' OR 1=1 --",
        "sensor-0001'; DROP TABLE silver.readings; --",
        "%",
        "sensor_000_",
        "../../etc",
        "$customers",
        "\u202e",
    ],
)
def test_an_id_is_never_part_of_a_statement(served: Served, device_id: str) -> None:
    for path in ("readings", "latest", "aggregates", "quality", "alerts"):
        answer = httpx.get(
            f"{served.address}/v1/{path}",
            params={"device_id": device_id},
            headers={"Authorization": f"Bearer {served.all_key}"},
            timeout=30,
        )
        assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


@pytest.mark.parametrize(
    ("version", "status"),
    [("0", 200), ("1", 410), ("999999999999999", 410), ("2000-01-01T00:00:00Z", 410), ("1" * 16, 422)],
)
def test_versions_that_are_not_there_are_gone(served: Served, version: str, status: int) -> None:
    assert served.get(f"/v1/readings?{DAY}&as_of={version}").status_code == status


def test_nothing_but_get_and_no_other_path(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = httpx.request(method, f"{served.address}/v1/latest", timeout=30)
        assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
    missing = served.get("/v1/../etc/passwd")
    assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
    assert served.get(f"/v1/latest?{'x' * 9000}").status_code == 414


def test_without_a_valid_key_there_is_nothing(served: Served) -> None:
    expired = add_key(served.keys_path, "old", ["*"], datetime.now(timezone.utc) - timedelta(seconds=1), NOW)
    for key in (None, "slk_wrong", served.all_key + "x", hash_of(served.all_key), expired):
        for path in ("/v1/latest", "/v1/readings?limit=-1", "/v1/devices/sensor-0001"):
            answer = served.get(path, key)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="sluice"')
    assert served.get("/health", None).json() == {"status": "up"}
    assert served.get("/ready", None).json() == {"status": "ready"}


def test_a_key_counts_from_when_it_is_added_until_it_is_revoked(served: Served) -> None:
    token = add_key(served.keys_path, "guest", ["acme"], None, NOW)
    assert served.get("/v1/latest", token).status_code == 200

    revoke_key(served.keys_path, "guest")

    assert served.get("/v1/latest", token).status_code == 401
    assert token not in served.keys_path.read_text()
    assert served.keys_path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_keys_that_others_can_read_lets_nobody_in(served: Served) -> None:
    served.keys_path.chmod(0o640)
    try:
        assert served.get("/v1/latest").status_code == 401
    finally:
        served.keys_path.chmod(0o600)
    assert served.get("/v1/latest").status_code == 200


def test_every_answer_is_private_and_inert(served: Served) -> None:
    answer = served.get("/v1/latest")

    expected = {
        "cache-control": "private, no-cache",
        "vary": "Authorization",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert "server" not in answer.headers


def test_an_unchanged_answer_is_not_sent_again(served: Served) -> None:
    for path in (f"/v1/readings?{DAY}", "/v1/latest", "/v1/devices"):
        first = served.get(path)
        again = served.get(path, **{"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert served.get(path, **{"If-None-Match": '"other"'}).status_code == 200


def test_the_log_holds_neither_keys_nor_what_was_asked(served: Served) -> None:
    served.get(f"/v1/latest?device_id=hunter2&key={served.all_key}")
    served.get(f"/v1/{served.all_key}")

    wait_until(lambda: "(no such path)" in served.log.read_text())
    log = served.log.read_text()
    assert "GET /v1/latest 422" in log
    assert "key=everything" in log
    assert served.all_key not in log
    assert "hunter2" not in log


def test_a_key_that_asks_too_often_waits_and_no_other(tmp_path: Path) -> None:
    lake = build_lake(tmp_path / "lake", {"silver.readings": [reading(1, at("12:00:00"))]})
    limits = {"SLUICE_SERVE__REQUESTS_PER_SECOND": "0.01", "SLUICE_SERVE__BURST_REQUESTS": "3"}
    with serving(lake, tmp_path, **limits) as served:
        answers = [served.get("/v1/latest") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[3].headers["retry-after"]) in range(90, 101)
        assert served.get("/v1/latest", "acme").status_code == 200

        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 0


def test_without_keys_only_localhost_is_answered_and_a_lake_may_come_later(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with running(lake, tmp_path) as (address, process, _):
        for path in ("/ready", "/v1/latest"):
            answer = httpx.get(f"{address}{path}", timeout=30)
            assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
            assert str(tmp_path) not in answer.text
        build_lake(lake, {"silver.readings": [reading(1, at("12:00:00"))]})
        wait_until(lambda: httpx.get(f"{address}/ready", timeout=30).status_code == 200)
        assert len(httpx.get(f"{address}/v1/readings?{DAY}", timeout=30).json()["items"]) == 1
        assert httpx.get(f"{address}/v1/latest", headers={"Host": "evil.example"}, timeout=30).status_code == 421

        port = address.rpartition(":")[2]
        assert run_command(["serve", "--port", port, "--set", f"lake.path={lake}"]) == 3
        assert process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--host", ANYWHERE], 2, f"without keys the API must not listen on {ANYWHERE}"),
        (["--host", "no such host"], 2, "has no address"),
        (["--set", "serve.keys_path=KEYS"], 2, "there are no keys in"),
        (["keys", "ls"], 2, "serve.keys_path is not set"),
        (["keys", "revoke", "who", "--set", "serve.keys_path=KEYS"], 2, "there is no key 'who'"),
        (["keys", "add", "A b", "--customer", "x", "--set", "serve.keys_path=KEYS"], 2, "is no key id"),
        (["keys", "add", "a", "--customer", "*", "--customer", "x", "--set", "serve.keys_path=KEYS"], 2, "* alone"),
    ],
)
def test_what_would_not_be_safe_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    given = [each.replace("KEYS", str(tmp_path / "keys.json")) for each in arguments]

    assert run_command(["serve", *given, "--set", f"lake.path={tmp_path}", "--set", "serve.port=0"]) == code

    shown = capsys.readouterr().err
    assert said in shown
    assert len(shown.splitlines()) == 2


def test_a_port_in_use_is_one_line_and_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_command(["serve", "--port", str(port), "--set", f"lake.path={tmp_path}"]) == 3

    assert capsys.readouterr().err.splitlines()[0] == f"sluice: port {port} of 127.0.0.1 is in use"


def test_keys_are_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ["--set", f"serve.keys_path={tmp_path / 'keys.json'}"]
    assert run_command(["serve", "keys", "add", "shop", "--customer", "acme", "--days", "30", *path]) == 0
    token = capsys.readouterr().out.strip()

    assert run_command(["serve", "keys", "ls", *path]) == 0

    shown = capsys.readouterr().out
    assert "shop" in shown
    assert "acme" in shown
    assert token not in shown + (tmp_path / "keys.json").read_text()


def test_clients_of_a_growing_table_see_every_row_once(tmp_path: Path) -> None:
    first = [reading(number, at("12:00:00") + timedelta(seconds=number), customer="acme") for number in range(60)]
    lake = build_lake(tmp_path / "lake", {"silver.readings": first})
    with serving(lake, tmp_path, SLUICE_SERVE__BURST_REQUESTS="10000") as served:

        def walk(_: int) -> list[str]:
            pages = served.pages(f"/v1/readings?columns=event_id&limit=7&{DAY}", "acme")
            return [row["event_id"] for page in pages for row in page]

        with ThreadPoolExecutor(4) as pool:
            walks = [pool.submit(walk, number) for number in range(4)]
            for number in range(60, 72):
                # Late ones among them, which lie before the page that a client is at.
                moment = at("12:00:00") + timedelta(seconds=number if number % 2 else 0.5)
                other = reading(1000 + number, moment, customer="other")
                append(lake, "silver.readings", [reading(number, moment, customer="acme"), other])
            found = [each.result() for each in walks]

        for ids in found:
            assert len(ids) == len(set(ids))
            assert {f"e{number}" for number in range(60)} <= set(ids) <= {f"e{number}" for number in range(72)}
        wait_until(lambda: len(walk(0)) == 72)
