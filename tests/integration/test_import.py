"""`sluice import` as a process; into a real broker where Kafka matters."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker
from sluice.sources.kafka import end_offsets

OCCUPANCY = (
    '"Date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"\n'
    '"2015-02-04 17:51:00",23.18,27.272,426,721.25,0.00479298817650529,1\n'
    '"2015-02-04 17:51:59",23.15,27.2675,429.5,714,0.00478344094931065,1\n'
)
OCCUPANCY_OPTIONS = [
    *("--map", "Date=timestamp", "--map", "Temperature=temperature", "--map", "Humidity=humidity"),
    *("--device", "occupancy-1", "--time-zone", "Europe/Brussels"),
]
MACHINE = "timestamp,value\n2013-12-02 21:15:00,73.96732207\n2013-12-02 21:20:00,74.93588199999998\n"
MACHINE_EVENTS = (
    b'{"id":"machine-1","dt":"2013-12-02T21:15:00Z","value":73.96732207}\n'
    b'{"id":"machine-1","dt":"2013-12-02T21:20:00Z","value":74.93588199999998}\n'
)


def run(*arguments: str | Path, place: tuple[str, str] = ("127.0.0.1:1", "t")) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments, place=place), capture_output=True, timeout=120, check=False)


def command(*arguments: str | Path, place: tuple[str, str]) -> list[str]:
    address, topic = place
    settings = ["--set", f"kafka.bootstrap_servers={address}", "--set", f"kafka.topic={topic}"]
    return [sys.executable, "-c", "from sluice.cli import main; main()", "import", *settings, *map(str, arguments)]


def written(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines_of(*arguments: str | Path) -> bytes:
    done = run(*arguments, "--sink", "stdout")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def place(broker: RunningBroker) -> tuple[str, str]:
    """Address and name of a topic of one partition."""
    return broker.bootstrap_servers, new_topic(broker, 1, "import")


def records(place: tuple[str, str]) -> list[tuple[bytes | None, bytes]]:
    address, topic = place
    consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    found: list[Any] = []
    while len(found) < end_offsets(address, topic, {})[0]:
        for batch in consumer.poll(timeout_ms=1000).values():
            found += batch
    consumer.close()
    return [(record.key, record.value) for record in found]


def test_a_csv_file_with_local_times_becomes_events_of_one_device(tmp_path: Path, place: tuple[str, str]) -> None:
    path = written(tmp_path, "occupancy.csv", OCCUPANCY)
    done = run(path, *OCCUPANCY_OPTIONS, "--json", place=place)
    assert (done.returncode, done.stderr) == (0, b"")
    summary = json.loads(done.stdout)
    assert {key: summary[key] for key in summary if "second" not in key} == {
        "sink": "kafka",
        "target": f"{place[1]} on {place[0]}",
        "stopped": False,
        "files": [str(path)],
        "events": 2,
        "sent_as_they_are": 0,
        "ambiguous_times": 0,
        "shifted_times": 0,
    }
    assert records(place) == [
        (
            b"occupancy-1",
            b'{"device_id":"occupancy-1","timestamp":"2015-02-04T16:51:00Z","temperature":23.18,"humidity":27.272}',
        ),
        (
            b"occupancy-1",
            b'{"device_id":"occupancy-1","timestamp":"2015-02-04T16:51:59Z","temperature":23.15,"humidity":27.2675}',
        ),
    ]


def test_a_second_import_gives_the_same_bytes(tmp_path: Path, place: tuple[str, str]) -> None:
    path = written(tmp_path, "machine.csv", MACHINE)
    for _ in range(2):
        assert run(path, "--device", "machine-1", "--time-zone", "UTC", place=place).returncode == 0
    assert records(place) == [(b"machine-1", line) for line in MACHINE_EVENTS.splitlines()] * 2


def test_readings_need_no_map_and_a_map_gives_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, "machine.csv", MACHINE)
    options = ("--device", "machine-1", "--time-zone", "UTC")
    assert lines_of(path, *options) == MACHINE_EVENTS
    assert lines_of(path, *options, "--map", "timestamp=dt", "--map", "value=value") == MACHINE_EVENTS


def test_json_lines_go_as_they_are_keyed_by_the_device_they_name(tmp_path: Path, place: tuple[str, str]) -> None:
    lines = [
        b'{"device_id": "a",  "timestamp": "x", "n": 1.50}',
        b'{"id":"m","dt":"y"}',
        b"not json",
        b'{"device_id":"\xff"}',
        b"[1]",
    ]
    path = written(tmp_path, "events.jsonl", b"\r\n".join(lines) + b"\r\n\r\n")
    done = run(path, "--json", place=place)
    assert json.loads(done.stdout)["events"] == 5
    assert json.loads(done.stdout)["sent_as_they_are"] == 3
    assert records(place) == list(zip([b"a", b"m", None, None, None], lines, strict=True))


def test_what_generate_wrote_to_a_file_imports_as_the_same_bytes(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    settings = ["generate", "--events", "2000", "--faults", "corrupt=0.2", "--sink", "file", "--out", str(out)]
    generate = [sys.executable, "-c", "from sluice.cli import main; main()", *settings]
    assert subprocess.run(generate, capture_output=True, check=False).returncode == 0
    assert lines_of(out) == out.read_bytes()


def test_json_lines_can_be_mapped_too(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"when":"2015-02-04 17:51:00","t":21.50,"x":1}\n{"t":2,"when":null}\nbroken\n')
    assert lines_of(
        path, "--map", "when=timestamp", "--map", "t=temperature", "--device", "d", "--time-zone", "UTC"
    ) == (
        b'{"device_id":"d","timestamp":"2015-02-04T17:51:00Z","temperature":21.50}\n'
        b'{"device_id":"d","temperature":2}\n'
        b"broken\n"
    )


def test_a_database_is_imported_from_its_only_table(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "plant.db") as database:
        database.execute("CREATE TABLE log (device_id TEXT, timestamp TEXT, temperature REAL, humidity REAL)")
        database.execute("INSERT INTO log VALUES ('a', '2015-02-04T17:51:00+01:00', 21.5, NULL), (7, 'soon', 1e400, 3)")
    database.close()
    done = run(tmp_path / "plant.db", "--sink", "stdout", "--json")
    assert done.stdout == (
        b'{"device_id":"a","timestamp":"2015-02-04T16:51:00Z","temperature":21.5}\n'
        b'{"device_id":"7","timestamp":"soon","temperature":"inf","humidity":3.0}\n'
    )
    assert json.loads(done.stderr)["sent_as_they_are"] == 1


def test_rows_that_cannot_be_converted_are_sent_as_they_are_and_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a.csv",
        b"timestamp,temperature,device_id\n2015-02-04T17:51:00Z,1,a\n2015-02-04T17:52:00Z,warm,a\n"
        b"2015-02-04T17:53:00Z,1,a,b\nlater,2,\xff\n2015-02-04 17:54:00,,a\n",
    )
    # The last time has no offset: without a zone, such a file is refused.
    refused = run(path, "--sink", "stdout")
    assert (refused.returncode, refused.stdout) == (2, b"")
    done = run(path, "--sink", "stdout", "--time-zone", "UTC")
    assert done.stdout == (
        b'{"timestamp":"2015-02-04T17:51:00Z","temperature":1,"device_id":"a"}\n'
        b'{"timestamp":"2015-02-04T17:52:00Z","temperature":"warm","device_id":"a"}\n'
        b'"2015-02-04T17:53:00Z,1,a,b"\n'
        b'{"timestamp":"later","temperature":2,"device_id":"\xff"}\n'
        b'{"timestamp":"2015-02-04T17:54:00Z","device_id":"a"}\n'
    )
    assert "3 with something that could not be converted, sent as they are" in done.stderr.decode()


def test_times_a_zone_leaves_open_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "timestamp,value\n2015-10-25 02:30:00,1\n2015-03-29 02:30:00,2\n")
    done = run(path, "--device", "d", "--time-zone", "Europe/Berlin", "--sink", "stdout", "--json")
    assert done.stdout == (
        b'{"id":"d","dt":"2015-10-25T00:30:00Z","value":1}\n{"id":"d","dt":"2015-03-29T01:30:00Z","value":2}\n'
    )
    summary = json.loads(done.stderr)
    assert (summary["ambiguous_times"], summary["shifted_times"]) == (1, 1)


def test_several_files_go_in_the_order_given(tmp_path: Path) -> None:
    first = written(tmp_path, "1.jsonl", b'{"device_id":"a"}\n')
    second = written(tmp_path, "2.jsonl", b'{"device_id":"b"}')
    assert lines_of(second, first) == b'{"device_id":"b"}\n{"device_id":"a"}\n'


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("a.csv", OCCUPANCY, OCCUPANCY_OPTIONS[2:], "{path}: no field for the time of the event"),
        ("a.csv", OCCUPANCY, [*OCCUPANCY_OPTIONS, "--map", "Temp=status"], "{path} has no column 'Temp'"),
        ("a.csv", OCCUPANCY, OCCUPANCY_OPTIONS[:-2], "{path}: times without an offset, e.g. 2015-02-04 17:51:00"),
        ("a.csv", OCCUPANCY, [*OCCUPANCY_OPTIONS[:-1], "Mars/Olympus"], "unknown time zone 'Mars/Olympus'"),
        ("a.csv", MACHINE, ["--time-zone", "UTC"], "{path}: nothing names the device"),
        ("a.csv", "7,73.9\n", [], "{path} has no header: its first line is 7,73.9"),
        ("a.csv", "", [], "{path} is empty: it has no header"),
        ("a.txt", MACHINE, [], "{path}: cannot tell the format from the name"),
        ("a.jsonl", "{}\n", ["--device", "d"], "JSON lines go as they are: --device and --time-zone need a --map"),
        ("a.csv", MACHINE, ["--map", "value"], "--map value: not of the form column=field, each once"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line_and_nothing_is_sent(
    tmp_path: Path, name: str, text: str, options: list[str], message: str
) -> None:
    good = written(tmp_path, "good.jsonl", b'{"device_id":"a"}\n')
    path = written(tmp_path, name, text)
    # Also when a file that could be sent comes first, and although no broker answers.
    files = [path] if name == "a.jsonl" or options else [good, path]
    refused = run(*files, *options)
    assert (refused.returncode, refused.stdout) == (2, b"")
    what, hint = refused.stderr.decode().splitlines()
    assert what == f"sluice: {message.format(path=path)}"
    assert hint.startswith("  next: ")


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    refused = run(tmp_path / "missing.csv")
    assert refused.returncode == 2
    assert (
        refused.stderr.decode().splitlines()[0]
        == f"sluice: cannot read {tmp_path}/missing.csv: No such file or directory"
    )


def test_the_output_never_replaces_an_input(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", b"{}\n")
    refused = run(path, "--sink", "file", "--out", path)
    assert refused.returncode == 2
    assert path.read_bytes() == b"{}\n"


def test_a_stop_ends_an_import_cleanly(tmp_path: Path, place: tuple[str, str]) -> None:
    line = b'{"device_id":"a","timestamp":"2015-02-04T17:51:00Z"}\n'
    path = written(tmp_path, "long.jsonl", line * 3_000_000)
    process = subprocess.Popen(command(path, "--json", place=place), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while end_offsets(*place, {})[0] < 1000:
        assert time.monotonic() < end
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    summary = json.loads(stdout)
    assert (process.returncode, stderr, summary["stopped"]) == (0, b"", True)
    assert 1000 <= summary["events"] == end_offsets(*place, {})[0] < 3_000_000
