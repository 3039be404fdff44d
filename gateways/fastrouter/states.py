"""What a session of the fastrouter can be waiting for."""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """It decides what a time-out means."""

    HEAD = "a uwsgi packet"
    BODY = "the rest of the body"
    CHOICE = "a backend to be chosen"
    CONNECT = "the backend to accept"
    ANSWER = "the backend's answer"
    RELAY = "bytes either way"
    LINGER = "the client to go"
    CLOSED = "nothing"


# By themselves: to look a member up in its class takes Python 3.11 three times as long.
HEAD: Final = State.HEAD
BODY: Final = State.BODY
CHOICE: Final = State.CHOICE
CONNECT: Final = State.CONNECT
ANSWER: Final = State.ANSWER
RELAY: Final = State.RELAY
LINGER: Final = State.LINGER
CLOSED: Final = State.CLOSED
