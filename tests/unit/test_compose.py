"""The compose file without a container engine: against the specification, and its commands outside containers.

The schema is the Compose specification's own, as the package check-jsonschema ships it.
"""

from __future__ import annotations

import configparser
import importlib.resources
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.spark_options import JAVA_OPTIONS

from sluice.settings import load_settings, parse_value

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("sluice:"))
JOBS = ("bronze", "silver", "gold")
ONE_SHOT = {"topics"}
BIN = Path(sys.executable).parent
WORKDIR = "/opt/sluice"


def command(service: str) -> list[str]:
    return [str(part) for part in SERVICES[service]["command"]]


def environment(service: str) -> dict[str, str]:
    return {key: str(value) for key, value in SERVICES[service].get("environment", {}).items()}


def option(service: str, name: str) -> str:
    words = command(service)
    return words[words.index(name) + 1]


def test_the_file_fits_the_compose_specification() -> None:
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text("utf-8"))

    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []


def test_there_are_kafka_spark_three_jobs_jupyter_and_on_request_postgres() -> None:
    assert list(SERVICES) == ["kafka", "topics", "spark-master", "spark-worker", *JOBS, "jupyter", "postgres"]
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "postgres": ["publish"]
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_or_runs_once(name: str) -> None:
    service = SERVICES[name]

    if name in ONE_SHOT:
        assert (service["restart"], "healthcheck" in service) == ("no", False)
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_others_by_the_condition_they_can_meet(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert (other in SERVICES, how["condition"]) == (True, expected)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_by_its_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(-pg\d+)?", SERVICES[name]["image"])


def test_our_image_carries_our_version_and_kafka_that_of_the_pinned_jars() -> None:
    project = configparser.ConfigParser()
    project.read(ROOT / "setup.cfg")
    assert {SERVICES[name]["image"] for name in OURS} == {f"sluice:{project['metadata']['version']}"}

    (revision,) = re.findall(r'name="kafka_2\.13"\s+rev="([^"]+)"', (ROOT / "infra" / "ivy.xml").read_text("utf-8"))
    assert SERVICES["kafka"]["image"] == SERVICES["topics"]["image"] == f"apache/kafka:{revision}"


def test_ports_are_published_on_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {
        "kafka": ["127.0.0.1:9092:9092"],
        "spark-master": ["127.0.0.1:8080:8080"],
        "jupyter": ["127.0.0.1:8888:8888"],
        "postgres": ["127.0.0.1:5432:5432"],
    }


def test_no_secret_stands_in_the_files() -> None:
    secret = re.compile(r"password|passwd|secret|token|credential|private_key", re.IGNORECASE)
    found = {key: value for name in SERVICES for key, value in environment(name).items() if secret.search(key)}

    assert list(found) == ["JUPYTER_TOKEN", "POSTGRES_PASSWORD"]
    # `:?` lets compose refuse to start without a value; PostgreSQL, which most do not start, refuses by itself.
    assert found["JUPYTER_TOKEN"].startswith("${JUPYTER_TOKEN:?")
    assert found["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"
    assert [line for line in (ROOT / "infra" / ".env.example").read_text("utf-8").split() if line[-1] == "="] == [
        f"{name}=" for name in found
    ]
    assert ".env" in (ROOT / "infra" / ".gitignore").read_text("utf-8").split()
    words = [word for name in SERVICES for word in (*SERVICES[name].get("command", []), *environment(name))]
    assert [word for word in words if secret.search(str(word)) and word not in found] == []


def test_the_lake_is_one_volume_at_one_path_and_every_volume_is_declared() -> None:
    mounts = {name: [mount.split(":")[:2] for mount in SERVICES[name].get("volumes", [])] for name in SERVICES}
    named = {source for each in mounts.values() for source, _ in each if not source.startswith(".")}

    assert named == set(COMPOSE["volumes"]) == {"kafka-data", "lake", "postgres-data"}
    assert {name: target for name in OURS for source, target in mounts[name] if source == "lake"} == dict.fromkeys(
        OURS, "/lake"
    )
    assert {environment(name)["SLUICE_LAKE__PATH"] for name in OURS} == {"/lake"}
    assert mounts["kafka"] == [["kafka-data", environment("kafka")["KAFKA_LOG_DIRS"]]]


def test_every_file_that_is_named_exists() -> None:
    folder = ROOT / "infra"
    builds = [SERVICES[name]["build"] for name in OURS]
    sources = [
        mount.split(":")[0] for name in SERVICES for mount in SERVICES[name].get("volumes", []) if mount.startswith(".")
    ]
    words = [word for name in OURS for word in (*command(name), *SERVICES[name]["healthcheck"]["test"])]
    in_image = {word for word in words if re.fullmatch(r"(conf|infra|jobs|expectations|notebooks)/[\w./-]+", word)}

    assert {build["dockerfile"] for build in builds} == {"infra/Dockerfile"}
    assert {(folder / build["context"]).resolve() for build in builds} == {ROOT}
    assert sources == ["../notebooks"]
    assert in_image == {
        "conf/spark-defaults.conf",
        "infra/answers.py",
        "infra/owns_layer.py",
        *(f"jobs/{layer}.py" for layer in JOBS),
    }
    missing = [path for path in (*in_image, "notebooks", "infra/Dockerfile") if not (ROOT / path).exists()]
    assert missing == []


def test_the_dockerfile_copies_what_exists_and_what_its_ignore_file_lets_in() -> None:
    lines = (ROOT / "infra" / "Dockerfile").read_text("utf-8").splitlines()
    copied = [word.rstrip("/") for line in lines if line.startswith("COPY") for word in line.split()[2:-1]]
    ignore = (ROOT / "infra" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()

    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert [line[1:] for line in ignore if line.startswith("!")] == copied
    (base,) = (line for line in lines if line.startswith("FROM"))
    assert re.fullmatch(r"FROM python:3\.11\.\d+-slim-bookworm", base)
    assert f"WORKDIR {WORKDIR}" in lines
    assert "USER sluice" in lines


@pytest.mark.parametrize("name", OURS)
def test_a_program_that_is_started_is_installed(name: str) -> None:
    assert shutil.which(command(name)[0], path=str(BIN)) is not None


@pytest.mark.parametrize("layer", JOBS)
def test_a_job_is_submitted_to_the_cluster_with_settings_that_are_known(layer: str) -> None:
    assert command(layer) == [
        *("spark-submit", "--master", "spark://spark-master:7077"),
        *("--properties-file", "conf/spark-defaults.conf"),
        # Executors must find the driver by its service, and Python where it lies in every container.
        *("--conf", f"spark.driver.host={layer}"),
        *("--conf", f"spark.pyspark.python={WORKDIR}/.venv/bin/python"),
        *("--total-executor-cores", "2", "--executor-memory", "1g"),
        f"jobs/{layer}.py",
    ]
    settings = load_settings(environment=environment(layer))
    assert (str(settings.lake.path), settings.kafka.bootstrap_servers, settings.kafka.topic) == (
        "/lake",
        "kafka:19092",
        option("topics", "--topic"),
    )
    assert SERVICES[layer]["healthcheck"]["test"][1:] == [".venv/bin/python", "infra/owns_layer.py", layer]
    script = [sys.executable, str(ROOT / "jobs" / f"{layer}.py"), "--help"]
    assert subprocess.run(script, capture_output=True, check=False, timeout=120).returncode == 0


def test_the_worker_has_cores_and_memory_for_all_jobs() -> None:
    wanted = [int(option(layer, "--total-executor-cores")) for layer in JOBS]

    assert int(option("spark-worker", "--cores")) == sum(wanted)
    assert int(option("spark-worker", "--memory").rstrip("g")) >= len(JOBS)


def test_the_topic_is_made_as_the_embedded_broker_makes_it() -> None:
    broker = load_settings(environment={}).broker

    assert command("topics")[0] == "/opt/kafka/bin/kafka-topics.sh"
    assert int(option("topics", "--partitions")) == broker.partitions
    assert option("topics", "--config") == f"max.message.bytes={broker.max_message_bytes}"
    assert parse_value(environment("kafka")["KAFKA_MESSAGE_MAX_BYTES"]) == str(broker.max_message_bytes)
    assert option("topics", "--bootstrap-server") in environment("kafka")["KAFKA_ADVERTISED_LISTENERS"]


def test_kafka_accepts_its_environment_and_formats_its_storage(tmp_path: Path) -> None:
    # The class that the image's entry point runs, from the broker's jars.
    folders = {name: tmp_path / name for name in ("default", "mounted", "final")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (folders["default"] / name).write_text("\n")
    given = {**environment("kafka"), "KAFKA_LOG_DIRS": str(tmp_path / "data"), "CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qk"}
    jars = load_settings(environment={}).spark.jars_path / "broker" / "*"
    arguments = [part for name, folder in folders.items() for part in (f"--{name}-configs-dir", str(folder))]

    done = subprocess.run(
        ["java", "-cp", str(jars), "kafka.docker.KafkaDockerWrapper", "setup", *arguments],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data" / "meta.properties").is_file()
    final = (folders["final"] / "server.properties").read_text("utf-8").splitlines()
    properties = dict(line.split("=", 1) for line in final if "=" in line)
    assert properties.pop("log.dirs") == str(tmp_path / "data")
    assert properties == {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value
        for key, value in environment("kafka").items()
        if key not in ("KAFKA_LOG_DIRS", "KAFKA_HEAP_OPTS")
    }


def test_master_and_worker_start_with_these_commands_and_their_health_checks_pass(tmp_path: Path) -> None:
    master_port, master_page, worker_page = free_port(), free_port(), free_port()
    replaced = {"spark-master": "127.0.0.1", "7077": master_port, "8080": master_page, "8081": worker_page}
    replaced |= {"/tmp/spark-work": str(tmp_path), "spark://spark-master:7077": f"spark://127.0.0.1:{master_port}"}
    pages = {
        "spark-master": f"http://127.0.0.1:{master_page}/json/",
        "spark-worker": f"http://127.0.0.1:{worker_page}/json/",
    }

    assert answers(pages["spark-master"]) == 1
    with running("spark-master", replaced), running("spark-worker", replaced):
        for page in pages.values():
            wait_until(lambda page=page: answers(page) == 0)
        wait_until(lambda: get_json(pages["spark-master"])["aliveworkers"] == 1)
        state = get_json(pages["spark-master"])

    assert (state["url"], state["cores"], state["memory"]) == (f"spark://127.0.0.1:{master_port}", 6, 4096)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def running(service: str, replaced: dict[str, str]) -> Iterator[None]:
    """The service's command outside a container, with other hosts, ports and paths."""
    words = [replaced.get(word, word) for word in command(service)]
    given = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "SPARK_DAEMON_JAVA_OPTS": JAVA_OPTIONS}
    process = subprocess.Popen(words, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(address: str) -> int:
    """The exit code of the health check."""
    check = [sys.executable, str(ROOT / "infra" / "answers.py"), address]
    return subprocess.run(check, check=False, timeout=60).returncode


def get_json(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
        return json.load(answer)  # type: ignore[no-any-return]


def wait_until(is_so: Any, timeout_seconds: float = 120) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)
