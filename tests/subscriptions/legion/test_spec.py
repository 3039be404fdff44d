"""subscriptions/legion/spec.py: option values."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.hook import Event, Hook
from uwgate.subscriptions.legion.spec import Endpoint, LegionTable, Vip, read_all

COMPATIBLE = ("legion", "ring 10.0.0.1:4242 98 bf-cbc:hello")
SEALED = ("legion", "ring 10.0.0.1:4242 98 aes-256-gcm:correct horse battery")
NODES = [("legion-node", f"ring 10.0.0.{n}:4242") for n in (2, 3)]


def test_a_compatible_legion_is_read_as_uwsgi_does() -> None:
    ring = read_all(
        [COMPATIBLE, *NODES, ("legion-scroll", "ring a  b"), ("legion-quorum", "ring 2")]
    )
    spec = ring["ring"]
    assert (spec.listen, spec.valor) == (Endpoint("10.0.0.1", 4242), 98)
    assert spec.cipher is not None
    assert spec.cipher.key == b"hello" + bytes(11)
    assert spec.nodes == (Endpoint("10.0.0.2", 4242), Endpoint("10.0.0.3", 4242))
    assert (spec.quorum, spec.votes_needed, spec.scroll) == (2, 2, b"a  b")
    assert not spec.is_sealed


def test_a_compatible_legion_says_at_start_what_it_does_not_protect_against() -> None:
    lines = read_all([COMPATIBLE, *NODES])["ring"].warnings()
    assert len(lines) == 3
    assert "cannot exclude two lords" in lines[0]
    assert "shorter than the cipher's key" in lines[1]
    assert "not more than half of 3" in lines[2]


def test_a_sealed_legion_needs_no_warning_and_derives_its_quorum() -> None:
    spec = read_all([SEALED, *NODES])["ring"]
    assert (spec.suite, spec.secrets) == ("aes-256-gcm", ("correct horse battery",))
    assert spec.votes_needed == 2
    assert spec.warnings() == []


def test_a_secret_to_accept_is_added_behind_the_one_that_seals() -> None:
    spec = read_all([SEALED, *NODES, ("legion-key", "ring the secret of tomorrow")])["ring"]
    assert spec.secrets == ("correct horse battery", "the secret of tomorrow")


def test_mcast_is_a_node_of_its_own() -> None:
    value = "ring 225.1.1.1:4242 5 aes-128-cbc:sekret"
    spec = read_all([("legion-mcast", value)])["ring"]
    assert spec.nodes == (spec.listen,)
    assert spec.listen.is_multicast


def test_any_address_a_path_and_broadcast_are_told_apart() -> None:
    table = LegionTable()
    table.add_legion("a :4242 1 bf-cbc:x")
    table.add_legion("b /run/legion 1 bf-cbc:x")
    table.add_legion("c 255.255.255.255:4242 1 bf-cbc:x")
    listens = [spec.listen for spec in table.legions.values()]
    assert listens == [
        Endpoint("", 4242),
        Endpoint(path="/run/legion"),
        Endpoint("255.255.255.255", 4242),
    ]
    assert [listen.is_broadcast for listen in listens] == [False, False, True]


def test_vips_of_both_families_are_read() -> None:
    values = ["ring 192.168.0.10/24 dev eth0", "ring 2001:db8::10/64"]
    spec = read_all([COMPATIBLE, *(("legion-vip", value) for value in values)])["ring"]
    assert [(str(vip.address), vip.device) for vip in spec.vips] == [
        ("192.168.0.10/24", "eth0"),
        ("2001:db8::10/64", None),
    ]
    assert isinstance(spec.vips[0], Vip)


def test_a_hook_is_read() -> None:
    table = LegionTable()
    table.add_legion(COMPATIBLE[1])
    table.add_hook(Event.LORD, "ring cmd:ip a: b")
    table.add_hook(Event.LORD, "ring touch:/run/lord")
    assert table.legions["ring"].hooks == {
        Event.LORD: (Hook("cmd", "ip a: b"), Hook("touch", "/run/lord"))
    }


@pytest.mark.parametrize(
    "value",
    [
        "ring",
        "ring x",
        "ring boil:tea",
        "ring signal:256",
        "r cmd:x",
        "ring cmd:",
        "ring write:/file",
    ],
)
def test_a_bad_hook_is_an_error(value: str) -> None:
    table = LegionTable()
    table.add_legion(COMPATIBLE[1])
    with pytest.raises(ConfigError, match="legion-lord"):
        table.add_hook(Event.LORD, value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([("legion", "ring :1 5")], "legion = ring :1 5: expected NAME ADDRESS VALOR"),
        ([COMPATIBLE, COMPATIBLE], "declared twice"),
        ([("legion", "ring :1 65536 bf-cbc:x")], "'65536': expected a number from 0 to 65535"),
        ([("legion", "ring :1 -1 bf-cbc:x")], "'-1': expected a number"),
        ([("legion", "ring :0 1 bf-cbc:x")], "port 0"),
        ([("legion", "ring ::1:99 1 bf-cbc:x")], "legions speak IPv4"),
        ([("legion", "ring :1 1 rot13:x")], "cipher 'rot13' cannot be used"),
        ([("legion", "ring :1 1 bf-cbc")], "expected CIPHER:SECRET"),
        ([("legion", "ring :1 1 aes-256-gcm:short")], "a secret of 5 characters, at least 16"),
        ([("legion", f"{'n' * 256} :1 1 bf-cbc:x")], "at most 255 bytes"),
        ([("legion-mcast", "ring /run/x 1 bf-cbc:x")], "expected HOST:PORT"),
        ([("legion-node", "ring 10.0.0.2:1")], "no legion ring is declared above"),
        ([COMPATIBLE, ("legion-node", "ring")], "legion-node = ring: expected the name"),
        ([COMPATIBLE, ("legion-node", "ring :4242")], "expected NAME HOST:PORT"),
        ([COMPATIBLE, ("legion-node", "ring 10.0.0.2")], "expected HOST:PORT"),
        ([COMPATIBLE, NODES[0], NODES[0]], "same node twice"),
        ([COMPATIBLE, ("legion-quorum", "ring two")], "'two': expected a number"),
        ([COMPATIBLE, ("legion-scroll", f"ring {'x' * 4097}")], "4097 bytes, limit 4096"),
        ([COMPATIBLE, ("legion-key", "ring the secret of tomorrow")], "one secret only"),
        ([SEALED, ("legion-key", "ring correct horse battery")], "the same secret twice"),
        ([SEALED, ("legion-key", "ring short")], "at least 16"),
        ([SEALED, *NODES, ("legion-quorum", "ring 1")], "must be more than half of 3 nodes"),
        ([("legion-mcast", "r 225.1.1.1:1 1 aes-256-gcm:" + "x" * 16)], "set legion-quorum"),
        ([COMPATIBLE, ("legion-vip", "ring 10.0.0.9")], "expected NAME ADDRESS/BITS"),
        ([COMPATIBLE, ("legion-vip", "ring 10.0.0.9/24 on eth0")], "expected NAME ADDRESS/BITS"),
        ([COMPATIBLE, ("legion-vip", "ring 10.0.0.9/33")], "10.0.0.9/33"),
        ([COMPATIBLE, ("legion-vip", "ring 127.0.0.1/8")], "no address of a service"),
        ([COMPATIBLE, *[("legion-vip", "ring 10.0.0.9/24")] * 2], "same address twice"),
    ],
)
def test_an_error_names_option_and_value(values: list[tuple[str, str]], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_all(values)
    assert text in str(caught.value)
    assert str(caught.value).startswith("legion")


@pytest.mark.parametrize(
    "values",
    [
        [("legion", "ring :1 99999 bf-cbc:hunter2")],
        [("legion", "ring :1 5 aes-256-gcm:hunter2")],
        [("legion-mcast", "ring /x 5 bf-cbc:hunter2")],
        [SEALED, ("legion-key", "ring hunter2")],
        [("legion-key", "ring hunter2")],
    ],
)
def test_no_error_shows_a_secret(values: list[tuple[str, str]]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_all(values)
    assert "hunter2" not in str(caught.value)
