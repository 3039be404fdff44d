"""``uwsgi.chunked_read`` and ``chunked_read_nb``."""

from __future__ import annotations

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import Gateway, read_http, variables
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.uwsgi import encode

READ = """
import uwsgi
def application(environ, start_response):
    start_response("200 OK", [])
    pieces = []
    while piece := uwsgi.chunked_read():
        pieces.append(piece)
    assert uwsgi.chunked_read() == uwsgi.chunked_read_nb() == b""
    return [b"|".join(pieces)]
"""
PATIENT = """
import select, uwsgi
def application(environ, start_response):
    start_response("200 OK", [])
    pieces = []
    while (piece := uwsgi.chunked_read_nb()) != b"":
        if piece is None:
            select.select([uwsgi.connection_fd()], [], [], 5)
        else:
            pieces.append(piece)
    return [b"".join(pieces)]
"""


def chunk(data: bytes) -> bytes:
    return wire.CHUNK.pack(len(data)) + data


@pytest.mark.parametrize("source", [READ, PATIENT])
def test_a_body_on_a_lease_is_read_piece_by_piece(serve: Serve, source: str) -> None:
    with Gateway(serve(source).connect("lease")) as gateway:
        flags = wire.BODY_FRAMED | wire.ACKNOWLEDGE
        gateway.send(*variables("POST"), flags=flags)
        assert gateway.read_frame()[0] == wire.TAKEN
        data = chunk(b"hello") + chunk(b"world") + chunk(b"")
        for byte in data:
            gateway.sock.sendall(bytes((byte,)))
        assert gateway.read_answer().body.replace(b"|", b"") == b"helloworld"
        assert gateway.get().body == b""  # the lease stands behind the body


@pytest.mark.parametrize("role", ["http-socket", "http11-socket"])
@pytest.mark.parametrize("source", [READ, PATIENT])
def test_a_body_of_a_client_is_read_piece_by_piece(serve: Serve, role: str, source: str) -> None:
    with serve(source).connect(role) as sock:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        sock.sendall(head + b"\r\n5\r\nhello\r\n")
        sock.sendall(b"5\r\nworld\r\n0\r\n\r\n")
        assert read_http(sock).body.replace(b"|", b"") == b"helloworld"


@pytest.mark.parametrize("source", [READ, PATIENT])
def test_chunks_that_a_front_end_passes_on_are_decoded(serve: Serve, source: str) -> None:
    """As uWSGI's router sends them with http-raw-body or http-chunked-input."""
    with serve(source).connect("uwsgi") as sock:
        packet = encode(variables("POST", HTTP_TRANSFER_ENCODING="chunked"))
        sock.sendall(packet + b"5\r\nhello\r\n")
        sock.sendall(b"5\r\nworld\r\n0\r\n\r\n")
        assert read_http(sock).body.replace(b"|", b"") == b"helloworld"


def test_broken_chunks_are_an_oserror(serve: Serve) -> None:
    source = """
    import uwsgi
    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            uwsgi.chunked_read()
        except OSError as error:
            return [str(error).encode()]
    """
    with serve(source).connect("uwsgi") as sock:
        sock.sendall(encode(variables("POST", HTTP_TRANSFER_ENCODING="chunked")) + b"zz\r\n")
        assert b"malformed chunk size" in read_http(sock).body


@pytest.mark.parametrize(("argument", "option"), [("0.05", 0.0), ("", 0.05)])
def test_what_does_not_come_in_time_is_an_oserror_and_may_come_later(
    serve: Serve, argument: str, option: float
) -> None:
    source = f"""
    import uwsgi
    def application(environ, start_response):
        write = start_response("200 OK", [])
        try:
            uwsgi.chunked_read({argument})
        except OSError:
            write(b"late ")
        return [uwsgi.chunked_read(-1)]
    """
    with Gateway(serve(source, chunked_input_timeout=option).connect("lease")) as gateway:
        gateway.send(*variables("POST"), flags=wire.BODY_FRAMED, body=chunk(b"x")[:2])
        assert gateway.read_frame()[2] == b"late "
        gateway.sock.sendall(chunk(b"x")[2:] + chunk(b""))
        assert gateway.read_answer().body == b"x"


def test_no_piece_is_larger_than_the_limit(serve: Serve) -> None:
    with Gateway(serve(READ, chunked_input_limit=4).connect("lease")) as gateway:
        body = chunk(b"helloworld") + chunk(b"")
        gateway.send(*variables("POST"), flags=wire.BODY_FRAMED, body=body)
        assert gateway.read_answer().body == b"hell|owor|ld"


def test_a_body_with_a_length_is_read_too(serve: Serve) -> None:
    with Gateway(serve(READ).connect("lease")) as gateway:
        assert gateway.post(b"hello").body == b"hello"
        assert gateway.get().body == b""
