"""A small site for a browser: a page with parts, a form, an upload, and streams.

It needs one process with several threads: ``/more`` lets ``/stream`` go on.
"""

import hashlib
import html
import json
import queue
import re
from urllib.parse import parse_qs

PAGE = """<!doctype html>
<html><head><title>uwgate</title>
<link rel="stylesheet" href="/style.css">
<script src="/script.js"></script>
</head><body>
<h1 id="title">A page</h1>
{parts}
<form id="words" method="post" action="/form">
<input name="name"><textarea name="text"></textarea></form>
<form id="file" method="post" action="/upload" enctype="multipart/form-data">
<input type="file" name="file"><input name="note"></form>
</body></html>
"""
PARTS = 24
IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="1"/>'
more = queue.Queue()


def application(environ, start_response):
    """Every path has a function of its own below."""
    path = environ["PATH_INFO"]
    headers = [("Cache-Control", "no-store")]
    if path.startswith("/part/"):
        start_response("200 OK", [*headers, ("Content-Type", "image/svg+xml")])
        return [IMAGE % (100 + int(path.removeprefix("/part/")))]
    if path not in SITE:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page"]
    kind, function = SITE[path]
    encoding = parse_qs(environ["QUERY_STRING"]).get("encoding")
    if encoding:
        headers.append(("uWSGI-Encoding", encoding[0]))
    start_response("200 OK", [*headers, ("Content-Type", kind)])
    return function(environ)


def page(environ):
    parts = "".join(f'<img src="/part/{number}">' for number in range(PARTS))
    return [PAGE.format(parts=parts).encode()]


def style(environ):
    return [b"#title { color: rgb(1, 2, 3) }"]


def script(environ):
    return [b"window.loaded = 'script'"]


def seen(environ):
    """What the application sees of a request."""
    names = ("SERVER_PROTOCOL", "REQUEST_METHOD", "HTTP_HOST", "HTTPS", "QUERY_STRING")
    values = {name: environ[name] for name in names if name in environ}
    values["scheme"] = environ["wsgi.url_scheme"]
    return [json.dumps(values).encode()]


def form(environ):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    fields = parse_qs(body.decode(), strict_parsing=True)
    return [f"<pre id=seen>{html.escape(json.dumps(fields))}</pre>".encode()]


def upload(environ):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    boundary = environ["CONTENT_TYPE"].partition("boundary=")[2].encode()
    seen = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part[2:-2].partition(b"\r\n\r\n")
        name = re.search(rb' name="([^"]*)"', head)[1].decode()
        digest = hashlib.sha256(content).hexdigest()
        seen[name] = {"size": len(content), "sha256": digest}
    return [f"<pre id=seen>{json.dumps(seen)}</pre>".encode()]


def receive(environ):
    """Size and digest of a body, however it is framed."""
    digest = hashlib.sha256()
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        digest.update(piece)
        size += len(piece)
    return [json.dumps({"size": size, "sha256": digest.hexdigest()}).encode()]


def stream(environ):
    """One piece, and another for each ``/more``, five in all."""
    while not more.empty():
        more.get_nowait()
    for number in range(5):
        if number:
            more.get(timeout=20)
        yield b"piece %d\n" % number


def events(environ):
    """The same as server-sent events."""
    for piece in stream(environ):
        yield b"data: " + piece + b"\n"


def text(environ):
    """A page of some length: 220 kB."""
    return [b"All work and no play makes Jack a dull boy.\n" * 5000]


def let_go_on(environ):
    more.put(None)
    return [b"ok"]


SITE = {
    "/": ("text/html; charset=utf-8", page),
    "/style.css": ("text/css", style),
    "/script.js": ("text/javascript", script),
    "/seen": ("application/json", seen),
    "/form": ("text/html; charset=utf-8", form),
    "/upload": ("text/html; charset=utf-8", upload),
    "/receive": ("application/json", receive),
    "/stream": ("text/plain", stream),
    "/events": ("text/event-stream", events),
    "/text": ("text/plain", text),
    "/more": ("text/plain", let_go_on),
}
