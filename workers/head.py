"""Response heads: what ``start_response`` was given, checked, as bytes.

Nothing here lets a control character, a hop-by-hop field or a second Content-Length pass.
"""

from __future__ import annotations

import http
import re
from typing import NamedTuple

from uwgate.gateways.wire.lease import (
    DATE,
    ENCODING,
    LENGTH,
    MAX_HEAD,
    NAMES_FILE,
    NO_BODY,
    SERVER,
)

NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token, RFC 9110 section 5.6.2
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # field-value, RFC 9110 section 5.5
STATUS = re.compile(r"([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "proxy-connection",
    )
)
MAX_CACHED = 1024  # statuses or fields; the values are the application's choice
MAX_CACHED_VALUE = 128  # characters of a field value that is worth remembering


class Head(NamedTuple):
    """``text`` is the status and the header lines, without an empty line at the end.

    ``flags`` are those of the lease protocol; ``length`` is the declared Content-Length.
    """

    text: bytes
    flags: int
    length: int | None


_statuses: dict[str, tuple[bytes, int]] = {}
_fields: dict[tuple[str, str], tuple[bytes, int]] = {}


def encode_head(status: str, headers: list[tuple[str, str]]) -> Head:
    """Check status and headers, and put them into bytes.

    Raises:
        TypeError, ValueError: the application broke PEP 3333.
    """
    if not isinstance(headers, list):
        raise TypeError(f"headers must be a list, not {type(headers).__name__}")
    try:
        line, flags = _statuses[status]
    except KeyError:
        line, flags = _encode_status(status)
    except TypeError:
        raise TypeError(f"status must be a str, not {type(status).__name__}") from None
    lines = [line]
    length: int | None = None
    for field in headers:
        try:
            line, flag = _fields[field]
        except (KeyError, TypeError):
            line, flag = _encode_field(field)
        lines.append(line)
        if flag:
            if flag == LENGTH:
                if length is not None:
                    raise ValueError("more than one Content-Length header")
                length = int(field[1])
            flags |= flag
    text = b"".join(lines)
    if len(text) > MAX_HEAD - 128:  # room for the Content-Length that we may add
        raise ValueError(f"response head of {len(text)} bytes, limit {MAX_HEAD - 128}")
    return Head(text, flags, length)


def _encode_status(status: str) -> tuple[bytes, int]:
    if not isinstance(status, str):
        raise TypeError(f"status must be a str, not {type(status).__name__}")
    match = STATUS.fullmatch(status)
    if match is None:
        raise ValueError(f"malformed status {status!r}")
    code = int(match[1])
    reason = match[2]
    if not reason:
        try:
            reason = http.HTTPStatus(code).phrase
        except ValueError:
            reason = "Unknown"
    flags = NO_BODY if code < 200 or code in (204, 304) else 0
    known = f"{code} {reason}\r\n".encode("latin-1"), flags
    if len(_statuses) < MAX_CACHED:
        _statuses[status] = known
    return known


def _encode_field(field: tuple[str, str]) -> tuple[bytes, int]:
    try:
        name, value = field
    except (TypeError, ValueError):
        raise TypeError(f"a header must be a (name, value) tuple, not {field!r}") from None
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"header name and value must be str: {field!r}")
    if NAME.fullmatch(name) is None:
        raise ValueError(f"malformed header name {name!r}")
    if VALUE.fullmatch(value) is None:
        raise ValueError(f"header {name}: the value has a character that may not be there")
    lower = name.lower()
    if lower in HOP_BY_HOP:
        raise ValueError(f"header {name} is for servers to set, not for applications (PEP 3333)")
    flag = 0
    if lower == "content-length":
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            raise ValueError(f"malformed Content-Length {value!r}")
        flag = LENGTH
    elif lower == "date":
        flag = DATE
    elif lower == "server":
        flag = SERVER
    elif lower == "uwsgi-encoding":
        flag = ENCODING
    elif lower in ("x-sendfile", "x-accel-redirect"):
        flag = NAMES_FILE
    known = f"{name}: {value}\r\n".encode("latin-1"), flag
    if type(field) is tuple and len(value) <= MAX_CACHED_VALUE and len(name) <= 64:
        if len(_fields) >= MAX_CACHED:
            _fields.clear()
        _fields[field] = known
    return known
