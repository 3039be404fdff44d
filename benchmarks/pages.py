"""The application that everybody serves: a short page and one of 100 KiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HELLO = b"Hello, world!\n"
LARGE = bytes(range(32, 122)) * 1137 + b"\n" * 70  # 100 KiB exactly


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """``/large`` is the large page, everything else the short one."""
    body = LARGE if environ["PATH_INFO"] == "/large" else HELLO
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
