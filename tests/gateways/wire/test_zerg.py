"""The message of a zerg server."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.gateways.wire.zerg import MAX_SOCKETS, SIZE, decode, encode


def test_a_message_is_what_uwsgi_sends() -> None:
    assert encode(3) == b"uwsgi-zerg" + (3).to_bytes(4, "little")


@pytest.mark.parametrize("count", [1, 8, MAX_SOCKETS])
def test_what_is_encoded_is_decoded(count: int) -> None:
    assert decode(encode(count)) == count


@pytest.mark.parametrize("cut", range(SIZE))
def test_a_message_cut_short_anywhere_asks_for_more(cut: int) -> None:
    assert decode(encode(7)[:cut]) is None


@pytest.mark.parametrize("data", [b"HTTP/1.1 400", b"uwsgi-zorg\1\0\0\0", b"\0"])
def test_another_code_is_refused_at_the_first_byte_that_differs(data: bytes) -> None:
    with pytest.raises(ConfigError, match="not a zerg server: it begins with"):
        decode(data)


@pytest.mark.parametrize("count", [0, -1, 254, 1 << 30])
def test_a_number_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"it announces {count} sockets, expected 1 to 253"):
        decode(b"uwsgi-zerg" + count.to_bytes(4, "little", signed=True))


def test_bytes_behind_the_message_are_refused() -> None:
    with pytest.raises(ConfigError, match="15 bytes or more, a zerg server says 14"):
        decode(encode(1) + b"x")
