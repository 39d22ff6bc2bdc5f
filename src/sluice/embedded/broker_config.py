"""What the embedded broker is configured with: ports on loopback, server.properties, log4j2.properties."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from sluice.errors import BrokerFailed
from sluice.sections import BrokerSettings

HOST = "127.0.0.1"
_MEBIBYTE = 1024 * 1024

_SERVER = r"""# Written by `sluice up` at each start; edit the section `broker` of the settings instead.
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={log_dirs}

# Only `sluice up` creates topics: a mistyped name is an error, not a new topic.
auto.create.topics.enable=false
num.partitions={partitions}
message.max.bytes={max_message_bytes}
replica.fetch.max.bytes={max_message_bytes}
socket.request.max.bytes={request_bytes}

# Kept for ever: events leave Kafka only when somebody deletes them.
log.retention.ms=-1
log.retention.bytes=-1

# One broker holds every copy of the internal topics.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0

# Sized for a laptop.
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""

_LOGGING = r"""status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log_dir}/server.log
appender.file.filePattern={log_dir}/server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3

# Errors only: what `sluice up` quotes when the broker does not start.
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{{ISO8601}} %p %m (%c)%n
appender.console.filter.threshold.type=ThresholdFilter
appender.console.filter.threshold.level=error

rootLogger.level=info
rootLogger.appenderRef.file.ref=file
rootLogger.appenderRef.console.ref=console
"""


@dataclass(frozen=True)
class Ports:
    """Where the broker listens: for clients, and for itself as controller."""

    clients: int
    controller: int

    @property
    def bootstrap_servers(self) -> str:
        """What clients are given."""
        return f"{HOST}:{self.clients}"


def choose_ports(settings: BrokerSettings, last_time: Ports | None) -> Ports:
    """Free ports: the one set, else those of last time, else any.

    Raises:
        BrokerFailed: broker.port is set and cannot be used.
    """
    if settings.port:
        _require_free(settings.port)
    before = last_time or Ports(0, 0)
    wanted = settings.port or before.clients
    # Both are held open until both are known: the second may not become the first.
    with _bound(wanted) as clients, _bound(before.controller) as controller:
        return Ports(clients.getsockname()[1], controller.getsockname()[1])


def port_unusable(port: int, why: str) -> BrokerFailed:
    """The error for a port that is set but cannot be listened on."""
    return BrokerFailed(f"port {port} on {HOST} is {why}", "set broker.port to a free port, or to 0 for any")


def server_properties(settings: BrokerSettings, ports: Ports) -> str:
    """The text of server.properties."""
    return _SERVER.format(
        host=HOST,
        port=ports.clients,
        controller_port=ports.controller,
        log_dirs=_escape(str(settings.data_path / "data")),
        partitions=settings.partitions,
        max_message_bytes=settings.max_message_bytes,
        request_bytes=max(100 * _MEBIBYTE, settings.max_message_bytes + _MEBIBYTE),
    )


def logging_properties(settings: BrokerSettings) -> str:
    """The text of log4j2.properties."""
    return _LOGGING.format(log_dir=_escape(str(settings.data_path / "logs")).replace("$", "$$"))


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\")


def _require_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind((HOST, port))
        except PermissionError:
            raise port_unusable(port, "for the administrator only") from None
        except OSError:
            raise port_unusable(port, "in use by another program") from None


def _bound(port: int) -> socket.socket:
    """A socket bound to the port, or to any free one if it is in use."""
    wanted = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As Java does: a connection of the last broker that is still closing is no hindrance.
    wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        wanted.bind((HOST, port))
    except OSError:
        wanted.bind((HOST, 0))
    return wanted
