"""subscriptions/legion/packet.py and cipher.py, against what real uWSGI has sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.errors import ConfigError
from uwgate.gateways.wire.uwsgi import PacketError
from uwgate.subscriptions.legion.cipher import make_cipher
from uwgate.subscriptions.legion.packet import (
    MAX_VALOR,
    NOBODY,
    Announcement,
    decode,
    decode_plain,
    encode,
    encode_plain,
)
from uwgate.subscriptions.legion.refusal import Reason, Refused

CASES = Path(__file__).parent.parent.parent / "cases" / "legion"
CIPHERS = {
    line.partition(":")[0]: line for line in (CASES / "ciphers.txt").read_text().splitlines()
}
CAPTURED = sorted(path for path in CASES.iterdir() if path.stem in CIPHERS)
UUIDS = st.binary(min_size=36, max_size=36)
NUMBERS = st.integers(0, 2**63)
NAMES = st.binary(min_size=1, max_size=255)

announcements = st.builds(
    Announcement,
    legion=NAMES,
    valor=st.integers(0, MAX_VALOR),
    unix=NUMBERS,
    lord=NUMBERS,
    name=NAMES,
    pid=NUMBERS,
    uuid=UUIDS,
    checksum=NUMBERS,
    lord_valor=st.integers(0, MAX_VALOR),
    lord_uuid=UUIDS,
    scroll=st.binary(max_size=4096),
    dead=st.booleans(),
)
PLAIN = encode_plain(
    Announcement(legion=b"l", valor=7, unix=1, lord=0, name=b"n", pid=2, uuid=b"u" * 36)
)


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.name)
def test_a_captured_packet_comes_back_byte_for_byte(path: Path) -> None:
    cipher = make_cipher(CIPHERS[path.stem])
    datagram = path.read_bytes()
    assert encode(decode(datagram, cipher), cipher) == datagram


@pytest.mark.parametrize("name", CIPHERS)
def test_captured_packets_say_what_their_moment_was(name: str) -> None:
    cipher = make_cipher(CIPHERS[name])
    first = decode((CASES / f"{name}.first").read_bytes(), cipher)
    lord = decode((CASES / f"{name}.lord").read_bytes(), cipher)
    dead = decode((CASES / f"{name}.dead").read_bytes(), cipher)
    assert (first.checksum, first.lord, first.lord_uuid, first.dead) == (0, 0, NOBODY, False)
    assert lord.lord >= lord.unix - 1
    assert (lord.lord_valor, lord.lord_uuid) == (98, lord.uuid)
    assert lord.checksum == 98 + sum(lord.uuid)
    assert dead.dead
    assert {first.scroll, lord.scroll, dead.scroll} == {f"scroll of {name}".encode()}


@given(announcements)
def test_what_is_encoded_is_decoded(announcement: Announcement) -> None:
    cipher = make_cipher("aes-256-cbc:secret")
    assert decode(encode(announcement, cipher), cipher) == announcement


@given(st.binary(max_size=400))
def test_any_dictionary_is_an_announcement_or_refused(plaintext: bytes) -> None:
    with pytest.raises(Refused):
        decode_plain(plaintext)


@pytest.mark.parametrize("cut", range(len(PLAIN)))
def test_a_dictionary_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(Refused) as caught:
        decode_plain(PLAIN[:cut])
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("digits", [b"", b"-1", b"1x", b" 1", b"65536", b"9" * 30, "٣".encode()])
def test_a_valor_that_is_no_number_in_range_is_refused(digits: bytes) -> None:
    length = len(digits).to_bytes(2, "little")
    with pytest.raises(Refused, match="valor"):
        decode_plain(PLAIN + b"\x05\x00valor" + length + digits)


def test_unknown_keys_are_ignored_and_the_last_of_repeated_ones_counts() -> None:
    assert decode_plain(PLAIN + b"\x01\x00x\x00\x00\x05\x00valor\x01\x008").valor == 8


def test_an_announcement_that_does_not_fit_is_not_encoded() -> None:
    announcement = decode_plain(PLAIN + b"\x06\x00scroll\xf0\xff" + b"x" * 0xFFF0)
    with pytest.raises(PacketError, match="limit"):
        encode(announcement, make_cipher("aes-128-cbc:secret"))


def test_the_secret_is_the_key_and_the_iv_is_filled_up_with_zeros_of_text() -> None:
    cipher = make_cipher("aes-256-cbc:a:b the iv")
    assert cipher.key == b"a:b" + bytes(29)
    assert cipher.iv == b"the iv" + b"0" * 10
    assert cipher.is_padded_key


@pytest.mark.parametrize("text", ["idea-cbc:x", "aes-128-gcm:x", "aes-128-ctr:x", "rot13:x"])
def test_a_cipher_that_cannot_be_used_is_an_error_that_names_the_replacement(text: str) -> None:
    with pytest.raises(ConfigError, match="aes-256-cbc"):
        make_cipher(text)


@pytest.mark.parametrize("text", ["aes-128-cbc", "aes-128-cbc:", "aes-128-cbc: iv"])
def test_a_cipher_without_a_secret_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="CIPHER:SECRET"):
        make_cipher(text)


def test_a_cipher_that_the_library_has_dropped_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uwgate.subscriptions.legion.cipher.HOMES", ())
    with pytest.raises(ConfigError, match="no longer offers it; use aes-256-cbc"):
        make_cipher("bf-cbc:hello")
