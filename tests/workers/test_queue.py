"""A real worker that takes requests from a gateway's queue."""

from __future__ import annotations

import contextlib
import socket

from tests.workers.conftest import Serve
from tests.workers.gateway import Gateway, variables
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire import uwsgi

PATH = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    size = int(environ["QUERY_STRING"] or 0)
    if environ["PATH_INFO"] == "/stream":
        return iter([b"a", b"b"])
    if environ["PATH_INFO"] == "/crash":
        raise RuntimeError("crash")
    return [environ["PATH_INFO"].encode() + b"x" * size]
"""


def put(inlet: socket.socket, number: int, path: str) -> None:
    packet = uwsgi.encode(variables(path=path), 0, wire.MAY_TAKE)
    inlet.send(wire.NUMBER.pack(number) + packet)


def left(inlet: socket.socket, outlet: socket.socket) -> int:
    """How many messages nobody has taken."""
    outlet.setblocking(False)
    count = 0
    while True:
        try:
            outlet.recv(65536)
        except BlockingIOError:
            return count
        count += 1


def test_requests_are_taken_one_behind_the_other_and_announced_with_the_answer(
    serve: Serve,
) -> None:
    with Gateway(serve(PATH).connect("lease")) as gateway, gateway.attach() as inlet:
        put(inlet, 7, "/seven")
        put(inlet, 8, "/eight")
        gateway.send(*variables(path="/first"), flags=wire.MAY_TAKE)
        answers = []
        for number in (7, 8):
            answers.append(gateway.read_answer())
            assert answers[-1].flags & wire.QUEUE
            assert gateway.read_number() == number
        answers.append(gateway.read_answer())
        assert not answers[-1].flags & wire.QUEUE
        assert [one.body for one in answers] == [b"/first", b"/seven", b"/eight"]
        assert gateway.get("/more").body == b"/more"


def test_a_small_body_comes_with_its_request_and_need_not_be_read(serve: Serve) -> None:
    instance = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/read":
                return [environ["wsgi.input"].read()]
            return [b"unread"]
        """
    )
    with Gateway(instance.connect("lease")) as gateway, gateway.attach() as inlet:
        for number, path in enumerate(("/unread", "/read")):
            pairs = variables("POST", path, CONTENT_LENGTH="4")
            message = uwsgi.encode(pairs, 0, wire.MAY_TAKE) + b"body"
            inlet.send(wire.NUMBER.pack(number) + message)
        gateway.send(*variables(path="/first"), flags=wire.MAY_TAKE)
        bodies = []
        for number in range(2):
            bodies.append(gateway.read_answer().body)
            assert gateway.read_number() == number
        bodies.append(gateway.read_answer().body)
        assert bodies == [b"unread", b"unread", b"body"]


def test_nothing_is_taken_unless_the_request_allows_it(serve: Serve) -> None:
    with Gateway(serve(PATH).connect("lease")) as gateway, gateway.attach() as inlet:
        put(inlet, 1, "/queued")
        answer = gateway.get("/first")
        assert answer.body == b"/first"
        assert not answer.flags & wire.QUEUE


def test_nothing_is_taken_behind_a_stream_or_a_large_answer(serve: Serve) -> None:
    with Gateway(serve(PATH).connect("lease")) as gateway, gateway.attach() as inlet:
        put(inlet, 1, "/queued")
        for path in ("/stream", f"/large?{wire.MAX_WHOLE}"):
            gateway.send(*variables(path=path), flags=wire.MAY_TAKE)
            assert not gateway.read_answer().flags & wire.QUEUE
        gateway.send(*variables(path="/small"), flags=wire.MAY_TAKE)
        assert gateway.read_answer().flags & wire.QUEUE
        assert gateway.read_number() == 1
        assert gateway.read_answer().body == b"/queued"


def test_an_application_that_fails_does_not_keep_the_next_request_from_its_turn(
    serve: Serve,
) -> None:
    with Gateway(serve(PATH).connect("lease")) as gateway, gateway.attach() as inlet:
        put(inlet, 1, "/next")
        gateway.send(*variables(path="/crash"), flags=wire.MAY_TAKE)
        assert gateway.read_answer().status.startswith(b"500")
        assert gateway.read_number() == 1
        assert gateway.read_answer().body == b"/next"


def test_a_worker_that_is_told_to_end_takes_nothing_more(serve: Serve) -> None:
    instance = serve(
        """
        import signal, os
        def application(environ, start_response):
            os.kill(os.getpid(), signal.SIGHUP)
            start_response("200 OK", [])
            return [b"last"]
        """
    )
    inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Gateway(instance.connect("lease")) as gateway, inlet, outlet:
        socket.send_fds(gateway.sock, [uwsgi.HEADER.pack(wire.ATTACH, 0, 0)], [outlet.fileno()])
        put(inlet, 1, "/next")
        gateway.send(*variables(path="/"), flags=wire.MAY_TAKE)
        answer = gateway.read_answer()
        assert answer.body == b"last"
        assert answer.flags & wire.GOODBYE
        assert not answer.flags & wire.QUEUE
        assert left(inlet, outlet) == 1


def test_the_queue_does_not_keep_a_worker_from_its_other_sockets(serve: Serve) -> None:
    instance = serve(PATH)
    with Gateway(instance.connect("lease")) as gateway, gateway.attach() as inlet:
        put(inlet, 0, "/0")
        gateway.send(*variables(path="/first"), flags=wire.MAY_TAKE)
        with Gateway(instance.connect("lease"), greeted=True) as other:
            number = 0
            while not (frame := gateway.read_frame())[0] & wire.GOODBYE:
                if frame[0] & wire.QUEUE:
                    number = gateway.read_number() + 1
                    with contextlib.suppress(OSError):  # it has left meanwhile, and says so next
                        put(inlet, number, f"/{number}")
                elif frame[0] & wire.LAST:
                    with contextlib.suppress(OSError):
                        gateway.send(*variables(path="/again"), flags=wire.MAY_TAKE)
            assert other.read_frame()[0] & wire.HELLO
            assert number  # it has taken some before
