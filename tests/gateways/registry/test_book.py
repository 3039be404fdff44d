"""What the registry knows, and a mirror of it (gateways/registry/{book,mirror}.py): no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.settings import Settings
from uwgate.gateways.registry.book import Book, table_frames
from uwgate.gateways.registry.frames import Decoder, FrameError, Message, encode
from uwgate.gateways.registry.mirror import Mirror
from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.change import Back, Cause, Change, Joined, Left, Out
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.packet import encode as datagram
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.resubscription import Resubscription
from uwgate.subscriptions.signature import SCHEMES, Signer, load_private_key
from uwgate.subscriptions.state import rows
from uwgate.subscriptions.table import Table, TableOptions

CASES = Path(__file__).parents[2] / "cases" / "subscriptions"
UNIX = 1_795_270_000.0
A = Packet(key="shop.example", address="10.0.0.1:99", weight=2)
B = replace(A, address="10.0.0.2:99")
WITH_CERTIFICATE = replace(A, sni_key="/certs/k.pem", sni_crt="/certs/c.pem")
TOLD = TableOptions(tolerance=0.0, tolerance_inactive=0.0)


def gone(packet: Packet) -> Packet:
    return replace(packet, command=Command.UNSUBSCRIBE)


def make(loops: Resubscription | None = None, **options: Any) -> Book:
    """``options`` of the subscription servers; those of the corerouter begin with ``http_``."""
    core = {name[5:]: value for name, value in options.items() if name.startswith("http_")}
    rest = {name: value for name, value in options.items() if not name.startswith("http_")}
    settings = Settings(
        subscriptions=SubscriptionOptions(**rest), http_corerouter=HttpCorerouterOptions(**core)
    )
    return Book("http", settings, loops)


class Replicas:
    """A book, and what its frames make of the table of a gateway."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.mirror = Mirror(Table(TOLD))
        self.changes: list[Change] = []
        self.take(book.frames())

    @property
    def table(self) -> Table:
        return self.mirror.table

    def take(self, frames: Iterable[bytes], now: float = 0.0) -> list[Change]:
        changes = [
            change for message in messages(frames) for change in self.mirror.follow(message, now)
        ]
        self.changes += changes
        return changes

    def hear(self, packet: Packet, now: float = 0.0) -> list[Change]:
        return self.take([self.book.hear(datagram(packet), now, UNIX, None).frame], now)

    def are_equal(self) -> bool:
        theirs, ours = self.book.table, self.table
        return list(rows(theirs, theirs.slots)) == list(rows(ours, ours.slots))


def messages(frames: Iterable[bytes]) -> list[Message]:
    decoder = Decoder()
    return [message for frame in frames for message in decoder.feed(frame)]


def node_of(table: Table, packet: Packet = A) -> Node:
    found = table.node(packet.key, packet.address)
    assert found is not None
    return found


def out_of(
    node: Node, at: float, *, cause: Cause = Cause.UNREACHABLE, ejections: int = 1
) -> Message:
    return {
        "type": "out",
        "key": node.key,
        "node": node.name,
        "cause": cause.value,
        "at": at,
        "until": at + 5.0,
        "ejections": ejections,
    }


@pytest.fixture
def replicas() -> Replicas:
    """A and B were announced at time 0."""
    replicas = Replicas(make())
    replicas.hear(A)
    replicas.hear(B)
    return replicas


# announcements


def test_a_replica_follows_what_is_announced(replicas: Replicas) -> None:
    assert [type(change) for change in replicas.changes] == [Joined, Joined]
    assert replicas.hear(replace(A, weight=9, load=3), 5.0) == []
    assert (node_of(replicas.table).weight, node_of(replicas.table).last_check) == (9, 5.0)
    assert replicas.are_equal()
    assert [type(change) for change in replicas.hear(gone(A), 6.0)] == [Left]
    assert replicas.are_equal()


def test_a_replica_that_comes_late_gets_everything(replicas: Replicas) -> None:
    late = Replicas(replicas.book)
    assert late.mirror.is_complete
    assert late.are_equal()


def test_a_replica_is_told_of_changes_while_a_large_table_goes_over() -> None:
    book = make()
    for number in range(500):
        book.hear(datagram(replace(A, key=f"k{number}")), 0.0, UNIX, None)
    mirror = Mirror(Table(TOLD))
    frames = book.frames()
    meanwhile = [
        replace(A, key="new"),
        gone(replace(A, key="k499")),
        gone(replace(A, key="k0")),
        replace(A, key="k0", weight=7),
        replace(B, key="k7"),
    ]
    for packet, part in zip(meanwhile, frames, strict=False):
        change = book.hear(datagram(packet), 1.0, UNIX, None).frame
        for message in messages([part, change]):
            mirror.follow(message, 1.0)
    for message in messages(frames):
        mirror.follow(message, 1.0)
    ours, theirs = (
        {row["key"]: row for row in rows(table, table.slots)}
        for table in (mirror.table, book.table)
    )
    assert ours == theirs


def test_who_sent_an_announcement_is_told(replicas: Replicas) -> None:
    sender = Credentials(pid=7, uid=8, gid=9)
    replicas.take([replicas.book.hear(datagram(A), 0.0, UNIX, sender).frame])
    node = node_of(replicas.table)
    assert (node.pid, node.uid, node.gid) == (7, 8, 9)


def test_a_vassal_without_an_address_is_told_too(replicas: Replicas) -> None:
    replicas.hear(Packet(key="sleepy", vassal="v"))
    assert replicas.table.find_sleeping("sleepy") is not None
    assert Replicas(replicas.book).are_equal()


def test_what_is_refused_changes_nothing_and_is_counted() -> None:
    book = make(subscription_max_nodes=1)
    book.hear(datagram(A), 0.0, UNIX, None)
    for bad, reason in ((b"\xe0", Refusal.MALFORMED), (datagram(B), Refusal.FULL)):
        with pytest.raises(Refused):
            book.hear(bad, 0.0, UNIX, None)
        assert book.admission.refused[reason] == 1
    assert book.admission.accepted == 1
    assert book.table.node_count == 1


def test_an_announcement_that_comes_back_to_us_is_refused() -> None:
    book = make(Resubscription("me", ["10.0.0.9:80"]))
    with pytest.raises(Refused) as caught:
        book.hear(datagram(replace(A, via="other,me")), 0.0, UNIX, None)
    assert caught.value.reason is Refusal.LOOP
    assert book.table.is_empty


# time


def test_replicas_are_told_who_has_expired(replicas: Replicas) -> None:
    replicas.hear(A, 10.0)
    changes = replicas.book.advance(17.5, expire=True)
    (left,) = replicas.take(replicas.book.frames_of(changes))
    assert isinstance(left, Left)
    assert (left.node.address, left.cause) == (B.address, Cause.EXPIRED)
    assert replicas.are_equal()


def test_nobody_expires_while_announcements_may_be_lost(replicas: Replicas) -> None:
    assert replicas.book.advance(100.0, expire=False) == []


# health


def test_a_node_that_one_gateway_cannot_reach_is_out_for_all(replicas: Replicas) -> None:
    book = replicas.book
    changes, answer = book.put_out(out_of(node_of(book.table), 1.0), 1.1)
    assert answer is None
    assert [type(change) for change in changes] == [Out]
    assert [type(change) for change in replicas.take(book.frames_of(changes))] == [Out]
    assert not node_of(replicas.table).is_live
    assert replicas.are_equal()
    assert [type(change) for change in replicas.table.advance(6.0)] == [Back]


def test_one_that_was_announced_since_it_failed_stays(replicas: Replicas) -> None:
    replicas.hear(A, 2.0)
    changes, answer = replicas.book.put_out(out_of(node_of(replicas.table), 1.0), 2.1)
    assert changes == []
    assert answer is not None
    gateway = Replicas(replicas.book)
    gateway.table.unreachable(node_of(gateway.table), 1.0)
    assert [type(change) for change in gateway.take([answer])] == [Back]


def test_one_that_failed_twice_is_not_believed(replicas: Replicas) -> None:
    replicas.hear(A, 2.0)
    report = out_of(node_of(replicas.table), 1.0, ejections=2)
    changes, _ = replicas.book.put_out(report, 2.1)
    assert [type(change) for change in changes] == [Out]


def test_two_gateways_do_not_put_out_all_nodes_between_them(replicas: Replicas) -> None:
    book = replicas.book
    first = out_of(node_of(book.table), 1.0, cause=Cause.BAD_ANSWERS)
    second = out_of(node_of(book.table, B), 1.0, cause=Cause.BAD_ANSWERS)
    assert [type(change) for change in book.put_out(first, 1.0)[0]] == [Out]
    changes, answer = book.put_out(second, 1.0)
    assert changes == []
    assert messages([answer or b""])[0]["health"]["out_until"] is None


def test_no_gateway_puts_a_node_out_for_longer_than_the_limit(replicas: Replicas) -> None:
    report = out_of(node_of(replicas.table), 1.0) | {"until": 1e12}
    replicas.book.put_out(report, 1.0)
    assert node_of(replicas.book.table).health.out_until == 301.0


def test_a_report_about_an_unknown_node_is_passed_over(replicas: Replicas) -> None:
    assert replicas.book.put_out(out_of(Node(key="x", address="y"), 1.0), 1.0) == ([], None)


# from one registry to the next


def test_the_next_registry_knows_nodes_marks_and_counts(tmp_path: Path) -> None:
    (tmp_path / "shop.example.pem").write_bytes((CASES / "rsa.pub.pem").read_bytes())
    check = f"SHA256:{tmp_path}"
    old, new = (make(subscriptions_sign_check=check) for _ in range(2))
    key = load_private_key((CASES / "rsa.pem").read_bytes(), SCHEMES["SHA256"])
    signer = Signer(SCHEMES["SHA256"], key)
    first = signer.sign(A, UNIX)
    old.hear(first, 0.0, UNIX, None)
    with pytest.raises(Refused):
        old.hear(first, 0.0, UNIX, None)
    for message in messages([*old.frames(), *old.memory()]):
        new.follow(message, 0.0)
    second = signer.sign(A, UNIX + 5)
    for message in messages([old.hear(second, 1.0, UNIX + 5, None).frame]):
        new.follow(message, 1.0)
    new.begin(newborn=False)
    assert node_of(new.table).last_check == 1.0
    assert (new.admission.accepted, new.admission.refused) == (2, {Refusal.REPLAYED: 1})
    for used in (first, second):
        with pytest.raises(Refused) as caught:
            new.hear(used, 2.0, UNIX + 6, None)
        assert caught.value.reason is Refusal.REPLAYED


def test_a_newborn_learns_from_gateways_and_knows_old_signatures(tmp_path: Path) -> None:
    (tmp_path / "shop.example.pem").write_bytes((CASES / "rsa.pub.pem").read_bytes())
    check = f"SHA256:{tmp_path}"
    old, new = (make(subscriptions_sign_check=check) for _ in range(2))
    key = load_private_key((CASES / "rsa.pem").read_bytes(), SCHEMES["SHA256"])
    used = Signer(SCHEMES["SHA256"], key).sign(A, UNIX)
    gateway = Replicas(old)
    gateway.take([old.hear(used, 0.0, UNIX, None).frame])
    new.begin(newborn=True)
    offers = [one for one in messages(table_frames("http", gateway.table)) if "rows" in one]
    assert [new.take_offer(offer, 1.0) for offer in offers] == [True]
    assert [new.take_offer(offer, 1.0) for offer in offers] == [False]
    with pytest.raises(Refused) as caught:
        new.hear(used, 2.0, UNIX, None)
    assert caught.value.reason is Refusal.REPLAYED


def test_a_newborn_is_not_told_of_nodes_that_have_gone_since(replicas: Replicas) -> None:
    new = make()
    new.begin(newborn=True)
    for packet in (A, gone(A)):
        new.hear(datagram(packet), 1.0, UNIX, None)
    for offer in messages(table_frames("http", replicas.table)):
        if offer["type"] == "rows":
            new.take_offer(offer, 1.0)
    assert list(new.table.slots[B.key].members) == [B.address]


def test_who_has_grown_up_takes_no_offers(replicas: Replicas) -> None:
    new = make()
    new.begin(newborn=True)
    new.grow_up()
    (offer,) = (one for one in messages(replicas.book.frames()) if one["type"] == "rows")
    assert not new.take_offer(offer, 1.0)
    assert new.table.is_empty


# certificates


@pytest.mark.parametrize(
    ("folders", "is_used"), [((), False), (("/certs",), True), (("/other",), False)]
)
def test_unsigned_certificates_come_only_from_the_folder(
    folders: tuple[str, ...], is_used: bool
) -> None:
    replicas = Replicas(make(subscription_sni_folder=folders))
    replicas.hear(WITH_CERTIFICATE)
    assert (replicas.table.sni.find(A.key) is not None) is is_used
    assert (replicas.book.table.sni.find(A.key) is not None) is is_used


def test_certificates_may_come_from_anywhere_if_they_are_signed(tmp_path: Path) -> None:
    (tmp_path / "shop.example.pem").write_bytes((CASES / "rsa.pub.pem").read_bytes())
    key = load_private_key((CASES / "rsa.pem").read_bytes(), SCHEMES["SHA256"])
    book = make(subscriptions_sign_check=f"SHA256:{tmp_path}")
    book.hear(Signer(SCHEMES["SHA256"], key).sign(WITH_CERTIFICATE, UNIX), 0.0, UNIX, None)
    assert book.table.sni.find(A.key) is not None
    assert Replicas(book).table.sni.find(A.key) is not None


def test_the_options_say_how_old_a_signature_may_be(tmp_path: Path) -> None:
    (tmp_path / "shop.example.pem").write_bytes((CASES / "rsa.pub.pem").read_bytes())
    key = load_private_key((CASES / "rsa.pem").read_bytes(), SCHEMES["SHA256"])
    signed = Signer(SCHEMES["SHA256"], key).sign(A, UNIX)
    options: dict[str, Any] = {"subscriptions_sign_check": f"SHA256:{tmp_path}"}
    strict = make(**options, subscriptions_sign_check_tolerance=60.0)
    with pytest.raises(Refused) as refused:
        strict.hear(signed, 0.0, UNIX + 61, None)
    assert refused.value.reason is Refusal.EXPIRED
    assert make(**options).hear(signed, 0.0, UNIX + 61, None).changes


def test_the_options_may_demand_a_vassal() -> None:
    with pytest.raises(Refused, match="names no vassal"):
        make(subscription_vassal_required=True).hear(datagram(A), 0.0, UNIX, None)


def test_the_options_say_whose_files_allow_a_name(tmp_path: Path) -> None:
    (tmp_path / A.key).touch()
    owner = Credentials(pid=1, uid=(tmp_path / A.key).stat().st_uid, gid=tmp_path.stat().st_gid)
    checked = make(subscriptions_credentials_check=("/nowhere/", f"{tmp_path}/"))
    assert checked.hear(datagram(A), 0.0, UNIX, owner).changes
    with pytest.raises(Refused) as refused:
        checked.hear(datagram(B), 0.0, UNIX, replace(owner, uid=owner.uid + 1))
    assert refused.value.reason is Refusal.CREDENTIALS


def test_who_needs_no_signature_may_not_bring_any_certificate(tmp_path: Path) -> None:
    book = make(subscriptions_sign_check=f"SHA256:{tmp_path}", subscriptions_sign_skip_uid=("33",))
    book.hear(datagram(WITH_CERTIFICATE), 0.0, UNIX, Credentials(pid=1, uid=33, gid=33))
    assert node_of(book.table).address == A.address
    assert book.table.sni.find(A.key) is None


# bad messages


@pytest.mark.parametrize(
    "message",
    [
        {"type": "rows", "rows": [{"key": "a"}]},
        {"type": "rows"},
        {"type": "packet", "packet": {}},
        {"type": "packet", "packet": {"key": "a", "command": 9}, "now": 1.0, "sender": None},
        {"type": "packet", "packet": 7},
        {"type": "gone", "key": "a"},
        {"type": "gone", "key": [], "node": "b", "cause": "expired"},
        {"type": "health", "key": "shop.example", "node": "10.0.0.1:99", "cause": "expired"},
        {"type": "health", "key": "shop.example", "node": "10.0.0.1:99", "health": {}},
    ],
)
def test_a_damaged_message_is_an_error(replicas: Replicas, message: Message) -> None:
    replicas.take([encode("begin")])
    with pytest.raises(FrameError, match="damaged"):
        replicas.mirror.follow(message, 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"key": []},
        {"cause": "mood"},
        {"at": "noon"},
        {"until": None},
        {"until": float("nan")},
        {"until": 10**400},
        {"ejections": {}},
    ],
)
def test_a_damaged_report_is_an_error(replicas: Replicas, change: dict[str, object]) -> None:
    report = out_of(node_of(replicas.table), 1.0) | change
    with pytest.raises(FrameError, match="damaged"):
        replicas.book.put_out(report, 1.0)


def test_messages_of_a_later_release_are_passed_over(replicas: Replicas) -> None:
    later = encode("gone", key="x", node="y", cause="expired", colour="red")
    assert replicas.take([encode("dance", kind="http"), later]) == []
    frame = replicas.book.hear(datagram(A), 3.0, UNIX, None).frame
    (message,) = messages([frame])
    message["packet"]["colour"] = "red"
    assert replicas.mirror.follow(message, 3.0) == []
    assert node_of(replicas.table).last_check == 3.0


# floods


def test_forged_announcements_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop.example.pem").write_bytes((CASES / "rsa.pub.pem").read_bytes())
    book = make(subscriptions_sign_check=f"SHA256:{tmp_path}")
    book.look(UNIX)
    owner, stranger = (
        Signer(SCHEMES["SHA256"], load_private_key((CASES / name).read_bytes(), SCHEMES["SHA256"]))
        for name in ("rsa.pem", "ec.pem")
    )
    good = owner.sign(A, UNIX)
    book.hear(good, 0.0, UNIX, None)
    before = (
        [*rows(book.table, book.table.slots)],
        book.admission.verifier and (book.admission.verifier.marks()),
    )
    forged = {
        Refusal.UNSIGNED: datagram(gone(A)),
        Refusal.NO_PUBLIC_KEY: stranger.sign(replace(A, key="other.example"), UNIX),
        Refusal.BAD_SIGNATURE: stranger.sign(gone(A), UNIX + 1),
        Refusal.REPLAYED: good,
        Refusal.EXPIRED: owner.sign(A, UNIX - 100_000),
        Refusal.FUTURE: owner.sign(A, UNIX + 100),
    }
    for reason, packet in forged.items():
        for number in range(20):
            with pytest.raises(Refused) as caught:
                book.hear(packet, number / 10, UNIX + 2, None)
            assert caught.value.reason is reason
    after = (
        [*rows(book.table, book.table.slots)],
        book.admission.verifier and (book.admission.verifier.marks()),
    )
    assert after == before
    assert book.admission.refused == dict.fromkeys(forged, 20)
