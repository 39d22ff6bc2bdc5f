"""Kafka's own option names (`security.protocol`) read once, and handed to each client in its own words.

The settings hold the names of Kafka's Java clients, because Spark passes them on unchanged. Knows no client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sluice.errors import SettingsInvalid

ANY, PRODUCER, CONSUMER = "any", "producer", "consumer"
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_JAAS = re.compile(r'(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')


def _text(value: str) -> str:
    return value


def _number(value: str) -> int:
    return int(value)


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("neither true nor false")
    return value.lower() == "true"


def _protocol(value: str) -> str:
    # A client of kafka-python takes any other word for PLAINTEXT.
    if value not in _PROTOCOLS:
        raise ValueError(f"not one of {', '.join(_PROTOCOLS)}")
    return value


def _acks(value: str) -> int | str:
    return "all" if value in ("all", "-1") else int(value)


def _hostname_check(value: str) -> bool:
    if value.lower() not in ("", "https"):
        raise ValueError("neither https nor empty")
    return bool(value)


def _pem(value: str) -> str:
    if value.upper() != "PEM":
        raise ValueError("only PEM can be read by every client here")
    return value


# Kafka's name -> (who takes it, kafka-python's name, how its text is read). An empty name: Spark only.
_KNOWN: dict[str, tuple[str, str, Callable[[str], object]]] = {
    "security.protocol": (ANY, "security_protocol", _protocol),
    "sasl.mechanism": (ANY, "sasl_mechanism", _text),
    "sasl.jaas.config": (ANY, "", _text),
    "sasl.kerberos.service.name": (ANY, "sasl_kerberos_service_name", _text),
    "ssl.truststore.location": (ANY, "ssl_cafile", _text),
    "ssl.truststore.type": (ANY, "", _pem),
    "ssl.keystore.location": (ANY, "ssl_certfile", _text),
    "ssl.keystore.type": (ANY, "", _pem),
    "ssl.key.password": (ANY, "ssl_password", _text),
    "ssl.endpoint.identification.algorithm": (ANY, "ssl_check_hostname", _hostname_check),
    "client.id": (ANY, "client_id", _text),
    "client.dns.lookup": (ANY, "client_dns_lookup", _text),
    "connections.max.idle.ms": (ANY, "connections_max_idle_ms", _number),
    "metadata.max.age.ms": (ANY, "metadata_max_age_ms", _number),
    "reconnect.backoff.ms": (ANY, "reconnect_backoff_ms", _number),
    "reconnect.backoff.max.ms": (ANY, "reconnect_backoff_max_ms", _number),
    "request.timeout.ms": (ANY, "request_timeout_ms", _number),
    "retry.backoff.ms": (ANY, "retry_backoff_ms", _number),
    "receive.buffer.bytes": (ANY, "receive_buffer_bytes", _number),
    "send.buffer.bytes": (ANY, "send_buffer_bytes", _number),
    "acks": (PRODUCER, "acks", _acks),
    "compression.type": (PRODUCER, "compression_type", _text),
    "delivery.timeout.ms": (PRODUCER, "delivery_timeout_ms", _number),
    "enable.idempotence": (PRODUCER, "enable_idempotence", _flag),
    "linger.ms": (PRODUCER, "linger_ms", _number),
    "max.request.size": (PRODUCER, "max_request_size", _number),
    "fetch.max.bytes": (CONSUMER, "fetch_max_bytes", _number),
    "fetch.max.wait.ms": (CONSUMER, "fetch_max_wait_ms", _number),
    "fetch.min.bytes": (CONSUMER, "fetch_min_bytes", _number),
    "max.partition.fetch.bytes": (CONSUMER, "max_partition_fetch_bytes", _number),
}


def python_options(options: Mapping[str, str], role: str = ANY) -> dict[str, object]:
    """The options as kafka-python names and types them.

    Args:
        options: Kafka's dotted names to texts, as in `kafka.options`.
        role: "producer" or "consumer" adds the options only such a client takes; else those every client takes.

    Raises:
        SettingsInvalid: an option is unknown or its value wrong; names it, and no value that may be secret.
    """
    named: dict[str, object] = {}
    for option, value in _checked(options).items():
        who, name, _ = _KNOWN[option]
        if name and who in (ANY, role):
            named[name] = value
    if "sasl.jaas.config" in options:
        named.update(_login(options["sasl.jaas.config"]))
    if "ssl_certfile" in named:
        named["ssl_keyfile"] = named["ssl_certfile"]
    return named


def java_options(options: Mapping[str, str], role: str = CONSUMER) -> dict[str, str]:
    """The options Spark's consumers (or producers) take, as `kafka.<name>`; checked like python_options."""
    _checked(options)
    return {f"kafka.{option}": value for option, value in options.items() if _KNOWN[option][0] in (ANY, role)}


def _checked(options: Mapping[str, str]) -> dict[str, object]:
    read: dict[str, object] = {}
    for option, text in options.items():
        if option not in _KNOWN:
            plain = option.removeprefix("kafka.")
            hint = f"write {plain}" if plain in _KNOWN else f"known options: {', '.join(sorted(_KNOWN))}"
            raise SettingsInvalid(f"kafka.options: unknown option {option!r}", hint)
        try:
            read[option] = _KNOWN[option][2](text)
        except ValueError as error:
            why = str(error) if "literal" not in str(error) else "not a whole number"
            raise SettingsInvalid(f"kafka.options: {option} has a wrong value: {why}", "mend kafka.options") from None
    return read


def _login(jaas: str) -> dict[str, object]:
    found = {key: re.sub(r"\\(.)", r"\1", value) for key, value in _JAAS.findall(jaas)}
    if set(found) != {"username", "password"}:
        raise SettingsInvalid(
            "kafka.options: sasl.jaas.config names no username and password",
            'write … LoginModule required username="…" password="…";',
        )
    return {"sasl_plain_username": found["username"], "sasl_plain_password": found["password"]}
