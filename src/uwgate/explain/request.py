"""A request as a person writes it, and the variables that rules see of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from uwgate.conf.errors import ClientError, ConfigError
from uwgate.gateways.wire.cgi import fields_of, remove_hop_by_hop, split_target
from uwgate.gateways.wire.http1 import Limits, framing_of, parse_head
from uwgate.routing.view import bytes_of

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)", re.DOTALL)
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
EXAMPLE = "GET /path Host: example.com"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``headers`` in their order, as texts in which a byte is a character."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """Where a request comes from. ``variables`` are set behind all others."""

    remote_address: str = "127.0.0.1"
    secure: bool = False
    variables: tuple[tuple[str, str], ...] = field(default=())


def read_asked(words: Sequence[str]) -> Asked:
    """A request of the words of a command line.

    The first is method and target, perhaps with a header behind them (``EXAMPLE``), or
    only a target; method and target may also be two words. The rest are headers.

    Raises:
        ConfigError: it is no request.
    """
    first, *rest = words
    if _METHOD.fullmatch(first) and rest and rest[0].startswith(("/", "*", "http")):
        first = f"{first} {rest.pop(0)}"
    line, *more = first.strip().splitlines() or [""]
    parts = line.split(None, 2)
    if parts and parts[0].startswith(("/", "http://", "https://")):
        parts = ["GET", *line.split(None, 1)]
    if len(parts) < 2:
        raise ConfigError(f"{first!r} is no request: expected something like {EXAMPLE!r}")
    method, target, *header = parts
    return Asked(method, target, read_headers([*header, *more, *rest]))


def read_headers(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Header lines such as ``Host: example.com``.

    Raises:
        ConfigError: one is none.
    """
    found: list[tuple[str, str]] = []
    for line in lines:
        match = _HEADER.fullmatch(line.strip())
        if match is None:
            raise ConfigError(f"{line!r} is no header: expected something like 'Name: value'")
        found.append((match[1], match[2]))
    return tuple(found)


def variables_of(asked: Asked, side: Side) -> dict[bytes, bytes]:
    """What rules see of a request, as the gateway makes it of the same bytes.

    Without a Host header the host is ``localhost``.

    Raises:
        ConfigError: no such request reaches the rules: the gateway refuses it.
    """
    headers = list(asked.headers)
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, ("Host", "localhost"))
    lines = [f"{asked.method} {asked.target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers)]
    text = "".join(f"{line}\r\n" for line in [*lines, ""])
    try:
        head = parse_head(bytes_of(text), Limits())
        fields = fields_of(head.headers)
        framing_of(head.minor, fields)
        path, query, host = split_target(head.method, head.target)
    except ClientError as error:
        raise ConfigError(f"no rule sees this request, it is refused: {error}") from error
    if host is not None:
        fields[b"HTTP_HOST"] = host
    remove_hop_by_hop(fields)
    variables = {
        b"REQUEST_METHOD": head.method,
        b"REQUEST_URI": head.target,
        b"PATH_INFO": path,
        b"QUERY_STRING": query,
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"SCRIPT_NAME": b"",
        b"SERVER_NAME": socket.gethostname().encode(),
        b"SERVER_PORT": b"443" if side.secure else b"80",
        b"REMOTE_ADDR": bytes_of(side.remote_address),
        **fields,
    }
    if side.secure:
        variables |= {b"HTTPS": b"on", b"UWSGI_SCHEME": b"https"}
    for name, value in side.variables:
        variables[bytes_of(name)] = bytes_of(value)
    return variables
