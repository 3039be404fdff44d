"""Signed announcements (subscriptions/signature.py), in both directions with uWSGI 2.0.31."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.packet import MICROS, Command, Packet, decode
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.signature import (
    SCHEMES,
    PrivateKey,
    PublicKey,
    Scheme,
    Signer,
    Verifier,
    load_private_key,
    load_public_key,
    scheme_named,
)

from .cases import FOLDER, captured

NOW = 1_795_270_000.0
SUBSCRIBE = Packet(key="foo.com", address="10.0.0.1:99", cores=1)
UNSUBSCRIBE = replace(SUBSCRIBE, command=Command.UNSUBSCRIBE)
RSA_CAPTURES = {
    "signed-sha1": "SHA1",
    "signed-sha256": "SHA256",
    "signed-sha512": "SHA512",
    "signed-everything": "SHA256",
}
COMMANDS = ("subscribe", "unsubscribe")
PEM = (FOLDER / "rsa.pem").read_bytes()

ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = load_private_key(PEM, SCHEMES["SHA256"])
KEYS: dict[str, PrivateKey] = {"ED25519": ED25519, "RSA-PSS-SHA256": RSA, "SHA256": RSA}

# spec/subscriptions.md section 2.3, T4: captured elsewhere, with another key.
T4 = bytes.fromhex(
    "e07d010003006b65790800732e636f6d3a38300700616464726573730f003132"
    "372e302e302e313a343330333209006d6f6469666965723101003009006d6f64"
    "6966696572320100300500636f72657301003104006c6f616401003006007765"
    "696768740100300400756e69780a003137393532303834343804007369676e00"
    "013688cb72b3629813049427f91c7f9361cfa702b56e1f449b08e3bec4df4ba3"
    "88a1d2e19f202837430be0235d9d217f301ba6d6024f3c02ac21122aed40b018"
    "91a0c11cb754f606145079adcce0f9650aab48f74b063ab6fd6408afdd46a468"
    "feeb543f3ead70bddd8b92aac01e58e7dcfc4b4df95ad5915df170992b7bf48a"
    "b99e54d376df743503bb7e619085b63c32baf0f59d104c4664183ef02647feaf"
    "652c26c69d81d8910fea955778cd160f459971c1d1dd2a35e0e397ff44a26f06"
    "f0a6dd46be8f91c6bdcd1ff79ad452dfd88f895f7c0080066cfc3a0a3b4c9ed0"
    "a81aa9d6273948003cb1990643e18bae845d16a03190bbe152788de6ee6e2d14"
    "63"
)
T4_KEY = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlftDdUjVSMSDCtI4CqmA
o95jbjv4BhmQsKLS6OX6InJn0QrvrROGvz/b7CHkIZ9zyWGjydpKaxmFySRho19y
YCSaWOgcKzbH7Iitg7rJ8wObbS8DvGigZHc2stO6/XU8bIQ4HTNYDh12S9qWWP5R
myiL5Omqn6MUHvdLrwVGduaT7cBkoMa2jgEya4sAb/Rbi3kAs/OsIuay5xpznW9O
FEGl1ygcL2y9+9wxuH3B6PpUVgex8n7Qbu7fiRvzsUQpx5+9XAyheHbx8/he6Nxf
BbBv36QEOSOGnL9nyvvSJo8Y409+wlqXgM79G8RZUMApJzDmJMT3xwgQLE/n4oc0
mQIDAQAB
-----END PUBLIC KEY-----
"""


def public_pem(key: object) -> bytes:
    assert isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def verifier(
    scheme: str,
    pem: bytes | None = None,
    *,
    tolerance: float = 86400.0,
    ahead: float = 60.0,
    max_marks: int = 1000,
) -> Verifier:
    public = load_public_key(pem or public_pem(KEYS[scheme]), SCHEMES[scheme])
    return Verifier(
        SCHEMES[scheme], lambda _: public, tolerance=tolerance, ahead=ahead, max_marks=max_marks
    )


def signed(packet: Packet, now: float = NOW, scheme: str = "ED25519") -> bytes:
    return Signer(SCHEMES[scheme], KEYS[scheme]).sign(packet, now)


def accepts(door: Verifier, datagram: bytes, now: float = NOW) -> Refusal | None:
    """Why a datagram is refused; None if it passes."""
    try:
        door.verify(datagram, decode(datagram), now)
    except Refused as refused:
        return refused.reason
    return None


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", RSA_CAPTURES)
def test_rsa_signatures_are_those_of_uwsgi_byte_by_byte(name: str, command: str) -> None:
    datagram = captured(f"{name}.{command}")
    packet = decode(datagram)
    assert packet.unix is not None
    scheme = SCHEMES[RSA_CAPTURES[name]]
    signer = Signer(scheme, load_private_key(PEM, scheme))
    unsigned = replace(packet, unix=None, signature=b"")
    assert signer.sign(unsigned, packet.unix - packet.command + 0.7) == datagram


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "scheme", "pem"),
    [(name, scheme, "rsa.pub.pem") for name, scheme in RSA_CAPTURES.items()]
    + [("signed-ec-sha256", "SHA256", "ec.pub.pem")],
)
def test_what_uwsgi_signed_is_accepted(name: str, scheme: str, pem: str, command: str) -> None:
    datagram = captured(f"{name}.{command}")
    door = verifier(scheme, (FOLDER / pem).read_bytes())
    assert accepts(door, datagram, float(decode(datagram).unix or 0)) is None


def test_a_packet_captured_elsewhere_is_accepted_with_its_own_key_only() -> None:
    assert accepts(verifier("SHA256", T4_KEY), T4, 1795208448.0) is None
    assert accepts(verifier("SHA256"), T4, 1795208448.0) is Refusal.BAD_SIGNATURE
    assert accepts(verifier("SHA1", T4_KEY), T4, 1795208448.0) is Refusal.BAD_SIGNATURE


def test_a_signature_of_ours_by_an_elliptic_curve_is_valid() -> None:
    scheme = SCHEMES["SHA256"]
    key = load_private_key((FOLDER / "ec.pem").read_bytes(), scheme)
    datagram = Signer(scheme, key).sign(SUBSCRIBE, NOW)
    assert accepts(verifier("SHA256", (FOLDER / "ec.pub.pem").read_bytes()), datagram) is None


@pytest.mark.parametrize("scheme", KEYS)
def test_what_we_sign_is_accepted(scheme: str) -> None:
    assert accepts(verifier(scheme), signed(SUBSCRIBE, NOW, scheme)) is None


def test_a_dsa_key_signs_with_a_digest() -> None:
    key = dsa.generate_private_key(1024)
    datagram = Signer(SCHEMES["SHA256"], key).sign(SUBSCRIBE, NOW)
    door = Verifier(SCHEMES["SHA256"], lambda _: key.public_key())
    assert accepts(door, datagram) is None


def test_a_key_of_the_wrong_type_verifies_nothing() -> None:
    door = Verifier(SCHEMES["ED25519"], lambda _: dsa.generate_private_key(1024).public_key())
    assert accepts(door, signed(SUBSCRIBE)) is Refusal.BAD_SIGNATURE


def test_a_digest_that_does_not_fit_into_the_key_is_an_error() -> None:
    class Huge(hashes.SHA512):
        name = "sha3-no-such"

    with pytest.raises(ConfigError, match="cannot sign with HUGE and this key"):
        Signer(Scheme("HUGE", Huge()), RSA).sign(SUBSCRIBE, NOW)


@pytest.mark.parametrize("scheme", KEYS)
def test_a_changed_byte_of_what_is_signed_is_noticed(scheme: str) -> None:
    datagram = signed(SUBSCRIBE, NOW, scheme).replace(b"10.0.0.1:99", b"10.0.0.9:99")
    assert accepts(verifier(scheme), datagram) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("scheme", ["ED25519", "RSA-PSS-SHA256"])
def test_our_signatures_are_for_the_command_too(scheme: str) -> None:
    datagram = bytearray(signed(SUBSCRIBE, NOW, scheme))
    datagram[3] = Command.UNSUBSCRIBE
    assert accepts(verifier(scheme), bytes(datagram)) is Refusal.BAD_SIGNATURE


def test_a_flipped_command_of_uwsgi_is_refused_once_the_packet_was_seen() -> None:
    datagram = bytearray(signed(SUBSCRIBE, NOW, "SHA256"))
    door = verifier("SHA256")
    assert accepts(door, bytes(datagram)) is None
    datagram[3] = Command.UNSUBSCRIBE
    assert accepts(door, bytes(datagram)) is Refusal.REPLAYED


@pytest.mark.parametrize("scheme", KEYS)
def test_a_packet_is_accepted_once(scheme: str) -> None:
    door = verifier(scheme)
    datagram = signed(SUBSCRIBE, NOW, scheme)
    assert accepts(door, datagram) is None
    assert accepts(door, datagram) is Refusal.REPLAYED


@pytest.mark.parametrize("scheme", KEYS)
def test_an_older_packet_is_refused_behind_a_newer_one(scheme: str) -> None:
    door = verifier(scheme)
    assert accepts(door, signed(SUBSCRIBE, NOW, scheme)) is None
    assert accepts(door, signed(SUBSCRIBE, NOW - 5, scheme)) is Refusal.REPLAYED


def test_the_mark_stays_when_the_node_went() -> None:
    door = verifier("SHA256")
    first = signed(SUBSCRIBE, NOW, "SHA256")
    assert accepts(door, first) is None
    assert accepts(door, signed(UNSUBSCRIBE, NOW, "SHA256")) is None
    assert accepts(door, first) is Refusal.REPLAYED


def test_an_unsubscribe_in_the_second_of_a_subscribe_is_newer() -> None:
    datagram = signed(UNSUBSCRIBE, NOW + 0.9, "SHA256")
    assert decode(datagram).unix == NOW + 1
    assert accepts(verifier("SHA256", ahead=0.0), datagram, NOW + 0.9) is None


def test_with_microseconds_a_node_may_come_back_within_a_second() -> None:
    door = verifier("ED25519")
    for tenth, packet in enumerate([SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]):
        assert accepts(door, signed(packet, NOW + tenth / 10)) is None


def test_marks_are_kept_for_each_key_and_address() -> None:
    door = verifier("ED25519")
    for packet in [
        SUBSCRIBE,
        replace(SUBSCRIBE, key="bar.com"),
        replace(SUBSCRIBE, address="10.0.0.2:99"),
    ]:
        assert accepts(door, signed(packet)) is None


def test_a_packet_older_than_the_tolerance_is_refused() -> None:
    door = verifier("ED25519", tolerance=30.0)
    assert accepts(door, signed(SUBSCRIBE, NOW - 31)) is Refusal.EXPIRED
    assert accepts(door, signed(SUBSCRIBE, NOW - 30)) is None


def test_a_packet_from_the_future_is_refused() -> None:
    door = verifier("ED25519", ahead=30.0)
    assert accepts(door, signed(SUBSCRIBE, NOW + 31)) is Refusal.FUTURE
    assert accepts(door, signed(SUBSCRIBE, NOW + 30)) is None


def test_a_packet_without_signature_or_time_is_refused() -> None:
    door = verifier("ED25519")
    assert accepts(door, captured("subscribe2.subscribe")) is Refusal.UNSIGNED
    assert SUBSCRIBE.unix is None
    with pytest.raises(Refused) as caught:
        door.verify(b"", replace(SUBSCRIBE, signature=b"s"), NOW)
    assert caught.value.reason is Refusal.UNSIGNED


def test_a_forged_packet_leaves_no_mark() -> None:
    door = verifier("ED25519")
    forged = bytearray(signed(SUBSCRIBE, NOW + 20))
    forged[-1] ^= 1
    assert accepts(door, bytes(forged)) is Refusal.BAD_SIGNATURE
    assert door.marks() == []
    assert accepts(door, signed(SUBSCRIBE)) is None


def test_old_and_used_times_are_refused_without_a_look_at_a_key() -> None:
    def no_key(name: str) -> PublicKey:
        raise AssertionError(name)

    door = Verifier(SCHEMES["ED25519"], no_key)
    door.take_over([("foo.com", "10.0.0.1:99", int(NOW) * MICROS)])
    assert accepts(door, signed(SUBSCRIBE)) is Refusal.REPLAYED
    assert accepts(door, signed(SUBSCRIBE, NOW - 90000)) is Refusal.EXPIRED


def test_marks_that_protect_nothing_any_more_are_dropped() -> None:
    door = verifier("ED25519", tolerance=30.0)
    accepts(door, signed(SUBSCRIBE))
    later = replace(SUBSCRIBE, address="10.0.0.2:99")
    assert accepts(door, signed(later, NOW + 31), NOW + 31) is None
    assert [address for _, address, _ in door.marks()] == ["10.0.0.2:99"]


def test_the_number_of_marks_is_bounded_and_known_nodes_go_on() -> None:
    door = verifier("ED25519", max_marks=1)
    assert accepts(door, signed(SUBSCRIBE)) is None
    other = replace(SUBSCRIBE, key="bar.com")
    assert accepts(door, signed(other)) is Refusal.FULL
    assert accepts(door, signed(SUBSCRIBE, NOW + 1)) is None


def test_who_takes_over_knows_what_was_used() -> None:
    old, new = verifier("ED25519"), verifier("ED25519")
    datagram = signed(SUBSCRIBE)
    accepts(old, datagram)
    new.take_over(old.marks())
    assert accepts(new, datagram) is Refusal.REPLAYED


def test_marks_that_are_taken_over_are_bounded_too() -> None:
    door = verifier("ED25519", max_marks=1)
    door.take_over([("a", "1", 5), ("b", "1", 5), ("a", "1", 6)])
    assert door.marks() == [("a", "1", 6)]


def test_a_newer_mark_is_not_replaced_by_an_older_one() -> None:
    door = verifier("ED25519")
    accepts(door, signed(SUBSCRIBE))
    door.take_over([("foo.com", "10.0.0.1:99", 1)])
    assert accepts(door, signed(SUBSCRIBE)) is Refusal.REPLAYED


@pytest.mark.parametrize(
    ("text", "name"),
    [("sha256", "SHA256"), ("SHA-512", "SHA512"), ("ed25519", "ED25519")],
)
def test_a_scheme_is_found_in_any_case(text: str, name: str) -> None:
    assert scheme_named(text).name == name


def test_an_unknown_scheme_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'SHA3' is not one of: ED25519, RSA-PSS-SHA256, MD5"):
        scheme_named("SHA3")


@pytest.mark.parametrize("scheme", ["ED25519", "RSA-PSS-SHA256"])
def test_a_key_of_another_type_does_not_fit(scheme: str) -> None:
    pem = ec.generate_private_key(ec.SECP256R1())
    public = pem.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(ConfigError, match="of 256 bits does not fit"):
        load_public_key(public, SCHEMES[scheme])
    with pytest.raises(ConfigError, match="of 256 bits does not fit"):
        load_private_key((FOLDER / "ec.pem").read_bytes(), SCHEMES[scheme])


def test_an_ed25519_key_does_not_fit_a_digest() -> None:
    with pytest.raises(ConfigError, match="does not fit SHA256"):
        load_public_key(public_pem(ED25519), SCHEMES["SHA256"])


@pytest.mark.parametrize("load", [load_private_key, load_public_key])
def test_a_file_without_a_key_is_an_error(load: object) -> None:
    assert callable(load)
    with pytest.raises(ConfigError, match=r"no p.* key"):
        load(b"hello", Scheme("x", None))
