"""One application, checked by wsgiref.validate, on every socket and in every kind of worker."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.workers.conftest import Instance, Serve
from tests.workers.gateway import HELLO_WORLD, Answer, Gateway, read_http, variables
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire import uwsgi

APPLICATION = """
from wsgiref.validate import validator

@validator
def application(environ, start_response):
    body = environ["wsgi.input"].read(100)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
    return [environ["REQUEST_METHOD"].encode() + b" " + body]
"""
MODES: dict[str, dict[str, Any]] = {
    "preload": {},
    "lazy": {"lazy_apps": True},
    "threads": {"threads": 4},
    "lazy-threads": {"threads": 4, "lazy_apps": True},
    "processes": {"processes": 2},
    "post-buffering": {"post_buffering": 2},
}
ROLES = ("lease", "uwsgi", "http-socket", "http11-socket")


def exchange(instance: Instance, role: str, method: str, body: bytes) -> Answer:
    length = {"CONTENT_LENGTH": str(len(body))} if body else {}
    with instance.connect(role) as sock:
        if role == "lease":
            gateway = Gateway(sock)
            gateway.send(*variables(method, "/x", **length), body=body)
            return gateway.read_answer()
        if role == "uwsgi":
            sock.sendall(uwsgi.encode(variables(method, "/x", **length)) + body)
        else:
            head = f"{method} /x HTTP/1.1\r\nHost: box\r\nConnection: close\r\n"
            if body:
                head += f"Content-Length: {len(body)}\r\n"
            sock.sendall(head.encode() + b"\r\n" + body)
        return read_http(sock)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mode", MODES)
def test_a_valid_application_is_served(shared: Serve, role: str, mode: str) -> None:
    instance = shared(APPLICATION, **MODES[mode])
    answer = exchange(instance, role, "POST", b"some body")
    assert answer.status.removeprefix(b"HTTP/1.1 ") == b"200 OK"
    assert answer.headers[b"x-path"] == b"/x"
    assert answer.body == b"POST some body"
    assert "Traceback" not in instance.read_log()


@pytest.mark.parametrize("role", ROLES)
def test_a_request_without_a_body_is_served(shared: Serve, role: str) -> None:
    assert exchange(shared(APPLICATION), role, "GET", b"").body == b"GET "


@pytest.mark.parametrize("role", ROLES)
def test_head_gets_the_length_and_no_body(shared: Serve, role: str) -> None:
    answer = exchange(shared(HELLO_WORLD), role, "HEAD", b"")
    assert answer.headers[b"content-length"] == b"5"
    assert answer.body == b""


@pytest.mark.parametrize("role", ROLES)
def test_an_exception_before_the_head_is_a_500_and_one_traceback(shared: Serve, role: str) -> None:
    instance = shared("def application(environ, start_response): raise KeyError('lost')")
    before = instance.read_log().count("KeyError: 'lost'")
    answer = exchange(instance, role, "GET", b"")
    assert answer.status.removeprefix(b"HTTP/1.1 ") == b"500 Internal Server Error"
    assert instance.read_log().count("KeyError: 'lost'") == before + 1


@pytest.mark.parametrize("role", ROLES)
def test_sys_exit_ends_the_request_and_not_the_worker(shared: Serve, role: str) -> None:
    instance = shared("import sys\ndef application(environ, start_response): sys.exit(3)")
    assert exchange(instance, role, "GET", b"").status.endswith(b"500 Internal Server Error")
    assert exchange(instance, role, "GET", b"").status.endswith(b"500 Internal Server Error")
    assert len(instance.worker_pids()) == 1


@pytest.mark.parametrize("role", ROLES)
def test_limit_post_refuses_a_large_body(shared: Serve, role: str) -> None:
    answer = exchange(shared(APPLICATION, limit_post=8), role, "POST", b"nine byte")
    assert answer.status.endswith(b"413 Content Too Large")


@pytest.mark.parametrize("role", ROLES)
def test_a_file_is_sent_from_its_position(shared: Serve, role: str) -> None:
    instance = shared(
        """
        def application(environ, start_response):
            file = open("data", "rb")
            file.seek(10)
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](file)
        """
    )
    (instance.folder / "data").write_bytes(b"0123456789" + b"x" * 1_000_000)
    answer = exchange(instance, role, "GET", b"")
    assert answer.headers[b"content-length"] == b"1000000"
    assert answer.body == b"x" * 1_000_000


@pytest.mark.parametrize("role", ROLES)
def test_a_body_far_longer_than_a_frame_arrives_whole(shared: Serve, role: str) -> None:
    instance = shared(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"0123456789" * 500_000]
        """
    )
    assert exchange(instance, role, "GET", b"").body == b"0123456789" * 500_000


@pytest.mark.parametrize("role", ROLES)
def test_a_large_upload_is_streamed(shared: Serve, role: str) -> None:
    instance = shared(
        """
        import hashlib
        def application(environ, start_response):
            digest = hashlib.sha256()
            for line in environ["wsgi.input"]:
                digest.update(line)
            start_response("200 OK", [])
            return [digest.hexdigest().encode()]
        """
    )
    body = b"a line of text\n" * 700_000
    answer = exchange(instance, role, "POST", body)
    assert answer.body.decode() == hashlib.sha256(body).hexdigest()


def test_too_short_a_body_is_an_abort(serve: Serve) -> None:
    instance = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "10")])
            return [b"short"]
        """
    )
    with Gateway(instance.connect("lease")) as gateway:
        answer = gateway.get()
    assert answer.flags & wire.ABORTED
    assert answer.body == b"short"


def test_a_generator_is_closed_when_the_client_goes(serve: Serve) -> None:
    instance = serve(
        """
        import sys
        def application(environ, start_response):
            start_response("200 OK", [])
            try:
                while True:
                    yield b"x" * 65536
            finally:
                print("generator closed", file=sys.stderr, flush=True)
        """
    )
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables())
        gateway.read_frame()
    instance.wait_log("generator closed")
    assert "Traceback" not in instance.read_log()


def test_a_str_as_body_is_a_500_that_says_so(serve: Serve) -> None:
    instance = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return ["text"]
        """
    )
    assert exchange(instance, "lease", "GET", b"").status == b"500 Internal Server Error"
    assert "returned str as body, not bytes" in instance.read_log()
