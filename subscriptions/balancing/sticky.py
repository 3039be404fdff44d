"""Sticky sessions: a cookie that names the node without giving its address away."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from uwgate.subscriptions.node import Node

LENGTH = 16  # bytes of the digest; nobody finds another node's value by trying
MIN_SECRET = 16  # bytes
MAX_KNOWN = 100_000  # values that are remembered


class StickyCookies:
    """Makes and reads cookie values.

    A value is the keyed hash of key and address (BLAKE2, RFC 7693), so it is the same in every
    process with the same secret, and worth nothing for another key.

    Raises:
        ValueError: the secret is too short.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET:
            raise ValueError(f"secret of {len(secret)} bytes, expected at least {MIN_SECRET}")
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._values: dict[tuple[str, str], str] = {}

    def value(self, node: Node) -> str:
        """The cookie that leads back to a node: 32 hexadecimal digits."""
        owner = (node.key, node.address)
        value = self._values.get(owner)
        if value is None:
            text = f"{node.key}\0{node.address}".encode()
            value = hashlib.blake2b(text, key=self._secret, digest_size=LENGTH).hexdigest()
            if len(self._values) >= MAX_KNOWN:
                self._values.clear()
            self._values[owner] = value
        return value

    def find(self, value: str, nodes: Iterable[Node]) -> Node | None:
        """The node that a client's cookie names; None if it is not among these."""
        if len(value) != 2 * LENGTH or not value.isascii():
            return None
        for node in nodes:
            if hmac.compare_digest(self.value(node), value):
                return node
        return None
