"""What a client connection of the HTTP gateway can be waiting for."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """What a session waits for; it decides what a time-out means."""

    PROXY = "a PROXY header or stud prefix"
    HANDSHAKE = "the TLS handshake"
    IDLE = "the next request"
    HEAD = "the rest of a request head"
    BACKEND = "the backend's answer"
    BODY = "the rest of the request's body"
    RESPONSE = "the client to take the response"
    TUNNEL = "bytes in a tunnel"
    LINGER = "the client to go"
    CLOSED = "nothing"


STATUS_OF_TIMEOUT = {State.HEAD: 408, State.BODY: 408, State.BACKEND: 504}
