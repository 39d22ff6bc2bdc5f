from __future__ import annotations

import time

import pytest

from sluice.errors import BrokerDown, SettingsInvalid
from sluice.settings import load_settings
from sluice.sources.kafka import end_offsets, producer, require_topic, resolve_bootstrap, spark_options

NOBODY = "127.0.0.1:1"


def test_the_configured_broker_comes_before_the_embedded_one() -> None:
    configured = load_settings(options={"kafka.bootstrap_servers": "kafka:9092"}, environment={})
    plain = load_settings(environment={})
    assert resolve_bootstrap(configured, "127.0.0.1:5") == "kafka:9092"
    assert resolve_bootstrap(plain, "127.0.0.1:5") == "127.0.0.1:5"
    with pytest.raises(BrokerDown) as refused:
        resolve_bootstrap(plain, None)
    assert refused.value.message == "no Kafka broker is configured and the embedded one is not up"
    assert refused.value.hint == "sluice up, or set kafka.bootstrap_servers"


@pytest.mark.parametrize("ask", [require_topic, end_offsets, producer])
def test_a_broker_that_does_not_answer_is_reported_within_six_seconds(
    ask: object, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(BrokerDown) as refused:
        ask(NOBODY, "iot.raw", {})  # type: ignore[operator]
    assert time.monotonic() - began < 6
    assert refused.value.message == "no Kafka broker answers at 127.0.0.1:1"
    assert refused.value.hint == "sluice up, or set kafka.bootstrap_servers"
    assert capfd.readouterr() == ("", "")


def test_an_address_without_a_port_number_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsInvalid, match=r"kafka\.|cannot be used"):
        require_topic("localhost:kafka", "iot.raw", {})


def test_spark_reads_committed_records_from_the_earliest_on_and_stops_on_loss() -> None:
    assert spark_options("a:1,b:2", "iot.raw", {"security.protocol": "SSL", "acks": "all"}) == {
        "kafka.bootstrap.servers": "a:1,b:2",
        "subscribe": "iot.raw",
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        "kafka.max.partition.fetch.bytes": "34603008",
        "kafka.fetch.max.bytes": "69206016",
        "fetchOffset.numRetries": "1",
        "kafka.default.api.timeout.ms": "30000",
        "kafka.security.protocol": "SSL",
        "kafka.isolation.level": "read_committed",
    }


def test_a_question_to_the_broker_may_take_at_least_as_long_as_a_request() -> None:
    options = spark_options("a:1", "t", {"request.timeout.ms": "90000"})
    assert options["kafka.default.api.timeout.ms"] == options["kafka.request.timeout.ms"] == "90000"


def test_options_may_change_fetch_sizes_but_not_what_is_read() -> None:
    assert spark_options("a:1", "t", {"fetch.max.bytes": "5"})["kafka.fetch.max.bytes"] == "5"
    with pytest.raises(SettingsInvalid):
        spark_options("a:1", "t", {"isolation.level": "read_uncommitted"})
