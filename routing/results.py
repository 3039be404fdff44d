"""What an action says: how the chain goes on, or what the caller has to do.

A ``Flow`` or ``Jump`` steers the chain; a ``Verdict`` ends it; an ``Ask`` wants something from
the outside before the chain can go on. Everything is data: the engine does nothing itself.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from uwgate.routing.view import Request

Headers = tuple[tuple[bytes, bytes], ...]


class Flow(enum.Enum):
    """How the chain goes on behind an action."""

    NEXT = "the next rule"
    CONTINUE = "leave the chain, go on with the request"
    BREAK = "leave the chain, answer nothing more"


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on behind the label or number of this position; ``text`` is what asked for it."""

    position: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Continue:
    """The chain is over: the request goes on to its application."""


@dataclass(frozen=True, slots=True)
class Break:
    """The request is over without an answer of its own.

    What was sent or collected before (``Transaction.body``, ``Transaction.status``) is all
    that the client gets. ``reason`` is None where a rule wants it so (``break:``), else what
    went wrong; ``status`` is then a fitting answer, which uWSGI does not give.
    """

    reason: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. ``close``: the connection ends behind it."""

    status: int
    reason: bytes
    headers: Headers = ()
    body: bytes = b""
    close: bool = False


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """Bytes that are a whole HTTP response already (``rpcraw``)."""

    data: bytes


class Protocol(enum.Enum):
    """How a backend is spoken to."""

    HTTP = "http"
    HTTP_UNCHANGED = "httpdumb"
    CONNECT = "httpconnect"
    UWSGI = "uwsgi"
    FASTCGI = "fcgi"
    SCGI = "scgi"


@dataclass(frozen=True, slots=True)
class Forward:
    """Hand the request to a backend.

    ``host`` and ``uri``: what it is asked for, None: what the client asked for.
    ``application``: UWSGI_APPID for the backend, None: none. ``direct``: the bytes may pass
    by transformations and rules of the response (uWSGI's offloading), where there are any.
    """

    protocol: Protocol
    address: bytes
    modifier1: int = 0
    modifier2: int = 0
    application: bytes | None = None
    host: bytes | None = None
    uri: bytes | None = None
    direct: bool = True


@dataclass(frozen=True, slots=True)
class ServeStatic:
    """Serve a file as static files are (type, ranges, conditions, variants).

    ``optional``: if it is not there, go on with ``Run.resume(False)`` instead of answering.
    ``root``: as in ServeFile.
    """

    path: bytes
    optional: bool = False
    root: bytes | None = None


@dataclass(frozen=True, slots=True)
class ServeFile:
    """Send the bytes of a file, whatever it is.

    ``root``: the directory that it has to be in when all links are followed, None: anywhere.
    ``by_kernel``: by sendfile, past the transformations. ``with_length``: say how long it is.
    ``with_headers`` False: nothing but the bytes. ``optional``: as in ServeStatic.
    """

    path: bytes
    status: bytes = b"200 OK"
    content_type: bytes = b"text/html"
    mime: bool = False
    root: bytes | None = None
    by_kernel: bool = False
    with_length: bool = True
    with_headers: bool = True
    optional: bool = False


Verdict = Continue | Break | Answer | RawAnswer | Forward | ServeStatic | ServeFile


class Cached(NamedTuple):
    """What a cache holds. ``expires`` is in seconds since the epoch, 0: never."""

    value: bytes
    expires: int = 0


@dataclass(frozen=True, slots=True)
class CacheGet:
    """Reply: Cached or None. ``name`` may be ``cache@host:port``; empty: the default cache."""

    name: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class CacheAdd:
    """Store if there is nothing yet. Reply: True if it was stored. ``expires`` in seconds."""

    name: bytes
    key: bytes
    value: bytes
    expires: int = 0


class Sum(enum.Enum):
    """What is done with a number."""

    ADD = "inc"
    SUBTRACT = "dec"
    MULTIPLY = "mul"
    DIVIDE = "div"
    SET = "set"


@dataclass(frozen=True, slots=True)
class CacheSum:
    """Calculate with the 64-bit number of an item, which is made if missing. Reply: True."""

    name: bytes
    key: bytes
    sum: Sum
    amount: int
    expires: int = 0


class Store(enum.Enum):
    """A store that is spoken to over the network."""

    MEMCACHED = "memcached"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class StoreGet:
    """Reply: the value or None."""

    store: Store
    address: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class CallRpc:
    """Reply: the result, or None if there is no such function or it failed."""

    function: bytes
    arguments: tuple[bytes, ...]
    address: bytes | None = None


class Authority(enum.Enum):
    """Who says whether credentials are good."""

    LDAP = "ldapauth"
    RADIUS = "radius"
    NEGOTIATE = "spnego"


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Look into an htpasswd file (``htpasswd.verify``). Reply: True if the password is right."""

    path: bytes
    user: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckCredentials:
    """Reply: the user's name or Admitted, None: they are wrong, Failed: nobody could be asked.

    ``token`` is what stands behind the scheme's name.
    """

    authority: Authority
    token: bytes = field(repr=False)
    parameters: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A user who came in, and the token (in base64) by which we prove to be who we are."""

    user: bytes
    token: bytes = b""


@dataclass(frozen=True, slots=True)
class ApplyStylesheet:
    """Transform an XML document. Reply: what comes out, or Failed.

    ``document``: its path, in ``root``; or ``content`` is the document itself. The stylesheet is
    in ``stylesheet_root``. A root of None: anywhere. ``params`` are names and texts.
    """

    stylesheet: bytes
    stylesheet_root: bytes | None
    params: tuple[tuple[bytes, bytes], ...] = ()
    document: bytes = b""
    root: bytes | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FillPage:
    """Fill in a page with server-side includes. Reply: the page, or Failed.

    ``root``: the directory that the page and what it includes have to be in, None: its own.
    """

    path: bytes
    root: bytes | None
    variables: dict[bytes, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a function said, checked. ``answer`` None: go on."""

    answer: Answer | None = None
    variables: tuple[tuple[bytes, bytes], ...] = ()
    headers: Headers = ()
    last: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A function or an expert raised something, said nonsense, or took too long.

    ``status`` is a fitting answer to the client.
    """

    reason: str
    status: int = 500


@dataclass(frozen=True, slots=True)
class CallFunction:
    """Call a Python function (``functions.Functions``) for at most ``budget`` seconds.

    Reply: a Decision or Failed.
    """

    function: str  # module:name
    request: Request = field(repr=False)
    budget: float


Expertise = CheckCredentials | ApplyStylesheet | FillPage
Question = (
    CacheGet
    | CacheAdd
    | CacheSum
    | StoreGet
    | CallRpc
    | CheckPassword
    | Expertise
    | CallFunction
    | ServeStatic
    | ServeFile
)
Reply = Cached | Decision | Admitted | Failed | bytes | bool | None


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that the caller has to find out. ``then`` makes a result of the reply."""

    question: Question
    then: Callable[[Reply], Result] = field(repr=False)


Result = Flow | Jump | Ask | Verdict
