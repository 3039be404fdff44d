"""An application that shows what rules made of a request; uWSGI loads it, and we call it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

SHOWN = (
    "DOCUMENT_ROOT",
    "PATH_INFO",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "SCRIPT_NAME",
    "TAG",
    "TAG2",
    "TAG3",
    "TAG4",
    "UWSGI_APPID",
    "UWSGI_SCHEME",
)


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """404 for /missing; the variables as lines, or two pieces of text below /pieces."""
    path: str = environ["PATH_INFO"]
    status = "404 Not Found" if path == "/missing" else "200 OK"
    kind = "text/html" if path.endswith(".html") else "text/plain"
    headers = [("Content-Type", kind), ("X-App", "1")]
    if path.startswith("/pieces"):
        pieces = [] if path == "/pieces/none" else [b"alpha-", b"beta\n"]
        start_response(status, headers)
        return iter(pieces)
    lines = [f"{name}={environ.get(name, '')}\n" for name in SHOWN]
    start_response(status, headers)
    return ["".join(lines).encode("latin-1")]
