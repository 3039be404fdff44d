"""subscriptions/legion/sealed.py and statement.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.packet import MAX_VALOR
from uwgate.subscriptions.legion.refusal import Reason, Refused
from uwgate.subscriptions.legion.sealed import (
    HEADER,
    MAX_PLAINTEXT,
    NONCE,
    SUITES,
    MasterKey,
    Opener,
    ReplayWindow,
    Sealer,
    derive,
    expand,
)
from uwgate.subscriptions.legion.statement import (
    MAX_HOLD,
    MAX_TERM,
    Grant,
    Statement,
    decode,
    encode,
)

OLD = MasterKey(b"old.", b"o" * 32)
NEW = MasterKey(b"new.", b"n" * 32)
SENDER = b"s" * 16
TERMS = st.integers(0, MAX_TERM)
UUIDS = st.binary(min_size=16, max_size=16)
SEQUENCES = st.integers(1, 2**64 - 1)

statements = st.builds(
    Statement,
    sender=UUIDS,
    sequence=SEQUENCES,
    name=st.binary(min_size=1, max_size=255),
    valor=st.integers(0, MAX_VALOR),
    hold=st.integers(0, MAX_HOLD),
    term=TERMS,
    claim=TERMS,
    acting=st.booleans(),
    freed=TERMS,
    wish=st.none() | UUIDS,
    grant=st.none() | st.builds(Grant, UUIDS, TERMS, SEQUENCES),
    quorate=st.booleans(),
    answer=st.booleans(),
    dead=st.booleans(),
    scroll=st.binary(max_size=200),
    echoes=st.lists(st.tuples(UUIDS, SEQUENCES), max_size=9).map(tuple),
)


@given(statements)
def test_what_is_said_is_understood(said: Statement) -> None:
    assert decode(said.sender, said.sequence, encode(said)) == said


@given(st.binary(max_size=300))
def test_any_sealed_dictionary_is_a_statement_or_refused(plaintext: bytes) -> None:
    with pytest.raises(Refused):
        decode(SENDER, 1, plaintext)


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_sealed_is_opened(suite: str) -> None:
    opened = Opener([NEW]).open(Sealer(NEW, SENDER, suite).seal(7, b"text"))
    assert (opened.sender, opened.sequence, opened.plaintext) == (SENDER, 7, b"text")


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("position", range(HEADER.size + 4 + 16))
def test_a_change_of_any_byte_breaks_the_seal(suite: str, position: int) -> None:
    datagram = bytearray(Sealer(NEW, SENDER, suite).seal(7, b"text"))
    datagram[position] ^= 1
    with pytest.raises(Refused):
        Opener([NEW]).open(bytes(datagram))


@pytest.mark.parametrize("cut", range(HEADER.size + 4 + 16))
def test_a_sealed_packet_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(Refused) as caught:
        Opener([NEW]).open(Sealer(NEW, SENDER, "aes-256-gcm").seal(7, b"text")[:cut])
    assert caught.value.reason is Reason.SHORT


def test_a_secret_is_replaced_in_three_steps_without_a_gap() -> None:
    old, new = (Sealer(key, SENDER, "aes-256-gcm") for key in (OLD, NEW))
    both = Opener([OLD, NEW])
    assert both.open(old.seal(1, b"")).sequence == 1
    assert both.open(new.seal(2, b"")).sequence == 2
    with pytest.raises(Refused) as caught:
        Opener([NEW]).open(old.seal(3, b""))
    assert caught.value.reason is Reason.UNKNOWN_KEY


def test_a_number_is_sealed_once_only() -> None:
    sealer = Sealer(NEW, SENDER, "chacha20-poly1305")
    sealer.seal(5, b"")
    with pytest.raises(ValueError, match="sequence number 5 after 5"):
        sealer.seal(5, b"")


def test_another_start_of_the_same_node_uses_another_key_under_the_same_nonces() -> None:
    first = Sealer(NEW, b"1" * 16, "aes-256-gcm").seal(1, b"same")
    second = Sealer(NEW, b"2" * 16, "aes-256-gcm").seal(1, b"same")
    assert first[HEADER.size :] != second[HEADER.size :]
    assert len({NEW.sender_key(sender, 1) for sender in (b"1" * 16, b"2" * 16)}) == 2
    assert NONCE.pack(1) == bytes(4) + b"\1" + bytes(7)


def test_suites_do_not_share_keys() -> None:
    assert NEW.sender_key(SENDER, 1) != NEW.sender_key(SENDER, 2)


def test_keys_depend_on_secret_and_legion_and_ids_come_from_the_key() -> None:
    keys = [derive(b"a", b"x"), derive(b"a", b"y"), derive(b"b", b"x"), derive(b"a", b"x")]
    assert len({key.key for key in keys}) == 3
    assert keys[0] == keys[3]
    assert keys[0].id == expand(keys[0].key, b"id", 4)


def test_the_longest_plaintext_fits_into_the_size_field_and_one_more_byte_does_not() -> None:
    sealer = Sealer(NEW, SENDER, "aes-256-gcm")
    assert len(Opener([NEW]).open(sealer.seal(1, bytes(MAX_PLAINTEXT))).plaintext) == MAX_PLAINTEXT
    with pytest.raises(ValueError, match="limit"):
        sealer.seal(2, bytes(MAX_PLAINTEXT + 1))


@pytest.mark.parametrize("masters", [[], [NEW, NEW], [NEW] * 5])
def test_no_secret_or_the_same_twice_is_an_error(masters: list[MasterKey]) -> None:
    with pytest.raises(ConfigError):
        Opener(masters)


@given(st.lists(st.integers(1, 200), max_size=200))
def test_a_window_admits_exactly_the_numbers_above_all_before(numbers: list[int]) -> None:
    window = ReplayWindow()
    admitted = [number for number in numbers if window.admit(number) is None]
    assert admitted == [n for i, n in enumerate(numbers) if n > max(numbers[:i], default=0)]


def test_a_window_tells_a_late_packet_from_a_repeated_one() -> None:
    window = ReplayWindow()
    assert window.admit(70) is None
    assert [window.admit(n) for n in (70, 69, 69, 7, 6)] == [
        Reason.REPLAYED,
        Reason.OVERTAKEN,
        Reason.REPLAYED,
        Reason.OVERTAKEN,
        Reason.REPLAYED,  # 64 below the highest: too long ago to know
    ]
