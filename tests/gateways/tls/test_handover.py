"""gateways/tls/handover.py and inquiry.py: questions, answers and their attachments."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificate
from uwgate.conf import control
from uwgate.gateways.tls import handover, inquiry
from uwgate.gateways.tls.inquiry import Inquiry

from .conftest import material

Sockets = tuple[socket.socket, socket.socket]


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def receive(sock: socket.socket) -> tuple[dict[str, object], bytes | None]:
    packet, ancillary, _, _ = sock.recvmsg(control.MAX_MESSAGE, handover.DESCRIPTORS)
    return handover.open_message(packet, ancillary)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("attachment", [None, b"", b"x", os.urandom(300_000)])
def test_a_message_arrives_with_its_attachment(sockets: Sockets, attachment: bytes | None) -> None:
    before = open_descriptors()
    handover.send(sockets[0], control.encode("renew", name="a"), attachment)
    assert receive(sockets[1]) == ({"type": "renew", "name": "a"}, attachment)
    assert open_descriptors() == before


def test_an_attachment_that_is_too_large_is_refused(sockets: Sockets) -> None:
    handover.send(sockets[0], control.encode("renew"), bytes(handover.MAX_ATTACHMENT + 1))
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        receive(sockets[1])


def test_a_full_socket_leaks_no_descriptor(sockets: Sockets) -> None:
    sockets[0].setblocking(False)
    before = open_descriptors()
    with contextlib.suppress(BlockingIOError):
        while True:
            handover.send(sockets[0], control.encode("renew"), b"x")
    # Those that are on their way are nobody's descriptors.
    assert open_descriptors() == before


def answer(sock: socket.socket, *attachments: bytes | None, shift: int = 0) -> threading.Thread:
    """Answer one question after the other in a thread; ``shift`` changes the number."""

    def serve() -> None:
        for attachment in attachments:
            question = control.decode(sock.recv(control.MAX_MESSAGE))
            number = question["number"] + shift
            handover.send(sock, control.encode("material", number=number), attachment)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_what_the_keeper_has_is_fetched(sockets: Sockets, default: Certificate) -> None:
    found = material(default)
    thread = answer(sockets[1], found.to_bytes(), None)
    ask = Inquiry(sockets[0])
    assert ask.fetch("a.example") == found
    assert ask.fetch("b.example") is None
    thread.join()


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(
    sockets: Sockets, default: Certificate
) -> None:
    late = control.encode("material", number=0)
    handover.send(sockets[1], late, material(default).to_bytes())
    thread = answer(sockets[1], None)
    assert Inquiry(sockets[0]).fetch("a.example") is None
    thread.join()


def test_a_dead_keeper_has_nothing(sockets: Sockets) -> None:
    ask = Inquiry(sockets[0])
    sockets[1].close()
    assert ask.fetch("a.example") is None


def test_a_silent_keeper_is_waited_for_once(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inquiry, "PATIENCE", 0.05)
    ask = Inquiry(sockets[0])
    assert ask.fetch("a.example") is None
    assert ask.fetch("b.example") is None
    assert len(caplog.records) == 1
    assert control.decode(sockets[1].recv(100))["name"] == "a.example"
    sockets[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        sockets[1].recv(100)


@pytest.mark.parametrize("noise", [b"no material", b"{}", b'{"pairs": 1}'])
def test_noise_is_nothing(sockets: Sockets, noise: bytes, caplog: pytest.LogCaptureFixture) -> None:
    thread = answer(sockets[1], noise)
    assert Inquiry(sockets[0]).fetch("a.example") is None
    assert "no certificates" in caplog.text
    thread.join()
