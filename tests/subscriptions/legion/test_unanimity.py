"""subscriptions/legion/unanimity.py: the election of compatible legions."""

from __future__ import annotations

import pytest

from uwgate.subscriptions.legion.election import (
    Join,
    NodeJoined,
    NodeLeft,
    QuorumLost,
    Rise,
    Send,
    State,
    StepDown,
    Timing,
)
from uwgate.subscriptions.legion.packet import NOBODY

from .ring import EPOCH, Ring, changed, state_of


@pytest.fixture
def ring() -> Ring:
    """Three nodes, of which c is lord."""
    ring = Ring(sealed=False, a=10, b=20, c=30)
    ring.run(12)
    assert ring.lords == {"c"}
    return ring


def test_a_node_alone_elects_itself_after_two_periods_without_a_quorum() -> None:
    ring = Ring(sealed=False, quorum=0, a=10)
    ring.run(5.99)
    assert not ring.lords
    ring.run(0.02)
    assert ring.lords == {"a"}
    assert [(s.message.checksum, s.message.lord_uuid) for s in ring.did("a", Send)[:2]] == [
        (0, NOBODY),
        (0, NOBODY),
    ]


def test_the_packet_after_becoming_lord_goes_out_at_once_and_says_so() -> None:
    ring = Ring(sealed=False, quorum=0, a=10)
    ring.run(6.01)
    hurry = ring.did("a", Send)[2].message
    assert hurry.lord == int(EPOCH) + 6
    assert (hurry.lord_valor, hurry.lord_uuid) == (10, hurry.uuid)
    assert hurry.checksum == 10 + sum(hurry.uuid)


def test_of_equal_valors_the_greater_uuid_wins() -> None:
    ring = Ring(sealed=False, a=7, b=7)
    ring.run(12)
    assert ring.lords == {"b"}


def test_an_arbiter_votes_and_is_never_lord() -> None:
    ring = Ring(sealed=False, a=10, z=0)
    ring.run(12)
    assert ring.lords == {"a"}
    ring.kill("a")
    ring.run(30)
    assert ring.lords == set()


def test_a_lone_arbiter_names_itself_and_is_not_lord() -> None:
    ring = Ring(sealed=False, quorum=0, z=0)
    ring.run(12)
    last = ring.did("z", Send)[-1].message
    assert (last.lord_valor, last.lord_uuid) == (0, last.uuid)
    assert not ring.did("z", Rise)


def test_a_killed_lord_is_replaced_after_the_tolerance(ring: Ring) -> None:
    ring.kill("c")
    ring.run(11)
    assert not ring.lords
    ring.run(9)
    assert ring.lords == {"b"}
    assert [left.said_so for left in ring.did("a", NodeLeft)] == [False]


def test_a_lord_that_says_goodbye_is_replaced_within_two_periods(ring: Ring) -> None:
    ring.leave("c")
    ring.run(6.1)
    assert ring.lords == {"b"}


def test_a_better_node_rises_only_after_the_old_lord_has_said_that_it_is_none() -> None:
    ring = Ring(sealed=False, a=10, b=20)
    ring.run(12)
    ring.slow.add("b")
    ring.start("c", 30)
    ring.run(13)
    assert (state_of(ring, "b"), ring.lords) == (State.FALLING, set())
    ring.act("b", ring.nodes["b"].fell(ring.now, ring.wall))
    ring.run(0.1)
    assert ring.lords == {"c"}


def test_an_old_lord_that_never_lets_go_is_not_waited_for_for_ever() -> None:
    ring = Ring(sealed=False, a=10, b=20)
    ring.run(12)
    ring.slow.add("b")
    ring.start("c", 30)
    ring.run(30)
    assert ring.lords == {"c"}


def test_a_lord_without_quorum_steps_down_at_once_when_its_lease_ends(ring: Ring) -> None:
    ring.cut("ac", "bc")
    ring.run(11.1)
    assert ring.did("c", StepDown)
    assert not ring.lords
    ring.run(6)
    assert ring.did("c", QuorumLost)


def test_a_cut_lord_has_stepped_down_before_the_others_elect_another(ring: Ring) -> None:
    ring.cut("ca", "ac", "cb", "bc")
    ring.run(11.5)
    assert not ring.lords
    ring.run(9)
    assert ring.lords == {"b"}


def test_a_stalled_lord_is_none_when_it_wakes_up_whatever_waits_in_its_socket(ring: Ring) -> None:
    ring.stall("c")
    ring.run(30)
    assert ring.lords == {"b"}
    ring.go_on("c")
    assert ring.did("c", StepDown)
    assert ring.lords == {"b"}
    ring.run(12)
    assert ring.lords == {"c"}
    assert ring.did("b", StepDown)


def test_terms_rise_above_every_lord_that_was_heard(ring: Ring) -> None:
    ring.kill("c")
    ring.run(20)
    first, second = ring.did("c", Rise)[0].term, ring.did("b", Rise)[0].term
    assert second > first
    ring.start("d", 40)
    ring.run(12)
    assert ring.did("d", Rise)[0].term > second


def test_a_node_whose_lord_hook_failed_is_silent_and_then_says_no_more_that_it_is_dead() -> None:
    ring = Ring(sealed=False, timing=changed(Timing(), suspension=30), a=10, b=20, c=5)
    ring.failing.add("b")
    ring.run(13)
    assert [s.message.dead for s in ring.did("b", Send)].count(True) == 1
    assert ring.lords == {"a"}
    ring.failing.clear()
    ring.run(40)
    assert ring.lords == {"b"}
    assert not ring.did("b", Send)[-1].message.dead


def test_joining_and_leaving_is_told_and_join_happens_once(ring: Ring) -> None:
    assert len(ring.did("a", NodeJoined)) == 2
    assert len(ring.did("a", Join)) == 1
    ring.cut("ab", "ba", "ac", "ca")
    ring.run(20)
    ring.heal()
    ring.run(12)
    assert len(ring.did("a", NodeLeft)) == 2
    assert len(ring.did("a", Join)) == 1


def test_the_dead_are_forgotten_at_once(ring: Ring) -> None:
    ring.leave("a")
    ring.run(0.01)
    assert [left.said_so for left in ring.did("b", NodeLeft)] == [True]


def test_announcements_keep_their_schedule_whatever_is_received(ring: Ring) -> None:
    before = len(ring.did("a", Send))
    ring.run(30)
    assert len(ring.did("a", Send)) - before == 10


def test_a_clock_that_was_set_back_a_little_does_not_make_stamps_fall() -> None:
    ring = Ring(sealed=False, a=10)
    node = ring.nodes["a"]
    ring.act("a", node.tick(3, EPOCH + 50))
    ring.act("a", node.tick(6, EPOCH + 20))
    ring.act("a", node.tick(9, EPOCH - 4000))
    assert [send.message.unix - EPOCH for send in ring.did("a", Send)] == [50, 50, -4000]


def test_a_lord_that_abdicates_stands_back_and_comes_again() -> None:
    ring = Ring(sealed=False, timing=changed(Timing(), suspension=30), a=10, b=20, c=30)
    ring.run(12)
    ring.abdicate("a")
    assert ring.lords == {"c"}
    ring.abdicate("c")
    assert ring.did("c", StepDown)[-1].reason == "lost"
    ring.run(20)
    assert ring.lords == {"b"}
    ring.run(30)
    assert ring.lords == {"c"}
