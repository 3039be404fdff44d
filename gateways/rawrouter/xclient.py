"""``rawrouter-xclient``: mail servers learn who the client is (spec/gateways.md section 7).

The backend's first line is its greeting to us. It is answered with XCLIENT, and what the
backend says to that is the greeting that the client gets. As in Postfix's XCLIENT_README.
"""

from __future__ import annotations

from uwgate.gateways.rawrouter.caller import Caller

MAX_LINE = 4096  # bytes of a greeting; RFC 5321 section 4.5.3.1.5 allows 512


class GreetingError(ValueError):
    """The backend's greeting is none."""


def command(caller: Caller) -> bytes:
    """What the backend is told; empty for a client without an IP address."""
    if not caller.is_ip:
        return b""
    mark = "IPV6:" if ":" in caller.host else ""
    return f"XCLIENT ADDR={mark}{caller.host}\r\n".encode("ascii")


def after_greeting(data: bytes) -> bytes | None:
    """What stands behind the greeting's line; None while its end is missing.

    Raises:
        GreetingError: the line is too long.
    """
    line, end, rest = data.partition(b"\r\n")
    if len(line) > MAX_LINE:
        raise GreetingError(f"greeting of more than {MAX_LINE} bytes")
    return rest if end else None
