"""What a session of the rawrouter or sslrouter can be waiting for."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """It decides what a time-out means."""

    HANDSHAKE = "the client's TLS handshake"
    HELLO = "the client's first TLS message"
    CHOICE = "a backend to be chosen"
    CONNECT = "the backend to accept"
    BANNER = "the backend's first line"
    RELAY = "bytes either way"
    LINGER = "the rest of what was sent to be read"
    REFUSED = "the client to go"
    CLOSED = "nothing"


# The client has said nothing that anybody else would know of.
UNHEARD = frozenset((State.HANDSHAKE, State.HELLO))
