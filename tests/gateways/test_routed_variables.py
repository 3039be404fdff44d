"""Variables of requests, taken apart once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.routed import variables
from uwgate.gateways.routed.variables import Variables
from uwgate.gateways.wire.uwsgi import PacketError, decode_block, encode_var

NAMES = st.sampled_from([b"A", b"B", b"REQUEST_METHOD", b"PATH_INFO", b"HTTP_HOST", b"C" * 300])
PAIRS = st.lists(st.tuples(NAMES, st.binary(max_size=300)), max_size=12)


def block_of(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(encode_var(*pair) for pair in pairs)


@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_they_are_those_of_the_block_whatever_was_read_before(requests: list[list]) -> None:  # type: ignore[type-arg]
    reader = Variables()
    blocks = [block_of(*pairs) for pairs in requests]
    read = [reader.read(block) for block in blocks + blocks]
    assert read == [dict(decode_block(block)) for block in blocks + blocks]


@given(PAIRS)
def test_their_order_is_that_of_the_block(pairs: list[tuple[bytes, bytes]]) -> None:
    block = block_of(*pairs)
    assert list(Variables().read(block)) == list(dict(decode_block(block)))


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_block_cut_short_is_refused_or_has_fewer(cut: int) -> None:
    pairs = [(b"%d" % number, b"value") for number in range(6)]
    block = block_of(*pairs)[:cut]
    try:
        expected: object = dict(decode_block(block))
    except PacketError:
        expected = PacketError
    try:
        found: object = Variables().read(block)
    except PacketError:
        found = PacketError
    assert found == expected


def test_a_variable_without_a_name_is_refused() -> None:
    with pytest.raises(PacketError):
        Variables().read(b"\0\0\1\0x" + block_of((b"A", b"b")))


def test_who_changes_them_changes_nothing_for_others() -> None:
    reader = Variables()
    block = block_of(*((b"%d" % number, b"value") for number in range(6)))
    reader.read(block)[b"5"] = b"changed"
    assert reader.read(block)[b"5"] == b"value"


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables, "MAX_KNOWN", 3)
    reader = Variables()
    for number in range(20):
        reader.read(block_of(*((b"%d" % one, b"%d" % number) for one in range(6))))
        assert len(reader._known) <= 3
    reader.read(block_of(*((b"%d" % one, b"x" * 1000) for one in range(9))))
    assert all(len(rest) <= variables.MAX_KNOWN_SIZE for rest in reader._known)
