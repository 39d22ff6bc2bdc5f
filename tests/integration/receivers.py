"""Receivers of alerts on loopback: HTTP and HTTPS servers that answer as they are told, a mail server, certificates."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Answer:
    """What a server does with a request.

    Attributes:
        hang: until the server is closed.
        drip: the header one byte at a time, a tenth of a second each.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hang: bool = False
    drip: bool = False


@dataclass(frozen=True)
class Received:
    """A request as it came; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class HttpReceiver:
    """A server.

    Attributes:
        answers: for the next requests; after them 200.
    """

    port: int
    answers: list[Answer] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def http_receiver(context: ssl.SSLContext | None = None) -> Iterator[HttpReceiver]:
    """A server on 127.0.0.1, with TLS where there is a context."""
    receiver = HttpReceiver(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            answer = receiver.answers.pop(0) if receiver.answers else Answer()
            if answer.hang:
                receiver.closing.wait(60)
                return
            if answer.drip:
                self._drip()
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def _drip(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not receiver.closing.wait(0.1):
                self.wfile.write(b"x")
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Certificate:
    """A certificate that signs itself, and its key, as files in PEM."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificate(folder: Path, name: str = "hooks.example.com") -> Certificate:
    """A certificate for a name and for 127.0.0.1, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    certificate.certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    certificate.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class MailReceiver:
    """A mail server.

    Attributes:
        refuses: what it answers to the text of the next mails, in place of taking them.
    """

    port: int
    mails: list[Envelope] = field(default_factory=list)
    refuses: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        """Takes a mail, as aiosmtpd hands it over."""
        if self.refuses:
            return self.refuses.pop(0)
        self.mails.append(envelope)
        return "250 OK"


@contextmanager
def mail_receiver(certificate: Certificate, login: tuple[str, str], *, starttls: bool) -> Iterator[MailReceiver]:
    """A server on 127.0.0.1 that wants TLS and a login."""
    receiver = MailReceiver(free_port())

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == tuple(map(str.encode, login))
        return AuthResult(success=good, handled=good)

    options = {"authenticator": authenticate, "auth_required": True}
    if starttls:
        controller = Controller(
            receiver,
            "127.0.0.1",
            receiver.port,
            tls_context=certificate.context(),
            require_starttls=True,
            auth_require_tls=True,
            **options,
        )
    else:
        controller = Controller(
            receiver, "127.0.0.1", receiver.port, ssl_context=certificate.context(), auth_require_tls=False, **options
        )
    controller.start()
    try:
        yield receiver
    finally:
        controller.stop()
