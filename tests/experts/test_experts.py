"""Credentials: what nobody is asked about, and servers that fail (real ones: tests/e2e)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from uwgate.experts import ldap, radius
from uwgate.experts.credentials import MAX_TOKEN
from uwgate.experts.experts import Experts
from uwgate.routing.results import (
    Admitted,
    Authority,
    CheckCredentials,
    Failed,
    FillPage,
)

PATIENCE = 60.0  # seconds; only a failing test waits this long
SECRET = b"between us"
Reply = Admitted | Failed | bytes | None


def basic(text: str) -> bytes:
    return base64.b64encode(text.encode())


def ask(authority: Authority, token: bytes, **parameters: str) -> Reply:
    pairs = tuple((name, value.encode()) for name, value in parameters.items())
    experts = Experts(lambda question: None, lambda line: None)
    return experts.answer(CheckCredentials(authority, token, pairs))


def ask_ldap(port: int, credentials: str = "eve:pw") -> Reply:
    return ask(
        Authority.LDAP, basic(credentials), url=f"ldap://127.0.0.1:{port}", basedn="dc=example"
    )


def ask_radius(port: int, credentials: str = "eve:pw") -> Reply:
    address = f"127.0.0.1:{port}"
    return ask(Authority.RADIUS, basic(credentials), server=address, secret=SECRET.decode())


@contextlib.contextmanager
def tcp_server(answer: bytes, *, holds: bool) -> Iterator[int]:
    """Says the same to everybody once it is spoken to; ``holds``: and never hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(answer)
                    while holds and peer.recv(65536):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


@contextlib.contextmanager
def udp_server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Answers each packet with what ``answer`` makes of it, empty: with nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = sock.recvfrom(4096)
                if not data:
                    return
                if reply := answer(data):
                    sock.sendto(reply, peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = sock.getsockname()[1]
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        thread.join(PATIENCE)


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket fails."""

    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError("a server is asked")

    monkeypatch.setattr(socket, "socket", refuse)


TOKENS = [
    b"",
    b"%%",
    basic("eve"),
    basic("eve:"),
    basic(":pw"),
    basic("eve:p\0w"),
    basic("e\0ve:pw"),
    b"A" * (MAX_TOKEN + 4),
]


@pytest.mark.usefixtures("no_servers")
@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_nobody_is_asked_about_what_cannot_be_right(token: bytes) -> None:
    pytest.importorskip("ldap3")
    pytest.importorskip("pyrad")
    assert ask(Authority.LDAP, token, url="ldap://127.0.0.1:1", basedn="dc=x") is None
    assert ask(Authority.RADIUS, token, server="127.0.0.1:1", secret="s") is None


# LDAP


@pytest.fixture
def packages() -> None:
    """They may be missing."""
    pytest.importorskip("ldap3")
    pytest.importorskip("pyrad")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are waited for as short as possible."""
    pytest.importorskip("ldap3")
    pytest.importorskip("pyrad")
    monkeypatch.setattr(ldap, "RECEIVE", 1)
    monkeypatch.setattr(radius, "TIMEOUT", 0.05)


def is_503(reply: Reply) -> bool:
    return isinstance(reply, Failed) and reply.status == 503


def test_a_directory_that_is_down_lets_nobody_in() -> None:
    pytest.importorskip("ldap3")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert is_503(ask_ldap(port))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("holds", [False, True])
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"0\x84\x7f\xff\xff\xff", b"0\x03\x02\x01\x01"],
)
def test_a_directory_that_says_nonsense_or_nothing_lets_nobody_in(
    answer: bytes, holds: bool
) -> None:
    with tcp_server(answer, holds=holds) as port:
        assert is_503(ask_ldap(port))


# RADIUS


def test_a_silent_radius_server_lets_nobody_in(impatient: None) -> None:
    asked: list[bytes] = []

    def hear(packet: bytes) -> bytes:
        asked.append(packet)
        return b""

    with udp_server(hear) as port:
        assert is_503(ask_radius(port))
    assert len(asked) == radius.TRIES
    assert len(set(asked)) == 1  # repeated, so that a server can tell (RFC 2865 section 2.5)


def reply_to(packet: bytes, code: int, secret: bytes = SECRET, *, signed: bool = True) -> bytes:
    """An answer as RFC 2865 section 3 and RFC 3579 section 3.2 want it."""
    attribute = b"\x50\x12" + bytes(16) if signed else b""
    head = struct.pack("!BBH", code, packet[1], 20 + len(attribute))
    if signed:
        signature = hmac.new(secret, head + packet[4:20] + attribute, "md5").digest()
        attribute = b"\x50\x12" + signature
    return head + hashlib.md5(head + packet[4:20] + attribute + secret).digest() + attribute


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("signed", [True, False])
def test_a_radius_server_lets_somebody_in(signed: bool) -> None:
    with udp_server(lambda packet: reply_to(packet, 2, signed=signed)) as port:
        assert ask_radius(port) == b"eve"


@pytest.mark.usefixtures("packages")
def test_a_radius_servers_answer_may_have_to_be_signed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def come(*, signed: bool) -> Reply:
        with udp_server(lambda packet: reply_to(packet, 2, signed=signed)) as port:
            return ask(
                Authority.RADIUS,
                basic("eve:pw"),
                server=f"127.0.0.1:{port}",
                secret=SECRET.decode(),
                message_authenticator="required",
            )

    assert come(signed=True) == b"eve"
    monkeypatch.setattr(radius, "TIMEOUT", 0.05)
    assert is_503(come(signed=False))


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("code", [3, 11])
def test_a_radius_server_that_does_not_say_yes_says_no(code: int) -> None:
    with udp_server(lambda packet: reply_to(packet, code)) as port:
        assert ask_radius(port) is None


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "answer",
    [
        lambda packet: reply_to(packet, 2, b"not the secret"),
        lambda packet: reply_to(packet[:1] + bytes([packet[1] ^ 1]) + packet[2:], 2),
        lambda packet: reply_to(packet, 2)[:-1],
        lambda packet: b"\x02",
        lambda packet: packet,
    ],
)
def test_whoever_does_not_know_the_secret_lets_nobody_in(answer: Callable[[bytes], bytes]) -> None:
    with udp_server(answer) as port:
        assert is_503(ask_radius(port))


@pytest.mark.usefixtures("packages")
def test_a_password_goes_to_radius_signed_and_hidden() -> None:
    asked: list[bytes] = []

    def accept(packet: bytes) -> bytes:
        asked.append(packet)
        return reply_to(packet, 2)

    with udp_server(accept) as port:
        assert ask_radius(port, "eve:a long password, more than 16") == b"eve"
    assert b"password" not in asked[0]
    assert b"\x50\x12" in asked[0]  # Message-Authenticator


# Pages


def test_a_page_that_is_not_there_has_a_status() -> None:
    experts = Experts(lambda question: None, lambda line: None)
    reply = experts.answer(FillPage(b"/nowhere/page", None, {}))
    assert reply == Failed("/nowhere/page: No such file or directory", 404)
