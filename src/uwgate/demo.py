"""The demo application: what ``make run`` serves.

A plain WSGI application of the standard library, one small page for each thing that a
server has to get right. It runs under any WSGI server:

    uwgate --http :8080 --module uwgate.demo
"""

from __future__ import annotations

import html
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

MAX_ECHO = 1 << 20  # bytes of a body that /echo gives back
MAX_SLOW = 30.0  # seconds that /slow waits at most
TEXT = "text/plain; charset=utf-8"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>uwgate</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto }}
code, td {{ font: 14px/1.4 ui-monospace, monospace; vertical-align: top }}
.who {{ background: #e8f4ec; color: #123; padding: .6rem 1rem; border-radius: .4rem }}
</style></head><body>
<h1>It works</h1>
<p class="who">Answered by {worker}, request number {count} of that process.
Reload this page to meet the other workers.</p>
<ul>
<li><a href="/stream">/stream</a>: a generator, one line at a time</li>
<li><code>/echo</code>: give it a body, <code>curl -d hello http://{host}/echo</code></li>
<li><a href="/environ">/environ</a>: everything that the application is told</li>
<li><a href="/slow?seconds=2">/slow?seconds=2</a>: an answer that takes its time</li>
<li><a href="/error">/error</a>: an exception; its traceback is in the log, not on the page</li>
<li><a href="/file">/file</a>: its source, through <code>wsgi.file_wrapper</code></li>
</ul>
<h2>What your browser sent</h2>
<table>{headers}</table>
</body></html>
"""

count = 0


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request."""
    global count
    count += 1
    page = PAGES.get(environ.get("PATH_INFO") or "/")
    if page is None:
        start_response("404 Not Found", [("Content-Type", TEXT)])
        return [b"There is no such page here; / lists those that are.\n"]
    return page(environ, start_response)


def start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The start page: who answered, and where to go next."""
    rows = "".join(
        f"<tr><td>{html.escape(key[5:].replace('_', '-').title())}</td>"
        f"<td>{html.escape(value)}</td></tr>"
        for key, value in sorted(environ.items())
        if key.startswith("HTTP_")
    )
    host = html.escape(environ.get("HTTP_HOST") or "127.0.0.1:8080")
    page = PAGE.format(worker=worker_name(), count=count, headers=rows, host=host)
    body = page.encode("utf-8", "replace")
    start_response(
        "200 OK",
        [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Ten lines, a third of a second apart."""
    start_response("200 OK", [("Content-Type", TEXT)])
    for number in range(1, 11):
        yield f"line {number} of 10 from {worker_name()}\n".encode()
        time.sleep(0.3)


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The body of the request."""
    body = environ["wsgi.input"].read(MAX_ECHO)
    kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def show_environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Every variable, one a line."""
    start_response("200 OK", [("Content-Type", TEXT)])
    return ["".join(f"{key} = {environ[key]!r}\n" for key in sorted(environ)).encode()]


def slow(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An answer after ``?seconds=``, half a minute at most."""
    asked = parse_qs(environ.get("QUERY_STRING", "")).get("seconds", ["1"])[0]
    try:
        seconds = min(max(float(asked), 0.0), MAX_SLOW)
    except ValueError:
        start_response("400 Bad Request", [("Content-Type", TEXT)])
        return [f"seconds={asked} is not a number\n".encode()]
    time.sleep(seconds)
    start_response("200 OK", [("Content-Type", TEXT)])
    return [f"{worker_name()} waited {seconds:g} seconds\n".encode()]


def error(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An exception that nobody catches."""
    raise RuntimeError("the demo application was asked for an error")


def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """This file, sent by the server."""
    source = Path(__file__)
    start_response(
        "200 OK", [("Content-Type", TEXT), ("Content-Length", str(source.stat().st_size))]
    )
    wrap: Callable[[Any], Iterable[bytes]] = environ.get("wsgi.file_wrapper") or iter
    return wrap(source.open("rb"))


def worker_name() -> str:
    """``worker 2 (pid 4711)``; without a number under a server that has none."""
    try:
        import uwsgi
    except ImportError:
        return f"pid {os.getpid()}"
    return f"worker {uwsgi.worker_id()} (pid {os.getpid()})"


PAGES: dict[str, Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]] = {
    "/": start,
    "/stream": stream,
    "/echo": echo,
    "/environ": show_environ,
    "/slow": slow,
    "/error": error,
    "/file": file,
}
