"""The prefix of stud (gateways/wire/stud.py)."""

from __future__ import annotations

import pytest

from uwgate.gateways.wire.stud import StudError, decode

V4 = b"\x02\xcb\x00\x71\x07"
V6 = b"\x0a\x20\x01\x0d\xb8" + bytes(11) + b"\x01"


def test_the_prefix_is_a_family_and_an_address() -> None:
    assert decode(V4 + b"GET /") == ("203.0.113.7", 5)
    assert decode(V6 + b"GET /") == ("2001:db8::1", 17)


@pytest.mark.parametrize("data", [V4, V6])
def test_a_prefix_cut_short_anywhere_asks_for_more(data: bytes) -> None:
    assert [decode(data[:cut]) for cut in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize("data", [b"\x00", b"GET / HTTP/1.1", b"\x16\x03"])
def test_another_first_byte_is_refused(data: bytes) -> None:
    with pytest.raises(StudError):
        decode(data)
