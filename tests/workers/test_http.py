"""http-socket and http11-socket against a real worker."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.workers.conftest import PATIENCE, Serve
from tests.workers.gateway import HELLO_WORLD, Answer, parse_http, read_http
from uwgate.workers.turns import TURN

ECHO = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def ask(
    serve: Serve, role: str, request: bytes, app: str = HELLO_WORLD, **options: object
) -> bytes:
    with serve(app, **options).connect(role) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_http_socket_serves_one_request_and_closes(serve: Serve) -> None:
    answer = parse_http(ask(serve, "http-socket", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert answer.status == b"HTTP/1.1 200 OK"
    assert answer.headers[b"connection"] == b"close"
    assert b"date" in answer.headers
    assert answer.body == b"hello"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 20000, b"414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
    ],
)
def test_a_bad_head_gets_an_error_page(serve: Serve, request_: bytes, status: bytes) -> None:
    assert ask(serve, "http11-socket", request_).split(b" ")[1] == status


def test_a_stalled_head_gets_408(serve: Serve) -> None:
    assert b" 408 " in ask(serve, "http-socket", b"GET / HT", socket_timeout=3)


def test_a_silent_client_is_dropped_without_an_answer(serve: Serve) -> None:
    assert ask(serve, "http-socket", b"", socket_timeout=0.2) == b""


def test_http11_keeps_the_connection_and_pipelines(serve: Serve) -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n%b\r\n"
    first, last = request % b"", request % b"Connection: close\r\n"
    data = ask(serve, "http11-socket", first + b"ab" + last + b"cd", ECHO)
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.endswith(b"cd")


def test_http11_gives_way_to_a_new_connection(serve: Serve) -> None:
    instance = serve(HELLO_WORLD)
    with instance.connect("http11-socket") as first, instance.connect("http-socket") as second:
        first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        second.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_http(second).body == b"hello"
        assert read_http(first).body == b"hello"


TELLS_WHO_IT_IS = """
import contextlib
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"%10d" % os.getpid()]
"""


def read_kept(sock: socket.socket, size: int) -> Answer:
    """A response with a body of ``size`` bytes on a connection that goes on."""
    data = b""
    while len(data.partition(b"\r\n\r\n")[2]) < size:
        more = sock.recv(65536)
        assert more, data
        data += more
    return parse_http(data)


def test_http11_answers_what_has_come_before_it_gives_way(serve: Serve) -> None:
    instance = serve(TELLS_WHO_IT_IS)
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with instance.connect("http11-socket") as first:
        first.sendall(request)
        worker = int(read_kept(first, 10).body)
        with contextlib.ExitStack() as stack:
            with instance.stopped(worker):  # so that it sees both at once
                second = stack.enter_context(instance.connect("http11-socket"))
                second.sendall(request)
                first.sendall(request)
            assert int(read_kept(second, 10).body) == worker
            answer = read_http(first)
    assert int(answer.body) == worker
    assert answer.headers[b"connection"] == b"close"


def test_http11_gives_way_while_its_client_says_nothing(serve: Serve) -> None:
    instance = serve(TELLS_WHO_IT_IS)
    with instance.connect("http11-socket") as first:
        first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert int(read_kept(first, 10).body)
        with instance.connect("http11-socket") as second:
            second.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert int(read_kept(second, 10).body)
            assert first.recv(1) == b""


SLOW_TO_ANSWER = """
import os, time
def application(environ, start_response):
    open(environ["PATH_INFO"] + ".begun", "w").close()
    while not os.path.exists(environ["PATH_INFO"]):
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def test_http11_says_that_it_closes_when_another_connection_waits(
    serve: Serve, tmp_path: Path
) -> None:
    instance = serve(SLOW_TO_ANSWER)
    go = tmp_path / "go"
    request = f"GET {go} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with instance.connect("http11-socket") as first, instance.connect("http11-socket") as second:
        first.sendall(request)
        second.sendall(request)
        instance.wait_until((tmp_path / "go.begun").exists)
        time.sleep(2 * TURN)  # so that nobody's turn is it any longer
        go.touch()
        answers = [read_http(first), read_http(second)]
    # Whoever was served first had to make room, and was told so.
    assert sorted(answer.headers.get(b"connection", b"") for answer in answers) == [b"", b"close"]


def test_http11_lets_others_in_though_a_client_goes_on_and_on(serve: Serve) -> None:
    instance = serve(HELLO_WORLD)
    host, port = instance.sockets["http11-socket"].getsockname()
    left: list[int] = []
    done = threading.Event()

    def ask_again_and_again(number: int) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        with contextlib.closing(connection):
            while not done.is_set():
                try:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    answer.read()
                except (http.client.RemoteDisconnected, ConnectionError):
                    break  # too slow for its turn
                if answer.will_close:
                    break
        left.append(number)
        if len(left) == 2:  # the third one has nobody to make room for
            done.set()

    threads = [threading.Thread(target=ask_again_and_again, args=(one,)) for one in range(3)]
    for thread in threads:
        thread.start()
    assert done.wait(PATIENCE)
    for thread in threads:
        thread.join()


def test_a_chunked_body_is_decoded(serve: Serve) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    assert parse_http(ask(serve, "http-socket", request, ECHO)).body == b"abcde"


def test_limit_post_counts_a_chunked_body(serve: Serve) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"
    )
    assert b" 413 " in ask(serve, "http-socket", request, ECHO, limit_post=4)


def test_an_answer_of_unknown_length_is_chunked(serve: Serve) -> None:
    app = """
    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"ab"
        yield b""
        yield b"c"
    """
    with serve(app).connect("http11-socket") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = read_kept(sock, 18)
    assert answer.headers[b"transfer-encoding"] == b"chunked"
    assert answer.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


def test_100_continue_comes_when_the_application_reads(serve: Serve) -> None:
    with serve(ECHO).connect("http-socket") as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert read_http(sock).body == b"ok"


def test_an_unread_body_does_not_cost_the_client_its_answer(serve: Serve) -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000
    assert parse_http(ask(serve, "http-socket", request)).body == b"hello"


def test_a_slow_body_is_an_error_of_the_application(serve: Serve) -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"
    assert b" 408 " in ask(serve, "http-socket", request, ECHO, socket_timeout=3)
