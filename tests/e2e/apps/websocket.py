"""WebSockets and chunked bodies as applications of uWSGI are written; it runs under both."""

import os
import time

import uwsgi

BORN = f"{os.getpid()} {time.time()}".encode()


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/chunks":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return read_chunks()
    if path in PAGES:
        start_response(*PAGES[path][:2])
        return [PAGES[path][2]]
    uwsgi.websocket_handshake(environ["HTTP_SEC_WEBSOCKET_KEY"], environ.get("HTTP_ORIGIN", ""))
    return SOCKETS[path](environ)


def echo(environ):
    while True:
        uwsgi.websocket_send(uwsgi.websocket_recv())


def binary(environ):
    while True:
        uwsgi.websocket_send_binary(uwsgi.websocket_recv())


def born(environ):
    while True:
        uwsgi.websocket_recv()
        uwsgi.websocket_send(BORN)


def hello(environ):
    uwsgi.websocket_send("hello")
    return [b""]


def flood(environ):
    piece = b"x" * 65536
    while True:
        uwsgi.websocket_send_binary(piece)


def asked(environ):
    names = ("HTTP_UPGRADE", "HTTP_CONNECTION", "HTTP_SEC_WEBSOCKET_VERSION")
    uwsgi.websocket_send(" ".join(environ[name] for name in names))
    uwsgi.websocket_recv()


def read_chunks():
    total = 0
    while True:
        chunk = uwsgi.chunked_read()
        if not chunk:
            return [str(total).encode()]
        total += len(chunk)


TEXT = [("Content-Type", "text/plain")]
PAGES = {
    "/page": ("200 OK", TEXT, b"page"),
    "/refuse": ("403 Forbidden", TEXT, b"not for you"),
}
SOCKETS = {
    "/echo": echo,
    "/binary": binary,
    "/born": born,
    "/hello": hello,
    "/flood": flood,
    "/asked": asked,
}
