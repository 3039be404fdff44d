"""``uwsgi.rpc``, ``register_rpc`` and the like: what applications do with functions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from uwgate.workers.backend import PATIENCE
from uwgate.workers.rpc import Functions, RpcError, call_remote

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings


class RpcCalls:
    """A part of the module ``uwsgi``."""

    functions: Functions
    _timeout: float

    def use_functions(self, settings: Settings) -> None:
        """Begin without any."""
        self.functions = Functions()
        self._timeout = settings.workers.socket_timeout or PATIENCE

    def register_rpc(
        self, name: str | bytes, function: Callable[..., object], count: int = 0
    ) -> bool:
        """Let rules and ``call`` call a function by name; ``count`` arguments, 0: any number.

        Arguments are bytes; so is the result, or a str.

        Raises:
            ValueError: it cannot be called.
        """
        self.functions.register(_bytes(name), function, count or None)
        return True

    def rpc_list(self) -> tuple[bytes, ...]:
        """The names of what ``register_rpc`` registered in this process."""
        return self.functions.names()

    def rpc(self, node: str | bytes | None, name: str | bytes, *arguments: str | bytes) -> bytes:
        """Call a function of another instance, or with an empty ``node`` of this process.

        Raises:
            ValueError: it does not exist, or failed.
        """
        values = [_bytes(one) for one in arguments]
        try:
            if node:
                return call_remote(_text(node), _bytes(name), values, self._timeout)
            return self.functions.call(_bytes(name), values)
        except RpcError as error:
            raise ValueError(f"unable to call rpc function {_text(name)}: {error}") from error

    def call(self, name: str | bytes, *arguments: str | bytes) -> bytes:
        """``rpc`` for ``function`` or ``function@node``.

        Raises:
            ValueError: as there.
        """
        function, _, node = _bytes(name).partition(b"@")
        return self.rpc(node, function, *arguments)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
