"""WebSockets as applications of uWSGI are written; unchanged under either server."""

import os
import threading
import time

import uwsgi

BORN = f"{os.getpid()} {time.time()}".encode()
LOCK = threading.Lock()
READY, WAITING = os.pipe()


def application(environ, start_response):
    kind = environ["PATH_INFO"]
    if kind == "/plain":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"plain"]
    if kind == "/born":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [BORN]
    if kind == "/refuse":
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"not for you"]
    if kind == "/chunks":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return chunks()
    uwsgi.websocket_handshake(environ["HTTP_SEC_WEBSOCKET_KEY"], environ.get("HTTP_ORIGIN", ""))
    return {
        "/echo": echo,
        "/binary": binary,
        "/generator": generator,
        "/poll": poll,
        "/hello": hello,
        "/born-socket": born,
        "/flood": flood,
        "/vars": variables,
        "/fail": fail,
    }[kind]()


def echo():
    while True:
        message = uwsgi.websocket_recv()
        uwsgi.websocket_send(message)


def binary():
    while True:
        message = uwsgi.websocket_recv()
        uwsgi.websocket_send_binary(message)


def generator():
    while True:
        uwsgi.websocket_send(uwsgi.websocket_recv())
        yield b""


def poll():
    """The shape of the chat in uWSGI's documentation."""
    fd = uwsgi.connection_fd()
    while True:
        uwsgi.wait_fd_read(fd, 1)
        uwsgi.suspend()
        if uwsgi.ready_fd() == fd:
            message = uwsgi.websocket_recv_nb()
            if message:
                uwsgi.websocket_send(b"you said " + message)
        else:
            uwsgi.websocket_recv_nb()  # keeps the pings going


def hello():
    uwsgi.websocket_send("hello")
    return b""


def born():
    while True:
        uwsgi.websocket_recv()
        uwsgi.websocket_send(BORN)


def flood():
    piece = b"x" * 65536
    while True:
        uwsgi.websocket_send_binary(piece)


def variables():
    text = " ".join(
        f"{name}={uwsgi.env.get(name, '-')}" if hasattr(uwsgi, "env") else ""
        for name in ("HTTP_UPGRADE", "HTTP_CONNECTION", "HTTP_SEC_WEBSOCKET_VERSION")
    )
    uwsgi.websocket_send(text)
    return []


def fail():
    raise ValueError("the application's own mistake")


def chunks():
    total = 0
    while True:
        chunk = uwsgi.chunked_read()
        if not chunk:
            return [str(total).encode()]
        total += len(chunk)
