"""A handshake between a ring's context and Python's own ssl module, over a socket pair."""

from __future__ import annotations

import contextlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from OpenSSL import SSL

from tests.certificates import Certificate

SECONDS = 60


@dataclass(frozen=True)
class Outcome:
    """What a client saw of its connection; ``server_error`` is what the server raised."""

    version: str | None
    cipher: str
    certificate: bytes
    protocol: str | None
    resumed: bool
    session: ssl.SSLSession | None
    answer: bytes
    server_error: Exception | None
    client_name: str | None


def client_context(
    *,
    trusted: bytes | None = None,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    protocols: list[str] | None = None,
    ciphers: str | None = None,
    certificate: tuple[str, str] | None = None,
) -> ssl.SSLContext:
    """A client; without ``trusted`` it takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = maximum
    if trusted is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=trusted.decode())
    if protocols:
        context.set_alpn_protocols(protocols)
    if ciphers:
        context.set_ciphers(ciphers)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def talk(
    server: SSL.Context,
    name: str | None,
    client: ssl.SSLContext | None = None,
    *,
    session: ssl.SSLSession | None = None,
) -> Outcome:
    """Connect, send a line, get it back.

    Raises:
        ssl.SSLError: the client was refused, or refused.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as threads:
        ours.settimeout(None)
        theirs.settimeout(SECONDS)
        serving = threads.submit(_serve, server, ours)
        context = client or client_context()
        try:
            with context.wrap_socket(
                theirs, server_hostname=name, session=session, suppress_ragged_eofs=True
            ) as sock:
                certificate = sock.getpeercert(binary_form=True) or b""
                answer = _ask(sock)
                cipher = sock.cipher()
                assert cipher is not None
                seen = (
                    sock.version(),
                    cipher[0],
                    certificate,
                    sock.selected_alpn_protocol(),
                    bool(sock.session_reused),
                    sock.session,
                    answer,
                )
        finally:
            theirs.close()
        error, client_name = serving.result(SECONDS)
        return Outcome(*seen, error, client_name)


def _ask(sock: ssl.SSLSocket) -> bytes:
    """Empty: the server closed the connection behind the handshake."""
    try:
        sock.sendall(b"hello\n")
        return sock.recv(100)
    except (ssl.SSLEOFError, ConnectionError):
        return b""


def _serve(context: SSL.Context, sock: socket.socket) -> tuple[Exception | None, str | None]:
    connection = SSL.Connection(context, sock)
    connection.set_accept_state()
    try:
        connection.do_handshake()
        peer = connection.get_peer_certificate(as_cryptography=True)
        connection.sendall(connection.recv(100))
    except SSL.Error as error:
        return error, None
    finally:
        # Read to the end: else the client's send may fail before it has seen our alert.
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    return None, peer.subject.rfc4514_string() if peer else None


def serves(outcome: Outcome, certificate: Certificate) -> bool:
    """Whether the client was shown this certificate."""
    return outcome.certificate == certificate.der


def handshake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Carry the bytes of a handshake from side to side, in memory."""
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            _advance(one)
            _carry(one, other)


def _advance(connection: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()


def _carry(one: SSL.Connection, other: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        other.bio_write(one.bio_read(65536))
