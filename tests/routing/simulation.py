"""A server without sockets around the rules: a request in, the response that they make out."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from uwgate.routing import htpasswd
from uwgate.routing.conversation import Conversation, settle
from uwgate.routing.effects import CacheStore, Log
from uwgate.routing.headers import OPTIONS as HEADER_OPTIONS
from uwgate.routing.headers import compile_headers
from uwgate.routing.machine import Machine
from uwgate.routing.results import (
    Answer,
    CacheAdd,
    Cached,
    CacheGet,
    CacheSum,
    CallRpc,
    CheckPassword,
    Continue,
    Question,
    Reply,
    ServeFile,
    ServeStatic,
    Sum,
    Verdict,
)
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.stream import Pipeline

from .mirror import application

NOW = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Response:
    """What a client gets; ``status`` is None where it gets nothing at all."""

    status: bytes | None
    headers: tuple[Header, ...] = ()
    body: bytes = b""


class World(Machine):
    """The real file system, a clock that stands still, and caches in dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[tuple[bytes, bytes], Cached] = {}
        self.functions: dict[bytes, bytes] = {}

    def now(self) -> float:
        return NOW

    def in_cache(self, name: bytes, key: bytes) -> bool:
        return (name, key) in self.cache

    def reply(self, question: Question) -> Reply:
        """The answer to a question; files that are there are served by ``Server``."""
        match question:
            case CacheGet(name, key):
                return self.cache.get((name, key))
            case CacheAdd(name, key, value, expires):
                if (name, key) in self.cache:
                    return False
                self.cache[name, key] = Cached(value, NOW + expires if expires else 0)
                return True
            case CacheSum(name, key, sum, amount):
                return self._sum(name, key, sum, amount)
            case CheckPassword(path, user, password):
                with open(path, "rb") as file:
                    return htpasswd.verify(file.read(), user, password)
            case CallRpc(function):
                return self.functions.get(function)
            case ServeStatic() | ServeFile():
                return False
            case _:
                return None

    def _sum(self, name: bytes, key: bytes, sum: Sum, amount: int) -> bool:
        old = self.cache.get((name, key))
        value = int.from_bytes(old.value, "little", signed=True) if old else 0
        match sum:
            case Sum.ADD:
                value += amount
            case Sum.SUBTRACT:
                value -= amount
            case Sum.MULTIPLY:
                value *= amount
            case _:
                value //= amount
        self.cache[name, key] = Cached(value.to_bytes(8, "little", signed=True))
        return True


@dataclass
class Server:
    """Rules as lines of a configuration, and a world that lasts from request to request."""

    lines: Iterable[str]
    world: World = field(default_factory=World)
    transactions: list[Transaction] = field(default_factory=list)

    def __post_init__(self) -> None:
        triples = [
            (key.strip(), value.strip(), f"rules:{number}")
            for number, line in enumerate(self.lines, 1)
            for key, _, value in [line.partition("=")]
        ]
        self.rules = compile_rules(t for t in triples if "route" in t[0])
        self.headers = compile_headers(t for t in triples if t[0] in HEADER_OPTIONS)

    def get(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Response:
        """Ask once."""
        transaction = Transaction(variables(target, headers or {}, method), started=NOW)
        self.transactions.append(transaction)
        talk = Conversation(self.rules, transaction, self.world, self.headers)
        response = self._respond(talk, settle(talk.request(), self.world.reply))
        settle(talk.finish(), self.world.reply)
        if transaction.body and response.status is not None:
            response = Response(
                response.status, response.headers, response.body + bytes(transaction.body)
            )
        for effect in transaction.effects:
            if isinstance(effect, CacheStore):
                expires = NOW + effect.expires if effect.expires else 0
                self.world.cache[effect.name, effect.key] = Cached(effect.value, expires)
        return response

    def logged(self) -> list[bytes]:
        """What rules logged in the last request."""
        effects = self.transactions[-1].effects
        return [one.text for one in effects if isinstance(one, Log) and not one.problem]

    def _respond(self, talk: Conversation, verdict: Verdict) -> Response:
        match verdict:
            case Continue():
                return self._application(talk)
            case Answer():
                return self._answer(talk, verdict)
            case ServeFile() | ServeStatic():
                return self._file(talk, verdict)
            case _:
                return Response(None)

    def _answer(self, talk: Conversation, answer: Answer) -> Response:
        talk.transaction.headers = list(answer.headers)
        return _through(talk, answer.status, answer.reason, [answer.body])

    def _application(self, talk: Conversation) -> Response:
        transaction = talk.transaction
        started: list[tuple[str, list[tuple[str, str]]]] = []
        environ = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in transaction.variables.items()
        }
        pieces = list(application(environ, lambda status, head: started.append((status, head))))
        (line, head), *_ = started
        code, _, reason = line.partition(" ")
        headers = [(name.encode(), value.encode()) for name, value in head]
        verdict = settle(talk.respond(int(code), reason.encode(), headers), self.world.reply)
        if isinstance(verdict, Continue):
            prefix = bytes(transaction.body)
            transaction.body.clear()
            return _through(talk, transaction.status, transaction.reason, [prefix, *pieces])
        return self._respond(talk, verdict)

    def _file(self, talk: Conversation, file: ServeFile | ServeStatic) -> Response:
        if not os.path.exists(file.path) or not stat.S_ISREG(os.stat(file.path).st_mode):
            return Response(None)
        with open(file.path, "rb") as opened:
            body = opened.read()
        status = file.status if isinstance(file, ServeFile) else b"200 OK"
        headers = [(b"Content-Length", b"%d" % len(body))]
        if isinstance(file, ServeFile):
            headers.append((b"Content-Type", file.content_type))
        code, _, reason = status.partition(b" ")
        verdict = settle(talk.respond(int(code), reason, headers), self.world.reply)
        assert isinstance(verdict, Continue)
        return _through(talk, int(code), reason, [body])


def _through(talk: Conversation, status: int, reason: bytes, pieces: list[bytes]) -> Response:
    """The response behind its transformations."""
    transaction = talk.transaction
    pipeline = Pipeline(transaction, talk.outside)
    body = b"".join(pipeline.feed(piece) for piece in pieces) + pipeline.finish()
    transaction.size = len(body)
    headers = () if transaction.headers_off else tuple(talk.head())
    return Response(b"%d %b" % (status, reason), headers, body)


def variables(target: str, headers: Mapping[str, str], method: str) -> dict[bytes, bytes]:
    """What uWSGI's own HTTP parser makes of a request over a UNIX socket."""
    path, _, query = target.partition("?")
    found = {
        b"REQUEST_METHOD": method.encode(),
        b"REQUEST_URI": target.encode("latin-1"),
        b"PATH_INFO": unquote_to_bytes(path),
        b"QUERY_STRING": query.encode("latin-1"),
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"SCRIPT_NAME": b"",
        b"SERVER_NAME": socket.gethostname().encode(),
        b"SERVER_PORT": b"80",
        b"REMOTE_ADDR": b"0.0.0.0",
    }
    for name, value in headers.items():
        found[b"HTTP_" + name.upper().replace("-", "_").encode()] = value.encode("latin-1")
    return found
