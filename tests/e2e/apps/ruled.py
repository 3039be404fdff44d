"""An application for rules that call functions, name files, and go wrong."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import uwsgi

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = os.environ.get("RULED_FOLDER", "/nonexistent")


def hello(*names: bytes) -> bytes:
    return b"hello " + b" and ".join(names)


def backend_of(host: bytes) -> bytes:
    return os.environ["RULED_BACKEND"].encode()


def hang() -> bytes:
    uwsgi.log(f"hanging in {os.getpid()}")
    time.sleep(600)
    return b""


for function in (hello, backend_of, hang):
    uwsgi.register_rpc(function.__name__, function)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/sendfile":
        start_response("200 OK", [("X-Sendfile", f"{FOLDER}/large")])
        return []
    if path == "/accel":
        start_response("200 OK", [("X-Accel-Redirect", "/internal/large")])
        return []
    if path == "/socket":
        uwsgi.websocket_handshake()
        while True:
            uwsgi.websocket_send(uwsgi.websocket_recv())
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", ""))])
        return [body]
    if path == "/stream":
        start_response("200 OK", [])
        return (b"%d\n" % number for number in range(1000))
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [path.encode("latin-1")]
