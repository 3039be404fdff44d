"""What a node says (subscriptions/announcement.py), against what uWSGI 2.0.31 says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.groups.subscribe import SubscribeOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.pair import Place
from uwgate.conf.settings import Settings
from uwgate.subscriptions.announcement import Announcement, check, compose, read_signer, values
from uwgate.subscriptions.packet import Command, decode

from .cases import FOLDER, captured

NODE = "127.0.0.1:43031"
SHARED = "127.0.0.1:43032"
EVERYTHING = (
    "key=foo.com:8000,addr=10.0.0.1:99,modifier1=5,modifier2=2,weight=3,"
    "sni_key=/tls/k.pem,sni_crt=/tls/c.pem,sni_ca=!/tls/a.pem"
)
UDP = "127.0.0.1:4040"
# name of the capture, options as tests/cases/subscriptions/capture.py gave them to uWSGI
SENT: dict[str, dict[str, Any]] = {
    "subscribe2": {"subscribe2": (f"server={UDP},key=foo.com",)},
    "subscribe2-unix": {"subscribe2": ("server=/run/s,key=foo.com",)},
    "subscribe-to": {"subscribe_to": (f"{UDP}:foo.com",)},
    "subscribe-to-modifier": {"subscribe_to": (f"{UDP}:foo.com:8000,5",)},
    "subscribe-to-unix": {"subscribe_to": ("/run/s:foo.com,5",)},
    "subscribe-to-local": {"subscribe_to": (f"/run/node.sock={UDP}:foo.com",)},
    "everything": {"subscribe2": (f"server={UDP},{EVERYTHING}",)},
    "escaped": {"subscribe2": (f"server={UDP},key=a\\,b",)},
    "weighted": {"weight": 7, "subscribe_to": (f"{UDP}:foo.com",)},
    "auto-weight": {"auto_weight": True, "subscribe2": (f"server={UDP},key=foo.com",)},
    "shared-socket": {"subscribe_to": (f"=0={UDP}:foo.com",)},
    "with-modifier1": {
        "subscribe_with_modifier1": 9,
        "subscribe2": (f"server={UDP},key=foo.com,modifier1=3,modifier2=4",),
    },
    "signed-sha1": {"subscribe_to": (f"{UDP}:foo.com,0,SHA1:rsa.pem",)},
    "signed-sha256": {"subscribe_to": (f"{UDP}:foo.com,0,SHA256:rsa.pem",)},
    "signed-sha512": {"subscribe2": ("server=/run/s,key=foo.com,sign=SHA512:rsa.pem",)},
    "signed-everything": {"subscribe2": (f"server={UDP},sign=SHA256:rsa.pem,{EVERYTHING}",)},
}


def settings_of(*, processes: int = 1, threads: int = 1, **subscribe: Any) -> Settings:
    return Settings(
        subscribe=SubscribeOptions(**subscribe),
        workers=WorkerOptions(processes=processes, threads=threads),
        application=ApplicationOptions(chdir=str(FOLDER)),
    )


def announced(settings: Settings, *, notify: str = "") -> Announcement:
    """The announcement of the first value."""
    value = next(values(settings.subscribe))
    signer = read_signer(value, settings.application.chdir)
    own = NODE if value.subscription.shared_socket is None else SHARED
    return compose(value, settings, value.subscription.address or own, notify, signer)


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize("name", SENT)
def test_the_same_options_make_the_same_bytes_as_those_of_uwsgi(
    name: str, command: Command
) -> None:
    processes, threads = (2, 3) if name in ("subscribe2", "auto-weight") else (1, 1)
    notify = "/run/n.sock" if name.endswith("everything") else ""
    expected = captured(f"{name}.{command.name.lower()}")
    settings = settings_of(processes=processes, threads=threads, **SENT[name])
    found = announced(settings, notify=notify)
    # uWSGI dates an unsubscribe a second ahead.
    now = (decode(expected).unix or 0) - command
    assert found.datagram(command, load=0, free=None, now=now) == expected


def test_free_slots_are_told_where_uwsgi_looks_for_nothing_and_before_the_signature() -> None:
    found = announced(settings_of(**SENT["signed-everything"]), notify="/run/n.sock")
    datagram = found.datagram(Command.SUBSCRIBE, load=2, free=3, now=1_700_000_000.0)
    assert (decode(datagram).load, decode(datagram).free) == (2, 3)
    assert datagram.index(b"\4\0free") < datagram.index(b"\4\0unix") < datagram.index(b"\4\0sign")


def test_the_weight_of_one_subscription_leaves_the_others_alone() -> None:
    settings = settings_of(
        weight=7, subscribe2=(f"server={UDP},key=a,weight=3", f"server={UDP},key=b")
    )
    found = [compose(one, settings, NODE, "", None) for one in values(settings.subscribe)]
    assert [one.packet.weight for one in found] == [3, 7]


def test_auto_weight_is_the_number_of_slots() -> None:
    settings = settings_of(
        processes=2, threads=3, auto_weight=True, weight=9, subscribe_to=(f"{UDP}:a",)
    )
    assert announced(settings).packet.weight == 6


def test_subscribe_with_modifier1_wins_over_everything() -> None:
    settings = settings_of(
        subscribe_with_modifier1=9, subscribe2=(f"server={UDP},key=a,modifier1=3,modifier2=4",)
    )
    packet = announced(settings).packet
    assert (packet.modifier1, packet.modifier2) == (9, 4)


@pytest.mark.parametrize(
    ("scheme", "key"), [("ED25519", "ed25519"), ("RSA-PSS-SHA256", "rsa"), ("SHA256", "ec")]
)
def test_a_signature_covers_load_and_free_slots(scheme: str, key: str, tmp_path: Path) -> None:
    path = FOLDER / f"{key}.pem"
    if key == "ed25519":
        path = write_ed25519(tmp_path)
    found = announced(settings_of(subscribe_to=(f"{UDP}:a,0,{scheme}:{path}",)))
    assert found.signer is not None
    one = found.datagram(Command.SUBSCRIBE, load=1, free=1, now=5.0)
    public = found.signer.key.public_key()
    message = found.signer.scheme.message(one, decode(one).signature)
    assert found.signer.scheme.is_valid(public, decode(one).signature, message)
    forged = message.replace(b"load\1\0001", b"load\1\0000")
    assert forged != message
    assert not found.signer.scheme.is_valid(public, decode(one).signature, forged)


def write_ed25519(folder: Path) -> Path:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / "node.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
        )
    )
    return path


def test_what_has_no_room_in_a_packet_is_an_error_at_the_start() -> None:
    long = "/" + "k" * 1000
    text = ",".join(f"{name}={long}" for name in ("sni_key", "sni_crt", "sni_ca"))
    settings = settings_of(
        subscribe2=(f"server={UDP},key=a,{text},sign=SHA256:rsa.pem,vassal={'v' * 255}",)
    )
    value = next(values(settings.subscribe))
    more = replace(value.subscription, inactive="i" * 255, key="k" * 255, algo="a" * 255)
    crowded = replace(value, subscription=more)
    signer = read_signer(value, str(FOLDER))
    with pytest.raises(ConfigError, match=r"packet of \d+ bytes, limit 4096"):
        compose(crowded, settings, "a" * 255, "/" + "n" * 100, signer)


@pytest.mark.parametrize(
    ("field", "text", "why"),
    [
        ("subscribe_to", "nowhere", "expected SERVER:KEY"),
        ("subscribe2", "server=127.0.0.1:1", "no key="),
        ("subscribe2", f"server={UDP},key=a,colour=red", "expected one of"),
        ("subscribe_to", f"{UDP}:a,0,SHA256:/nowhere.pem", "/nowhere.pem: cannot be read: No such"),
        ("subscribe_to", f"{UDP}:a,0,ED25519:rsa.pem", "does not fit ED25519"),
        ("subscribe_to", f"{UDP}:a,0,SHA256:rsa.pub.pem", "no private key without a passphrase"),
    ],
)
def test_a_bad_value_is_named_with_its_place(field: str, text: str, why: str) -> None:
    options: dict[str, Any] = {field: (text,)}
    settings = settings_of(**options)
    (problem,) = check(settings, {("subscribe", field): [Place("node.ini", 7)]})
    assert problem.startswith(f"node.ini:7: {field.replace('_', '-')} = {text}: ")
    assert why in problem
