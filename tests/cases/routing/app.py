"""The application of the routing cases: the mirror, and functions for rules to call."""

from __future__ import annotations

import uwsgi  # type: ignore[import-not-found,import-untyped,unused-ignore]  # of the server

from tests.routing.mirror import application

__all__ = ["application"]


def hello(*words: bytes) -> bytes:
    """A greeting of all words."""
    return b"hello " + b" ".join(words)


def nothing(*words: bytes) -> bytes:
    """An empty text, whatever the words are."""
    del words
    return b""


def steer(how: bytes) -> bytes:
    """What ``rpcret`` is to do: words joined by ``-``."""
    return how.replace(b"-", b" ")


def response(*words: bytes) -> bytes:
    """A whole response."""
    return b"HTTP/1.1 201 Made\r\nX-Raw: 1\r\n\r\n" + b" ".join(words)


uwsgi.register_rpc("hello", hello)
uwsgi.register_rpc("nothing", nothing)
uwsgi.register_rpc("steer", steer)
uwsgi.register_rpc("response", response)
