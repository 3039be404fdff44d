"""What a rule that is a Python function sees of a request.

All texts are UTF-8; bytes that are none are kept as surrogates.
"""

from __future__ import annotations

from uwgate.routing.transaction import Transaction


class Request:
    """What a function sees of a request: a copy, which changes nothing when it is changed.

    ``status`` and ``response_headers`` are those of the response as far as it is known: 0 and
    nothing in the rules of the request.
    """

    __slots__ = ("_variables", "response_headers", "status")

    def __init__(self, transaction: Transaction, *, responding: bool) -> None:
        self._variables = dict(transaction.variables)
        self.status = transaction.status if responding else 0
        self.response_headers: tuple[tuple[str, str], ...] = ()
        if responding:
            self.response_headers = tuple(
                (text_of(name), text_of(value)) for name, value in transaction.headers
            )

    @property
    def method(self) -> str:
        """REQUEST_METHOD."""
        return self.variable("REQUEST_METHOD")

    @property
    def path(self) -> str:
        """PATH_INFO: decoded, without the query."""
        return self.variable("PATH_INFO")

    @property
    def query(self) -> str:
        """QUERY_STRING, as sent."""
        return self.variable("QUERY_STRING")

    @property
    def host(self) -> str:
        """The Host header."""
        return self.variable("HTTP_HOST")

    @property
    def remote_address(self) -> str:
        """REMOTE_ADDR."""
        return self.variable("REMOTE_ADDR")

    @property
    def user(self) -> str:
        """REMOTE_USER; empty if nobody has logged in."""
        return self.variable("REMOTE_USER")

    def header(self, name: str) -> str:
        """A header of the request, empty without it."""
        key = name.upper().replace("-", "_")
        return self.variable(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")

    def variable(self, name: str) -> str:
        """A variable as CGI names them, empty without it."""
        return text_of(self._variables.get(bytes_of(name), b""))

    def variables(self) -> dict[str, str]:
        """All of them."""
        return {text_of(name): text_of(value) for name, value in self._variables.items()}


def text_of(data: bytes) -> str:
    """Bytes as functions see them."""
    return data.decode(errors="surrogateescape")


def bytes_of(text: str) -> bytes:
    """The same the other way round.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    return text.encode(errors="surrogateescape")
