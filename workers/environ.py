"""The environ of a request: variables off the wire, and the constants behind them."""

from __future__ import annotations

import re
import sys
from typing import Any

from uwgate.gateways.wire.uwsgi import PacketError

Environ = dict[str, Any]

# What makes uWSGI load code, read files or change its environment on behalf of whoever sent it.
DYNAMIC = frozenset(
    (
        "UWSGI_FILE",
        "UWSGI_SCRIPT",
        "UWSGI_MODULE",
        "UWSGI_CALLABLE",
        "UWSGI_PYHOME",
        "UWSGI_HOME",
        "UWSGI_CHDIR",
        "UWSGI_SETENV",
        "UWSGI_APPID",
        "UWSGI_TOUCH_RELOAD",
        "UWSGI_CACHE_GET",
        "UWSGI_POSTFILE",
    )
)
_LEADING_DIGITS = re.compile(r"[0-9]{1,18}")


def decode_variables(block: bytes, limit: int) -> Environ:
    """The variables of a uwsgi block, as str of Latin-1; of two equal keys the last one wins.

    Raises:
        PacketError: the block is malformed, or has more than ``limit`` variables.
    """
    # Slices of one str are the cheapest way to many small ones, keys included.
    text = block.decode("latin-1")
    environ: Environ = {}
    end = len(block)
    position = 0
    count = 0
    try:
        while position < end:
            start = position + 2
            position = start + block[position] + (block[position + 1] << 8)
            key = text[start:position]
            start = position + 2
            position = start + block[position] + (block[position + 1] << 8)
            environ[key] = text[start:position]
            count += 1
    except IndexError:
        raise PacketError("a variable runs past its block") from None
    if position != end:
        raise PacketError("a variable runs past its block")
    if "" in environ:
        raise PacketError("a variable without a name")
    if count > limit:
        raise PacketError(f"{count} variables, limit {limit}")
    return environ


def block_size(environ: Environ) -> tuple[int, int]:
    """How many variables there are, and how many bytes they would take in a uwsgi block."""
    size = sum(4 + len(key) + len(value) for key, value in environ.items())
    return len(environ), size


def leading_number(text: str) -> int:
    """The number that begins a CONTENT_LENGTH, as uWSGI reads it: none is 0."""
    match = _LEADING_DIGITS.match(text)
    return int(match[0]) if match else 0


def scheme_of(environ: Environ, *, trust_forwarded: bool) -> str:
    """``wsgi.url_scheme``: UWSGI_SCHEME, else HTTPS; on request what a proxy in front says.

    Only a front-end can set the first two; X-Forwarded-Proto could come from any client.
    """
    scheme = environ.get("UWSGI_SCHEME")
    if scheme:
        return str(scheme)
    secure = environ.get("HTTPS")
    if trust_forwarded:
        scheme = environ.get("HTTP_X_FORWARDED_PROTO")
        if scheme:
            return str(scheme)
        secure = secure or environ.get("HTTP_X_FORWARDED_SSL")
    return "https" if secure and (secure[0] == "1" or secure[:2].lower() == "on") else "http"


def constants(
    *, threads: int, processes: int, file_wrapper: Any, version: str, hostname: str
) -> Environ:
    """What stands in every environ of a worker."""
    environ: Environ = {
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.run_once": False,
        "wsgi.multithread": threads > 1,
        "wsgi.multiprocess": processes > 1,
        "wsgi.input_terminated": True,
        "uwsgi.version": version.encode(),
        "uwsgi.node": hostname.encode(),
    }
    if file_wrapper is not None:
        environ["wsgi.file_wrapper"] = file_wrapper
    return environ
