"""Messages that are JSON and nothing else (gateways/registry/{frames,mirror,book}.py)."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.conf.settings import Settings
from uwgate.gateways.registry.book import Book
from uwgate.gateways.registry.frames import Decoder, FrameError, encode
from uwgate.subscriptions.packet import Packet
from uwgate.subscriptions.packet import encode as datagram
from uwgate.subscriptions.state import rows

A = Packet(key="a", address="b:1")
TYPES = ("begin", "rows", "end", "packet", "gone", "health", "out", "marks", "counts")
FIELDS = (
    *("kind", "key", "node", "cause", "at", "until", "ejections", "health", "now", "packet"),
    *("sender", "sni", "rows", "marks", "accepted", "refused", "nodes", "algo", "paths"),
    *("out_until", "row", "trial", "weight", "address", "command", "unix"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", "b:1", "wrr", "expired", "unreachable", "", "\0v"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)
MESSAGES = st.tuples(
    st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
)


@given(st.lists(MESSAGES, max_size=5))
@settings(deadline=None)
def test_nonsense_is_an_error_and_leaves_a_table_that_works(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    book = Book("http", Settings(), None)
    book.hear(datagram(A), 0.0, 0.0, None)
    book.begin(newborn=True)
    for name, fields in told:
        (message,) = Decoder().feed(encode(name, **fields))
        for take in (book.follow, book.put_out, book.take_offer):
            with contextlib.suppress(FrameError):
                take(message, 1.0)
    for slot in list(book.table.slots.values()):
        node = slot.choose(2.0)
        if node is not None:
            book.table.release(node)
    list(rows(book.table, book.table.slots))
    book.advance(1000.0, expire=True)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_bytes_are_messages_or_an_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        for message in Decoder().feed(data):
            assert isinstance(message["type"], str)
