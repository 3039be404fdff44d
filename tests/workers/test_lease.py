"""Leases against a real worker."""

from __future__ import annotations

import contextlib

from tests.workers.conftest import Serve
from tests.workers.gateway import HELLO_WORLD, Gateway, variables
from uwgate.gateways.wire import lease as wire


def test_a_simple_answer_is_one_frame(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        answer = gateway.get()
    assert answer.status == b"200 OK"
    assert answer.headers == {b"content-type": b"text/plain", b"content-length": b"5"}
    assert answer.body == b"hello"
    assert answer.flags == wire.HEAD | wire.LAST | wire.LENGTH
    assert answer.frames == 1


def test_one_lease_serves_many_requests(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        assert [gateway.get().body for _ in range(3)] == [b"hello"] * 3


def test_a_kept_lease_gives_way_to_a_new_connection(serve: Serve) -> None:
    instance = serve(HELLO_WORLD)
    with (
        Gateway(instance.connect("lease")) as first,
        Gateway(instance.connect("lease")) as second,
    ):
        assert first.read_frame() == (wire.GOODBYE, b"", b"")
        assert second.get().body == b"hello"


def test_a_free_slot_takes_a_new_connection_before_one_with_an_idle_lease(serve: Serve) -> None:
    instance = serve(HELLO_WORLD, processes=2, threads=2)
    with contextlib.ExitStack() as stack:
        leases = [stack.enter_context(Gateway(instance.connect("lease"))) for _ in range(4)]
        assert [lease.get().body for lease in leases] == [b"hello"] * 4


def test_a_graceful_end_says_goodbye_with_the_last_frame(serve: Serve) -> None:
    instance = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"a"
            environ["wsgi.input"].read()
            yield b"b"
        """
    )
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="1"))
        assert gateway.read_frame() == (wire.HEAD, b"200 OK\r\n", b"a")
        instance.send("drain")
        instance.wait_log("Gracefully ending worker 1")
        gateway.sock.sendall(b"x")
        answer = gateway.read_answer()
        assert answer.body == b"b"
        assert answer.flags & wire.GOODBYE
    assert instance.wait_exit() == 0
