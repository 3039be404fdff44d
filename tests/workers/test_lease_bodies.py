"""Request bodies on leases: framing, acknowledgement, 100 Continue, unread rests."""

from __future__ import annotations

from tests.workers.conftest import Serve
from tests.workers.gateway import HELLO_WORLD, Gateway, variables
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire import uwsgi

ECHO = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [body]
"""


def chunks(*parts: bytes) -> bytes:
    return b"".join(wire.CHUNK.pack(len(part)) + part for part in (*parts, b""))


def test_a_framed_body_is_read_to_its_end(serve: Serve) -> None:
    with Gateway(serve(ECHO).connect("lease")) as gateway:
        gateway.send(*variables("POST"), body=chunks(b"ab", b"c" * 70000), flags=wire.BODY_FRAMED)
        answer = gateway.read_answer()
        assert answer.body == b"ab" + b"c" * 70000
        assert answer.headers[b"x-length"] == b"none"
        assert gateway.get().body == b""


def test_post_buffering_gives_a_framed_body_its_length(serve: Serve) -> None:
    with Gateway(serve(ECHO, post_buffering=1).connect("lease")) as gateway:
        gateway.send(*variables("POST"), body=chunks(b"ab", b"c"), flags=wire.BODY_FRAMED)
        assert gateway.read_answer().headers[b"x-length"] == b"3"


def test_taken_is_sent_when_the_rest_is_needed(serve: Serve) -> None:
    with Gateway(serve(ECHO).connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="4"), body=b"ab", flags=wire.ACKNOWLEDGE)
        assert gateway.read_frame()[0] == wire.TAKEN
        gateway.sock.sendall(b"cd")
        assert gateway.read_answer().body == b"abcd"


def test_continue_is_sent_when_the_application_reads(serve: Serve) -> None:
    with Gateway(serve(ECHO).connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="2"), flags=wire.EXPECT)
        assert gateway.read_frame()[0] == wire.CONTINUE
        gateway.sock.sendall(b"ok")
        assert gateway.read_answer().body == b"ok"


def test_a_body_that_was_never_asked_for_leaves_the_lease_usable(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="2000000"), flags=wire.EXPECT)
        assert not gateway.read_answer().flags & wire.GOODBYE
        assert gateway.get().body == b"hello"


def test_a_small_unread_body_is_taken_off_the_lease(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        assert gateway.post(b"x" * 100_000).body == b"hello"
        assert gateway.post(b"x" * 10).body == b"hello"


def test_a_large_unread_body_ends_the_lease_behind_the_answer(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="1000000"), body=b"x" * 1000)
        answer = gateway.read_answer()
    assert answer.body == b"hello"
    assert answer.flags & wire.GOODBYE


def test_limit_post_counts_a_framed_body(serve: Serve) -> None:
    with Gateway(serve(ECHO, limit_post=4).connect("lease")) as gateway:
        gateway.send(*variables("POST"), body=chunks(b"abc", b"de"), flags=wire.BODY_FRAMED)
        assert gateway.read_answer().status == b"413 Content Too Large"


def test_a_gateway_that_breaks_off_is_an_error_of_the_read(serve: Serve) -> None:
    instance = serve(ECHO)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="4"), body=b"ab")
    instance.wait_log("error during read on wsgi.input")
    with Gateway(instance.connect("lease")) as gateway:
        assert gateway.post(b"whole").body == b"whole"


def test_a_packet_that_comes_byte_by_byte_is_understood(serve: Serve) -> None:
    with Gateway(serve(ECHO).connect("lease")) as gateway:
        for byte in uwsgi.encode(variables("POST", CONTENT_LENGTH="1")) + b"z":
            gateway.sock.send(bytes((byte,)))
        assert gateway.read_answer().body == b"z"
