"""subscriptions/legion/inbox.py: what must change nothing, and is counted."""

from __future__ import annotations

import copy
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.subscriptions.legion import packet, statement
from uwgate.subscriptions.legion.cipher import make_cipher
from uwgate.subscriptions.legion.election import Identity, State, Timing
from uwgate.subscriptions.legion.inbox import MAX_SENDERS, CompatibleInbox, SealedInbox, Stamps
from uwgate.subscriptions.legion.packet import Announcement
from uwgate.subscriptions.legion.promises import PromiseElection
from uwgate.subscriptions.legion.refusal import Reason
from uwgate.subscriptions.legion.sealed import MasterKey, Opener, Sealer
from uwgate.subscriptions.legion.statement import Statement
from uwgate.subscriptions.legion.unanimity import UnanimousElection

WALL = 1_800_000_000.0
CIPHER = make_cipher("aes-128-cbc:a-secret-of-ours")
FOREIGN_CIPHER = make_cipher("aes-128-cbc:another-secret")
PEER = Announcement(
    legion=b"l", valor=9, unix=int(WALL), lord=0, name=b"p", pid=3, uuid=b"p" * 36, checksum=1
)
DATAGRAM = packet.encode(PEER, CIPHER)
KEY = MasterKey(b"ours", b"k" * 32)
FOREIGN_KEY = MasterKey(b"them", b"t" * 32)
SAID = Statement(sender=b"p" * 16, sequence=1, name=b"p", valor=9, hold=3000)


def seal(sealer: Sealer, said: Statement) -> bytes:
    return sealer.seal(said.sequence, statement.encode(said))


SEALED = seal(Sealer(KEY, SAID.sender, "aes-256-gcm"), SAID)


@pytest.fixture
def compatible() -> CompatibleInbox:
    return CompatibleInbox(b"l", b"o" * 36, CIPHER, skew=60)


@pytest.fixture
def sealed() -> SealedInbox:
    return SealedInbox(b"l", b"o" * 16, Opener([KEY]))


def stamped(seconds: int) -> bytes:
    return packet.encode(dataclasses.replace(PEER, unix=int(WALL) + seconds), CIPHER)


def test_a_good_packet_is_opened(compatible: CompatibleInbox, sealed: SealedInbox) -> None:
    assert compatible.open(DATAGRAM, WALL) == PEER
    assert sealed.open(SEALED) == SAID
    assert not compatible.refused + sealed.refused


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", Reason.SHORT),
        (DATAGRAM[:3], Reason.SHORT),
        (DATAGRAM[:-16], Reason.FORGED),
        (DATAGRAM[:-1], Reason.FORGED),
        (DATAGRAM[:4], Reason.FORGED),
        (b"\xe0" + DATAGRAM[1:], Reason.FOREIGN),
        (b"\x6d\x01" + DATAGRAM[2:], Reason.FORGED),
        (SEALED, Reason.OTHER_MODE),
        (packet.encode(PEER, FOREIGN_CIPHER), Reason.FORGED),
        (packet.encode(dataclasses.replace(PEER, legion=b"m"), CIPHER), Reason.OTHER_LEGION),
        (packet.encode(dataclasses.replace(PEER, uuid=b"o" * 36), CIPHER), Reason.OWN),
        (packet.encode(dataclasses.replace(PEER, name=b""), CIPHER), Reason.MALFORMED),
        (stamped(-61), Reason.OLD),
        (stamped(61), Reason.FUTURE),
    ],
)
def test_a_bad_packet_is_refused_and_counted(
    compatible: CompatibleInbox, datagram: bytes, reason: Reason
) -> None:
    assert compatible.open(datagram, WALL) is None
    assert compatible.refused == {reason: 1}


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", Reason.SHORT),
        (SEALED[:-1], Reason.SHORT),
        (SEALED + b"x", Reason.SHORT),
        (b"\xe0" + SEALED[1:], Reason.FOREIGN),
        (DATAGRAM, Reason.OTHER_MODE),
        (SEALED[:-1] + bytes([SEALED[-1] ^ 1]), Reason.FORGED),
        (seal(Sealer(FOREIGN_KEY, SAID.sender, "aes-256-gcm"), SAID), Reason.UNKNOWN_KEY),
        (seal(Sealer(KEY, b"o" * 16, "aes-256-gcm"), SAID), Reason.OWN),
        (Sealer(KEY, SAID.sender, "aes-256-gcm").seal(1, b"nonsense"), Reason.MALFORMED),
    ],
)
def test_a_bad_sealed_packet_is_refused_and_counted(
    sealed: SealedInbox, datagram: bytes, reason: Reason
) -> None:
    assert sealed.open(datagram) is None
    assert sealed.refused == {reason: 1}


def test_an_older_packet_after_a_newer_one_is_a_replay(compatible: CompatibleInbox) -> None:
    assert compatible.open(stamped(0), WALL) is not None
    assert compatible.open(stamped(3), WALL) is not None
    assert compatible.open(stamped(3), WALL) is not None  # real nodes send two in one second
    assert compatible.open(stamped(0), WALL) is None
    assert compatible.refused == {Reason.REPLAYED: 1}


def test_a_stamp_let_in_before_our_clock_was_set_back_does_not_keep_its_sender_out() -> None:
    stamps = Stamps(skew=60)
    assert stamps.admit(b"p", int(WALL) + 4000, WALL + 4000) is None
    assert stamps.admit(b"p", int(WALL), WALL) is None


def test_stamps_of_many_senders_stay_within_their_limit() -> None:
    stamps = Stamps(skew=60)
    for number in range(MAX_SENDERS + 1):
        stamps.admit(b"%d" % number, int(WALL) + 1, WALL)
    assert stamps.admit(b"0", int(WALL), WALL) is None  # forgotten
    assert stamps.admit(b"9", int(WALL), WALL) is Reason.REPLAYED


def test_a_sealed_packet_that_comes_twice_is_a_replay(sealed: SealedInbox) -> None:
    sealer = Sealer(KEY, SAID.sender, "aes-256-gcm")
    datagrams = [seal(sealer, dataclasses.replace(SAID, sequence=n)) for n in (1, 2, 3)]
    assert sealed.open(datagrams[0]) is not None
    assert sealed.open(datagrams[2]) is not None
    assert sealed.open(datagrams[1]) is None
    assert sealed.open(datagrams[1]) is None
    assert sealed.refused == {Reason.OVERTAKEN: 1, Reason.REPLAYED: 1}


def promise_node() -> tuple[SealedInbox, PromiseElection]:
    """A sealed node that has heard one packet of its peer."""
    identity = Identity(b"o" * 16, b"o", 5)
    election = PromiseElection(identity, quorum=2, timing=Timing(period=1, tolerance=3), now=0.0)
    election.tick(0.0, WALL)
    inbox = SealedInbox(b"l", identity.uuid, Opener([KEY]))
    said = inbox.open(SEALED)
    assert said is not None
    election.receive(said, 0.1, WALL)
    return inbox, election


def unanimous_node() -> tuple[CompatibleInbox, UnanimousElection]:
    """A compatible node that has heard one packet of its peer."""
    identity = Identity(b"o" * 36, b"o", 5)
    election = UnanimousElection(identity, legion=b"l", pid=1, quorum=2, timing=Timing(), now=0.0)
    inbox = CompatibleInbox(b"l", identity.uuid, CIPHER, skew=60)
    announcement = inbox.open(stamped(5), WALL)
    assert announcement is not None
    election.receive(announcement, 0.1, WALL)
    return inbox, election


sealed_attacks = st.one_of(
    st.just(SEALED),  # replayed
    st.binary(max_size=300),  # anything
    st.binary(max_size=300).map(lambda tail: SEALED[:32] + tail),  # forged
    st.integers(0, len(SEALED) - 1).map(lambda cut: SEALED[:cut]),  # truncated
    st.tuples(st.integers(0, len(SEALED) - 1), st.integers(1, 255)).map(
        lambda change: (
            SEALED[: change[0]] + bytes([SEALED[change[0]] ^ change[1]]) + SEALED[change[0] + 1 :]
        )
    ),
    st.integers(1, 2**64 - 1).map(  # of another cluster
        lambda n: Sealer(FOREIGN_KEY, b"p" * 16, "aes-256-gcm").seal(n, statement.encode(SAID))
    ),
)


def state_of(election: PromiseElection) -> dict[str, object]:
    """All that an election knows."""
    parts = (election, election.peers, election._voter)
    known = {key: value for part in parts for key, value in vars(part).items()}
    return copy.deepcopy({k: v for k, v in known.items() if k not in ("peers", "_voter")})


@given(st.lists(sealed_attacks, max_size=20))
def test_no_attack_changes_the_state_of_a_sealed_node(attacks: list[bytes]) -> None:
    inbox, election = promise_node()
    before = state_of(election)
    assert [inbox.open(datagram) for datagram in attacks] == [None] * len(attacks)
    assert state_of(election) == before
    assert inbox.refused.total() == len(attacks)


compatible_attacks = st.one_of(
    st.integers(-5000, 4).map(stamped),  # replayed, or too old
    st.integers(61, 10**9).map(stamped),  # from the future
    st.binary(max_size=300).map(lambda tail: b"\xe0" + tail),
    st.integers(0, len(DATAGRAM) - 1).map(lambda cut: DATAGRAM[:cut]),
    st.just(packet.encode(PEER, FOREIGN_CIPHER)),
    st.just(SEALED),
)


@given(st.lists(compatible_attacks, max_size=20))
def test_no_refused_packet_changes_the_state_of_a_compatible_node(attacks: list[bytes]) -> None:
    inbox, election = unanimous_node()
    before = copy.deepcopy(vars(election))
    assert [inbox.open(datagram, WALL) for datagram in attacks] == [None] * len(attacks)
    assert vars(election) == before
    assert inbox.refused.total() == len(attacks)


def test_a_sealed_packet_from_before_our_start_makes_nobody_a_member() -> None:
    inbox, election = promise_node()
    old = dataclasses.replace(
        SAID,
        sender=b"q" * 16,
        sequence=900,
        term=10**18,
        claim=10**18,
        quorate=True,
        echoes=((b"an earlier start", 7),),
    )
    opened = inbox.open(seal(Sealer(KEY, old.sender, "aes-256-gcm"), old))
    assert opened == old
    election.receive(old, 5.0, WALL)
    assert not any(peer.is_member for peer in election.peers.by_uuid.values())
    assert (election.term, election.wish, election.state) == (0, None, State.OUTSIDE)
