from __future__ import annotations

import pytest

from sluice.errors import SettingsInvalid
from sluice.sources.kafka_options import CONSUMER, PRODUCER, java_options, python_options

LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="reader" password="it\\"s; secret";'


def test_options_get_the_names_and_types_of_kafka_python() -> None:
    assert python_options(
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": LOGIN,
            "ssl.truststore.location": "ca.pem",
            "ssl.truststore.type": "PEM",
            "ssl.keystore.location": "me.pem",
            "ssl.endpoint.identification.algorithm": "",
            "request.timeout.ms": "2000",
        }
    ) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "reader",
        "sasl_plain_password": 'it"s; secret',
        "ssl_cafile": "ca.pem",
        "ssl_certfile": "me.pem",
        "ssl_keyfile": "me.pem",
        "ssl_check_hostname": False,
        "request_timeout_ms": 2000,
    }


def test_each_client_gets_only_what_it_takes() -> None:
    options = {"acks": "all", "fetch.min.bytes": "10", "client.id": "me", "enable.idempotence": "true"}
    assert python_options(options) == {"client_id": "me"}
    assert python_options(options, PRODUCER) == {"client_id": "me", "acks": "all", "enable_idempotence": True}
    assert python_options(options, CONSUMER) == {"client_id": "me", "fetch_min_bytes": 10}
    assert java_options(options) == {"kafka.client.id": "me", "kafka.fetch.min.bytes": "10"}


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(SettingsInvalid, match=r"unknown option 'securty\.protocol'"):
        python_options({"securty.protocol": "SSL"})
    with pytest.raises(SettingsInvalid) as refused:
        java_options({"kafka.security.protocol": "SSL"})
    assert refused.value.hint == "write security.protocol"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("request.timeout.ms", "soon"),
        ("enable.idempotence", "yes"),
        ("security.protocol", "TLS"),
        ("ssl.truststore.type", "JKS"),
        ("ssl.endpoint.identification.algorithm", "none"),
        ("acks", "most"),
    ],
)
def test_a_wrong_value_is_refused_and_never_taken_for_a_default(option: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"kafka.options: {option} has a wrong value"):
        python_options({option: value})


def test_no_message_holds_a_login() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        python_options({"sasl.jaas.config": 'PlainLoginModule required password="hunter2";'})
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"
