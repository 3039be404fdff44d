"""subscriptions/legion/promises.py: the election of sealed legions."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.election import (
    Crowded,
    Identity,
    Join,
    LordChanged,
    NodeJoined,
    NodeLeft,
    QuorumLost,
    QuorumReached,
    Rise,
    Send,
    State,
    StepDown,
    Timing,
)
from uwgate.subscriptions.legion.promises import PromiseElection
from uwgate.subscriptions.legion.statement import MAX_MEMBERS, Statement

from .ring import SEALED, Ring, changed, state_of


@pytest.fixture
def ring() -> Ring:
    """Three nodes, of which c is lord."""
    ring = Ring(a=10, b=20, c=30)
    ring.run(5)
    assert ring.lords == {"c"}
    return ring


def test_the_highest_valor_becomes_lord_after_one_quiet_tolerance() -> None:
    ring = Ring(a=10, b=20, c=30)
    ring.run(2.99)
    assert ring.lords == set()
    ring.run(0.6)
    assert ring.lords == {"c"}
    assert [len(ring.did(name, Rise)) for name in "abc"] == [0, 0, 1]


def test_of_equal_valors_the_greater_uuid_wins() -> None:
    ring = Ring(a=7, b=7)
    ring.run(5)
    assert ring.lords == {"b"}


def test_an_arbiter_votes_and_is_never_lord() -> None:
    ring = Ring(a=10, z=0)
    ring.run(5)
    assert ring.lords == {"a"}
    ring.kill("a")
    ring.run(20)
    assert ring.lords == set()


def test_a_node_alone_never_becomes_lord() -> None:
    ring = Ring(a=10)
    ring.run(60)
    assert not ring.did("a", Rise)
    assert not ring.did("a", Join)


def test_join_happens_once_and_quorum_is_told_each_time(ring: Ring) -> None:
    ring.cut("ab", "ba", "ac", "ca")
    ring.run(10)
    ring.heal()
    ring.run(10)
    assert len(ring.did("a", Join)) == 1
    assert len(ring.did("a", QuorumReached)) == 2
    assert ring.did("a", QuorumLost) == [QuorumLost(1, 2)]


def test_a_killed_lord_is_replaced_within_tolerance_and_a_bit(ring: Ring) -> None:
    ring.kill("c")
    ring.run(3.3)
    assert ring.lords == {"b"}
    assert [left.said_so for left in ring.did("a", NodeLeft)] == [False]


def test_a_lord_that_says_goodbye_is_replaced_at_once(ring: Ring) -> None:
    ring.leave("c")
    ring.run(0.2)
    assert ring.lords == {"b"}
    assert [left.said_so for left in ring.did("a", NodeLeft)] == [True]


def test_each_lord_has_a_higher_term(ring: Ring) -> None:
    ring.kill("c")
    ring.run(5)
    ring.start("c", 30)
    ring.run(8)
    terms = [rise.term for rise in (*ring.did("c", Rise)[:1], *ring.did("b", Rise))]
    terms.append(ring.did("c", Rise)[1].term)
    assert terms == sorted(set(terms))
    assert ring.lords == {"c"}


def test_a_term_goes_on_from_one_that_was_kept_in_a_file() -> None:
    kept = 1 << 60
    ring = Ring(a=10)
    ring.start("b", 20, term=kept)
    ring.run(5)
    assert ring.did("b", Rise)[0].term > kept


def test_a_better_node_takes_over_without_waiting_for_promises_to_end() -> None:
    ring = Ring(a=10, b=20)
    ring.run(5)
    ring.start("c", 30)
    ring.run(3.3)
    assert ring.lords == {"c"}
    assert [step.reason for step in ring.did("b", StepDown)] == [
        "a node of higher valor can be lord"
    ]


def test_a_lord_in_the_minority_steps_down_before_the_majority_has_another(ring: Ring) -> None:
    ring.cut("ca", "ac", "cb", "bc")
    ring.run(1.7)
    assert ring.lords == set()
    assert ring.did("c", StepDown)
    ring.run(1)
    assert ring.lords == {"b"}


def test_a_lord_that_hears_but_is_not_heard_steps_down(ring: Ring) -> None:
    ring.cut("ca", "cb")
    ring.run(3.5)
    assert ring.lords == {"b"}


def test_a_lord_that_is_heard_but_does_not_hear_steps_down(ring: Ring) -> None:
    ring.cut("ac", "bc")
    ring.run(7)
    assert ring.lords == {"b"}


def test_after_a_partition_has_healed_the_best_node_is_lord_again(ring: Ring) -> None:
    ring.cut("ca", "ac", "cb", "bc")
    ring.run(10)
    ring.heal()
    ring.run(4)
    assert ring.lords == {"c"}


def test_a_stalled_lord_is_none_when_it_wakes_up_whatever_waits_in_its_socket(ring: Ring) -> None:
    ring.stall("c")
    ring.run(10)
    assert ring.lords == {"b"}
    assert not ring.nodes["c"].is_lord(ring.now)
    ring.slow.add("c")
    ring.go_on("c")
    assert state_of(ring, "c") is State.FALLING
    assert ring.did("c", StepDown)
    assert ring.lords == {"b"}


def test_while_unlord_hooks_run_nobody_is_freed() -> None:
    ring = Ring(a=10, b=20)
    ring.run(5)
    ring.slow.add("b")
    ring.start("c", 30)
    ring.run(4)
    assert (state_of(ring, "b"), ring.lords) == (State.FALLING, set())
    ring.act("b", ring.nodes["b"].fell(ring.now, ring.wall))
    ring.run(0.2)
    assert ring.lords == {"c"}


def test_a_node_whose_lord_hook_failed_makes_way_and_tries_again_later() -> None:
    ring = Ring(a=10, b=20, timing=changed(SEALED, suspension=10))
    ring.failing.add("b")
    ring.run(5)
    assert ring.lords == {"a"}
    ring.failing.clear()
    ring.run(10)
    assert ring.lords == {"b"}


def test_without_suspension_a_failed_lord_hook_changes_nothing() -> None:
    ring = Ring(a=10, b=20)
    ring.failing.add("b")
    ring.run(5)
    assert ring.lords == {"b"}


def test_a_started_node_promises_nothing_for_one_tolerance() -> None:
    ring = Ring(a=10, b=20)
    ring.run(5)
    ring.kill("b")
    ring.kill("a")
    ring.start("a", 10)
    ring.start("b", 20)
    ring.run(2.9)
    assert not ring.lords


def test_everybody_is_told_who_is_lord(ring: Ring) -> None:
    lord = ring.nodes["c"].identity.uuid
    assert [ring.did(name, LordChanged)[-1].uuid for name in "abc"] == [lord] * 3


def test_more_nodes_than_the_quorum_was_made_for_are_told_of() -> None:
    ring = Ring(a=1, b=2, c=3, d=4)
    ring.run(10)
    assert ring.did("a", Crowded) == [Crowded(4, 2)]


def test_a_restarted_node_does_not_look_like_one_too_many(ring: Ring) -> None:
    ring.kill("a")
    ring.start("a", 10)
    ring.run(20)
    assert not ring.did("b", Crowded)


def test_a_node_that_is_gone_says_and_hears_nothing(ring: Ring) -> None:
    gone = ring.nodes["a"]
    ring.leave("a")
    sent = len(ring.actions["a"])
    assert gone.tick(ring.now + 9, ring.wall) == []
    assert gone.next_time() == float("inf")
    assert len(ring.actions["a"]) == sent


def test_strangers_make_way_for_strangers_and_are_limited() -> None:
    election = PromiseElection(Identity(b"o" * 16, b"o", 1), quorum=2, timing=SEALED, now=0.0)
    for number in range(MAX_MEMBERS + 9):
        sender = number.to_bytes(16, "big")
        said = Statement(sender=sender, sequence=1, name=b"n", valor=1, hold=3000)
        assert not [
            action for action in election.receive(said, 0.1, 0.0) if isinstance(action, NodeJoined)
        ]
    assert len(election.peers.by_uuid) == MAX_MEMBERS


def test_announcements_keep_their_schedule_whatever_is_received() -> None:
    ring = Ring(a=10, b=20)
    ring.run(30)
    all_sent = [send for send in ring.did("a", Send) if send.to is None]
    assert 30 <= len(all_sent) <= 40


@pytest.mark.parametrize("timing", [Timing(period=0), Timing(period=1, tolerance=2)])
def test_a_timing_that_cannot_work_is_an_error(timing: Timing) -> None:
    with pytest.raises(ConfigError, match=r"legion-(freq|tolerance)"):
        PromiseElection(Identity(b"o" * 16, b"o", 1), quorum=2, timing=timing, now=0.0)


def test_a_sealed_legion_without_a_quorum_is_an_error() -> None:
    with pytest.raises(ConfigError, match="legion-quorum"):
        PromiseElection(Identity(b"o" * 16, b"o", 1), quorum=0, timing=SEALED, now=0.0)


def test_a_lord_that_abdicates_stands_back_and_comes_again() -> None:
    ring = Ring(timing=changed(SEALED, suspension=30), a=10, b=20, c=30)
    ring.run(12)
    ring.abdicate("a")
    assert ring.lords == {"c"}
    ring.abdicate("c")
    assert ring.did("c", StepDown)[-1].reason == "lost"
    ring.run(20)
    assert ring.lords == {"b"}
    ring.run(30)
    assert ring.lords == {"c"}
