"""A look at a backend: whether it takes a connection, and what it says there.

The three kinds of ``-check``: ``tcp`` is content with a connection; ``uwsgi`` sends a ping
packet (spec/uwsgi-protocol.md section 2) and wants the pong; a path asks for that page, and wants
a status below 400. The page is asked for in the node's own protocol.
"""

from __future__ import annotations

import enum
import os
import re
import socket
from typing import NamedTuple

import trio

from uwgate.conf.address import Address, AddressKind, parse_backend
from uwgate.conf.errors import BackendError, BackendTimeout, ConfigError
from uwgate.gateways import streams
from uwgate.gateways.wire.uwsgi import PING, PONG, encode
from uwgate.subscriptions.node import Node

MAX_ANSWER = 1024  # bytes that are read in search of the status
BAD_STATUS = 400
BUSY_PAUSE = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again
AGENT = "uwgate-check"
_STATUS = re.compile(rb"(?:HTTP/(?:1\.[01]|2\.0) |[Ss]tatus: )([1-9][0-9]{2})(?=[ \r\n])")


class Sign(enum.Enum):
    """What shows that a backend is well."""

    CONNECTION = "connection"
    PONG = "pong"
    STATUS = "status"


class Probe(NamedTuple):
    """What is sent where, and what has to come back. Equal ones are looked at once."""

    address: str
    question: bytes
    sign: Sign

    @classmethod
    def of(cls, check: str, node: Node, *, speaks_http: bool = False) -> Probe:
        """The probe of a node; ``check`` is the value of the option.

        ``speaks_http``: all nodes do. A ping is no HTTP, so who speaks that is only connected.
        """
        speaks_http = speaks_http or node.proto == "h"
        if check == "tcp" or (check == "uwsgi" and speaks_http):
            return cls(node.address, b"", Sign.CONNECTION)
        if check == "uwsgi":
            return cls(node.address, PING, Sign.PONG)
        host = _host_of(node.key)
        question = _get(check, host) if speaks_http else _packet(check, host, node)
        return cls(node.address, question, Sign.STATUS)

    async def fault(self, limit: float) -> str | None:
        """What is wrong with the backend; None: it is well. Takes ``limit`` seconds at most."""
        try:
            await self.look(limit)
        except BackendError as error:
            return str(error)
        return None

    async def look(self, limit: float) -> None:
        """Return when the backend is well.

        Raises:
            BackendError: it is not, or (BackendTimeout) not within ``limit`` seconds.
        """
        try:
            with trio.fail_after(limit):
                await self._ask(parse_backend(self.address))
        except trio.TooSlowError as error:
            text = f"no {self.sign.value} within {limit:g} s"
            raise BackendTimeout(self.address, text, sent=True) from error
        except OSError as error:
            raise BackendError(self.address, str(error.strerror or error), sent=True) from error
        except ConfigError as error:  # what a node says of itself need not be an address
            raise BackendError(self.address, "is no address", sent=False) from error

    async def _ask(self, address: Address) -> None:
        sock = await _connect(address)
        try:
            if self.sign is Sign.CONNECTION:
                return
            await streams.send_all(sock, self.question)
            answer = b""
            while not self.is_answered(answer):
                data = await streams.receive(sock, MAX_ANSWER)
                if not data:
                    raise BackendError(
                        self.address, f"closed without a {self.sign.value}", sent=True
                    )
                answer += data
        finally:
            streams.close(sock)

    def is_answered(self, answer: bytes) -> bool:
        """Whether these bytes are the sign that was waited for; False: more may come.

        Raises:
            BackendError: they are something else.
        """
        if self.sign is Sign.PONG:
            if not PONG.startswith(answer[: len(PONG)]):
                raise BackendError(self.address, "answers a ping with something else", sent=True)
            return len(answer) >= len(PONG)
        match = _STATUS.match(answer)
        if match is None:
            if b"\n" in answer or len(answer) >= MAX_ANSWER:
                raise BackendError(self.address, "answers without a status", sent=True)
            return False
        if int(match[1]) >= BAD_STATUS:
            raise BackendError(self.address, f"answers {int(match[1])}", sent=True)
        return True


def _host_of(key: str) -> str:
    """A name that leads to the key: without the path of a mountpoint or dotsplit's dot."""
    return key.partition("/")[0].lstrip(".")


def _get(path: str, host: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: {AGENT}",
        "Accept: */*",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _packet(path: str, host: str, node: Node) -> bytes:
    file, _, query = path.partition("?")
    variables = (
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", path),
        ("PATH_INFO", file),
        ("QUERY_STRING", query),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", host.partition(":")[0]),
        ("SERVER_PORT", host.partition(":")[2] or "80"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTP_HOST", host),
        ("HTTP_USER_AGENT", AGENT),
    )
    encoded = ((name.encode(), value.encode()) for name, value in variables)
    return encode(encoded, node.modifier1, node.modifier2)


async def _connect(address: Address) -> socket.socket:
    if address.kind is not AddressKind.TCP:
        return await _connect_unix(address.sun_path)
    found = await trio.socket.getaddrinfo(
        address.host or "127.0.0.1", address.port, type=socket.SOCK_STREAM
    )
    family, kind, protocol, _, where = found[0]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        try:
            sock.connect(where)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code)) from None
    except BaseException:
        streams.close(sock)
        raise
    return sock


async def _connect_unix(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                sock.connect(name)
            except BlockingIOError:  # its accept queue is full: it is busy, or it hangs
                await trio.sleep(BUSY_PAUSE)
            else:
                return sock
    except BaseException:
        sock.close()
        raise
