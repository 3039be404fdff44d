"""The door of a subscription server (subscriptions/admission.py, keyring.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uwgate.subscriptions import keyring
from uwgate.subscriptions.admission import Admission, Credentials, owner_of_file
from uwgate.subscriptions.keyring import KeyFolder, file_name
from uwgate.subscriptions.packet import Packet, decode, encode
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.signature import SCHEMES, Verifier

from .cases import FOLDER, captured

DATAGRAM = captured("subscribe2.subscribe")
SIGNED = captured("signed-sha256.subscribe")
SIGNED_AT = float(decode(SIGNED).unix or 0)
ALICE = Credentials(pid=7, uid=1000, gid=100)


def refusal(door: Admission, datagram: bytes, sender: Credentials | None = None) -> Refusal:
    with pytest.raises(Refused) as caught:
        door.admit(datagram, SIGNED_AT, sender)
    assert door.refused[caught.value.reason] == 1
    assert door.accepted == 0
    return caught.value.reason


def owned(**owners: tuple[int, int]) -> Admission:
    """A door that knows these files below /keys/."""
    files = {f"/keys/{name}": owner for name, owner in owners.items()}
    return Admission(prefixes=["/none/", "/keys/"], owner=files.get)


def signing_door(folder: Path, *skip_uids: int) -> Admission:
    scheme = SCHEMES["SHA256"]
    return Admission(verifier=Verifier(scheme, KeyFolder(str(folder), scheme)), skip_uids=skip_uids)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "foo.com.pem").write_bytes((FOLDER / "rsa.pub.pem").read_bytes())
    return tmp_path


def test_without_rules_every_good_packet_passes() -> None:
    door = Admission()
    assert door.admit(DATAGRAM, 0.0).key == "foo.com"
    assert door.accepted == 1


def test_what_is_refused_is_counted_by_reason() -> None:
    assert refusal(Admission(), b"junk") is Refusal.MALFORMED


def test_the_owner_of_the_file_may_announce_the_name() -> None:
    door = owned(**{"foo.com": (1000, 100)})
    assert door.admit(DATAGRAM, 0.0, ALICE).key == "foo.com"


@pytest.mark.parametrize("owner", [(1001, 100), (1000, 101)])
def test_nobody_else_may(owner: tuple[int, int]) -> None:
    assert refusal(owned(**{"foo.com": owner}), DATAGRAM, ALICE) is Refusal.CREDENTIALS


def test_a_sender_without_credentials_may_not() -> None:
    assert refusal(owned(**{"foo.com": (1000, 100)}), DATAGRAM) is Refusal.CREDENTIALS


def test_an_unsubscribe_needs_credentials_too() -> None:
    door = owned(**{"foo.com": (1001, 100)})
    assert refusal(door, captured("subscribe2.unsubscribe"), ALICE) is Refusal.CREDENTIALS


def test_a_name_does_not_lead_out_of_the_folder() -> None:
    door = Admission(prefixes=["/keys/"], owner=lambda _: (1000, 100))
    datagram = encode(Packet(key="../home/alice/x", address="a:1"))
    assert refusal(door, datagram, ALICE) is Refusal.CREDENTIALS


def test_the_owner_of_a_real_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "foo.com"
    path.touch()
    assert owner_of_file(str(path)) == (os.geteuid(), path.stat().st_gid)
    assert owner_of_file(str(tmp_path / "bar.com")) is None
    assert owner_of_file("nul\0byte") is None


def test_a_vassal_can_be_required() -> None:
    assert refusal(Admission(vassal_required=True), DATAGRAM) is Refusal.VASSAL
    datagram = encode(Packet(key="k", vassal="v.ini"))
    assert Admission(vassal_required=True).admit(datagram, 0.0).vassal == "v.ini"


def test_the_folder_of_keys_decides_who_may_sign(keys: Path) -> None:
    assert signing_door(keys).admit(SIGNED, SIGNED_AT).key == "foo.com"


def test_a_name_without_a_key_file_is_refused(tmp_path: Path) -> None:
    assert refusal(signing_door(tmp_path), SIGNED) is Refusal.NO_PUBLIC_KEY


def test_a_file_without_a_key_is_refused(keys: Path) -> None:
    (keys / "foo.com.pem").write_text("no key")
    assert refusal(signing_door(keys), SIGNED) is Refusal.NO_PUBLIC_KEY


def test_a_key_file_that_changed_is_read_again(keys: Path) -> None:
    folder = KeyFolder(str(keys), SCHEMES["SHA256"])
    first = folder("foo.com")
    assert folder("foo.com") is first
    (keys / "foo.com.pem").write_bytes((FOLDER / "ec.pub.pem").read_bytes())
    assert folder("foo.com") is not first


def test_keys_that_are_remembered_have_a_bound(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "MAX_CACHED", 0)
    folder = KeyFolder(str(keys), SCHEMES["SHA256"])
    assert folder("foo.com") is not folder("foo.com")


def test_some_users_need_no_signature(keys: Path) -> None:
    assert signing_door(keys, 1000).admit(DATAGRAM, 0.0, ALICE).key == "foo.com"
    assert refusal(signing_door(keys, 1001), DATAGRAM, ALICE) is Refusal.UNSIGNED


def test_root_is_never_excused(keys: Path) -> None:
    root = Credentials(pid=1, uid=0, gid=0)
    assert refusal(signing_door(keys, 0), DATAGRAM, root) is Refusal.UNSIGNED


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("k.com:8000", "k.com_8000.pem"),
        ("a-b_c.D", "a-b_c.D.pem"),
        ("../x", "...pem"),
        ("k.com/shop", "k.com.pem"),
        ("é.com", "__.com.pem"),
    ],
)
def test_every_byte_that_is_unsafe_in_a_file_name_is_replaced(key: str, name: str) -> None:
    assert file_name(key) == name


def test_a_name_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        KeyFolder(str(tmp_path), SCHEMES["SHA256"])("k" * 255)
