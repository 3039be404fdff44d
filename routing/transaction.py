"""One request on its way through the four chains: what rules see and change of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uwgate.routing.outside import Outside

if TYPE_CHECKING:
    from uwgate.routing.effects import Effect
    from uwgate.routing.transformations.stream import Transformation

MAX_VALUE = 0xFFFF  # bytes of a variable or header: lengths in the uwsgi block have 16 bits
MAX_BODY = 4 << 20  # bytes that rules may send for one request

Header = tuple[bytes, bytes]


class RuleError(Exception):
    """A rule cannot do what it is to do: the chain breaks.

    ``status`` is what the client gets if nothing was sent: 400 and 414 for what the request
    itself brought, 500 for the rest.
    """

    def __init__(self, reason: str, status: int = 500) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class Transaction:
    """The request, and what rules made of the response so far.

    ``variables`` are the request's, as CGI names them, changed in place; ``changed`` names
    those that rules set. ``status`` is 500 until somebody sets one. ``headers`` are those of
    the response as far as they are known; ``added`` come behind all others; ``removed`` (lower
    case) are dropped when somebody adds them later. ``body`` is what rules sent. Times are in
    seconds since the epoch, ``size`` is in bytes of response body.
    """

    variables: dict[bytes, bytes]
    started: float = 0.0
    changed: set[bytes] = field(default_factory=set)
    touched: set[bytes] = field(default_factory=set)  # since a chain last looked
    modifier1: int | None = None
    modifier2: int | None = None
    status: int = 500
    reason: bytes = b""
    headers: list[Header] = field(default_factory=list)
    added: list[Header] = field(default_factory=list)
    removed: set[bytes] = field(default_factory=set)
    headers_off: bool = False
    headers_sent: bool = False
    body: bytearray = field(default_factory=bytearray)
    transformations: list[Transformation] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    logged: bool = True
    offload: bool = True
    size: int = 0
    duration: float = 0.0
    routed: int = 0  # chains that a rule ended with BREAK

    def get(self, name: bytes) -> bytes:
        """A variable of the request, empty without it."""
        return self.variables.get(name, b"")

    def set(self, name: bytes, value: bytes) -> None:
        """Set a variable of the request.

        Raises:
            RuleError: it is too long for the uwsgi block.
        """
        if len(value) > MAX_VALUE or len(name) > MAX_VALUE:
            text = name[:40].decode("latin-1")
            raise RuleError(f"{text} would have {len(value)} bytes, limit {MAX_VALUE}")
        self.variables[name] = value
        self.changed.add(name)
        self.touched.add(name)

    def send(self, data: bytes) -> None:
        """Put bytes into the body, before what the application sends (final chain: behind).

        Raises:
            RuleError: rules sent too much already.
        """
        if len(self.body) + len(data) > MAX_BODY:
            raise RuleError(f"rules send more than {MAX_BODY} bytes")
        self.body += data

    def set_status(self, status: int, reason: bytes) -> None:
        """The status that the response has from now on."""
        self.status = status
        self.reason = reason

    def begin_response(self, status: int, reason: bytes, headers: Iterable[Header]) -> None:
        """Take over the head of a response, without what rules removed."""
        self.status = status
        self.reason = reason
        removed = self.removed
        if removed:
            headers = (pair for pair in headers if pair[0].lower() not in removed)
        self.headers = list(headers)


@dataclass(slots=True)
class Scope:
    """What an action sees: the transaction, the world, and the groups of its rule's match.

    ``groups[0]`` is the whole match; empty for rules without a regular expression.
    """

    transaction: Transaction
    outside: Outside
    groups: tuple[bytes, ...] = ()
