"""Whom a request tries, in which order, and what is remembered of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.corerouter.routers import (
    SERVER,
    announce,
    begin,
    failing,
    leave,
    name,
    pool,
    router,
    served,
    start,
    table_of,
)
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.subscriptions.balancing.sticky import StickyCookies
from uwgate.subscriptions.change import Change, Out

A, B, C, D, E, F = (f"127.0.0.1:{port}" for port in range(3001, 3007))


# Order


def test_live_nodes_come_before_the_fallbacks_which_come_in_order() -> None:
    assert failing(pool(A, B, fallback=(E, F))) == [B, A, E, F]


def test_no_more_than_max_retries_others_are_tried() -> None:
    assert len(failing(pool(A, B, C, D, E, F))) == 4
    assert len(failing(pool(A, B, C, max_retries=1, fallback=(E,)))) == 3
    assert failing(pool(A, B, max_retries=0)) == [B]


def test_static_backends_follow_each_other() -> None:
    assert failing(router(to=(A, B, C), fallback=(F,))) == [A, B, C, F]


def test_the_first_mapper_in_uwsgis_order_is_the_only_one(tmp_path: str) -> None:
    options = {
        "use_pattern": "/pattern/%s",
        "subscription_server": (A,),
        "use_base": "/base/",
        "to": (B,),
    }
    assert failing(router(**options)) == ["/pattern/a"]
    del options["use_pattern"]
    assert failing(router(**options)) == []
    del options["subscription_server"]
    assert failing(router(**options)) == ["/base/a"]
    del options["use_base"]
    assert failing(router(**options)) == [B]


def test_whoever_was_connected_is_followed_by_nobody() -> None:
    attempts = begin(pool(A, B))
    attempts.next(0.0)
    attempts.connected(0.0)
    with pytest.raises(ValueError, match="has not failed"):
        attempts.next(0.0)
    attempts.end(0.0)


# Modifiers


def test_modifiers_are_those_of_the_node_that_is_tried() -> None:
    made = pool(fallback=(F,))
    announce(made, A, modifier1=5, modifier2=1)
    announce(made, B, modifier1=9)
    attempts = begin(made)
    found = []
    while target := attempts.next(0.0):
        found.append((target.modifier1, target.modifier2))
        attempts.failed(0.0, "refused")
    assert found == [(9, 0), (5, 1), (None, None)]


def test_what_a_node_says_anew_counts_for_the_next_request() -> None:
    made = pool()
    found = []
    for modifier1, proto in ((5, ""), (6, ""), (6, "http")):
        announce(made, A, modifier1=modifier1, proto=proto)
        attempts = begin(made)
        target = attempts.next(0.0)
        assert target is not None
        found.append((target.modifier1, target.speaks_http))
        attempts.end(0.0)
    assert found == [(5, False), (6, False), (6, True)]


def test_a_node_says_that_it_speaks_http() -> None:
    made = pool()
    announce(made, A, proto="http")
    target = begin(made).next(0.0)
    assert target is not None
    assert target.speaks_http


# Failure


def test_a_node_that_cannot_be_connected_gets_nothing_until_it_is_back() -> None:
    made = pool(A, B)
    assert failing(made) == [B, A]
    assert failing(made, 4.9) == []
    announce(made, A, now=4.9)
    assert [served(made, 4.9) for _ in range(3)] == [A, A, A]


def test_what_a_request_finds_out_is_told() -> None:
    made = pool(A)
    told: list[Change] = []
    made.tell = told.append
    failing(made, 1.0)
    assert [type(change) for change in told] == [Out]


def test_a_busy_node_is_passed_over_but_not_put_out() -> None:
    made = pool(A, B)
    attempts = begin(made)
    assert name(attempts.next(0.0)) == B
    assert attempts.patience(0.0) == made.BUSY_PATIENCE
    attempts.failed(0.0, "full", busy=True)
    assert name(attempts.next(0.0)) == A
    assert attempts.patience(0.0) == made.options.connect_timeout
    attempts.failed(0.0, "full", busy=True)
    assert attempts.next(0.0) is None
    attempts.end(0.0)
    assert {served(made) for _ in range(4)} == {A, B}


def test_a_fallback_is_worth_leaving_a_busy_node() -> None:
    made = pool(A, fallback=(F,))
    attempts = begin(made)
    attempts.next(0.0)
    assert attempts.patience(0.0) == made.BUSY_PATIENCE
    attempts.failed(0.0, "full", busy=True)
    attempts.next(0.0)
    assert attempts.patience(0.0) == made.options.connect_timeout
    attempts.end(0.0)


def test_bad_answers_in_a_row_put_a_node_out() -> None:
    made = pool(A, B, eject_failures=3)
    for _ in range(6):
        attempts = begin(made)
        target = attempts.next(0.0)
        attempts.connected(0.0)
        attempts.answered(0.0, good=name(target) == B)
        attempts.end(0.0)
    assert [served(made) for _ in range(3)] == [B, B, B]


def test_a_good_beginning_that_breaks_off_is_a_bad_answer() -> None:
    made = pool(A, B, eject_failures=3)
    for _ in range(6):
        attempts = begin(made)
        target = attempts.next(0.0)
        attempts.connected(0.0)
        attempts.answered(0.0, good=True)
        if name(target) == A:
            attempts.answered(0.0, good=False)
        attempts.end(0.0)
    assert [served(made) for _ in range(3)] == [B, B, B]


def test_a_bad_answer_counts_once() -> None:
    made = pool(A, B, eject_failures=2)
    attempts = begin(made)
    attempts.next(0.0)
    attempts.connected(0.0)
    attempts.answered(0.0, good=False)
    attempts.answered(0.0, good=False)
    attempts.end(0.0)
    assert {served(made) for _ in range(2)} == {A, B}


def test_the_time_of_a_good_answer_is_measured_from_the_connection() -> None:
    made = pool(A)
    attempts = begin(made)
    target = attempts.next(1.0)
    attempts.connected(2.0)
    attempts.answered(5.0, good=True)
    attempts.end(90.0)
    assert target is not None
    assert target.node is not None
    assert target.node.latency == 3.0


def test_a_request_whose_client_left_says_nothing_about_the_node() -> None:
    made = pool(A, B, eject_failures=1)
    for _ in range(4):
        attempts = begin(made)
        attempts.next(0.0)
        attempts.connected(0.0)
        attempts.end(0.0)
    assert {served(made) for _ in range(2)} == {A, B}


# Budget


def test_a_storm_of_failures_is_not_made_worse_by_retries() -> None:
    made = router(to=(A, B), retry_budget=20, gracetime=0.0)
    tried = [len(failing(made)) for _ in range(1000)]
    # 30 were saved before, and every request saves a fifth of one.
    assert sum(tried) - len(tried) == pytest.approx(230, abs=2)


def test_fallbacks_are_not_paid_for() -> None:
    made = router(to=(A, B), retry_budget=0, gracetime=0.0, fallback=(F,))
    assert all(failing(made)[-1] == F for _ in range(100))


# The end


def test_a_node_that_leaves_stays_until_its_last_request_has_ended() -> None:
    made = pool(A)
    attempts = begin(made)
    attempts.next(0.0)
    attempts.connected(0.0)
    leave(made, A)
    assert not table_of(made).is_empty
    attempts.end(0.0, tx=5, rx=6)
    assert table_of(made).is_empty
    attempts.end(0.0)  # again is the same as once


def test_bytes_are_counted_at_the_node() -> None:
    made = pool(A)
    attempts = begin(made)
    target = attempts.next(0.0)
    attempts.end(0.0, tx=5, rx=6)
    assert target is not None
    assert target.node is not None
    assert (target.node.tx, target.node.rx, target.node.reference) == (5, 6, 0)


@given(st.lists(st.sampled_from(["fail", "busy", "connect", "good", "bad", "end"]), max_size=12))
def test_whatever_happens_every_reference_is_given_back(events: list[str]) -> None:
    made = pool(A, B, C, fallback=(F,))
    attempts = begin(made)
    target = attempts.next(0.0)
    ended = False
    for event in events:
        if target is None or ended:
            break
        match event:
            case "fail" | "busy":
                attempts.failed(0.0, "refused", busy=event == "busy")
                target = attempts.next(0.0)
            case "connect":
                attempts.connected(0.0)
            case "good" | "bad":
                attempts.answered(0.0, good=event == "good")
            case _:
                attempts.end(0.0)
                ended = True
    attempts.end(0.0)
    slot = table_of(made).slots["a"]
    assert slot.reference == 0
    assert [node.reference for node in slot.members.values()] == [0, 0, 0]


# Outcomes


def test_a_name_that_nobody_serves() -> None:
    attempts = begin(pool(A), "other")
    assert attempts.next(0.0) is None
    assert attempts.outcome is Outcome.NOBODY


def test_everybody_has_failed() -> None:
    attempts = begin(pool(A))
    attempts.next(0.0)
    attempts.failed(0.0, "refused")
    assert attempts.next(0.0) is None
    assert attempts.outcome is Outcome.EXHAUSTED


def test_everybody_is_busy() -> None:
    made = pool(A, node_connections=1)
    first = begin(made)
    first.next(0.0)
    second = begin(made)
    assert second.next(0.0) is None
    assert second.outcome is Outcome.FULL
    first.end(0.0)
    assert served(made) == A


def test_a_name_without_nodes_has_the_fallback() -> None:
    assert failing(pool(A, fallback=(F,)), key="other") == [F]


def test_no_mapper_at_all_has_nobody() -> None:
    assert failing(router()) == []


def test_a_client_may_come_back_when_the_first_node_does() -> None:
    made = pool(A, B, eject_time=5.0)
    for now in (0.0, 2.0):
        attempts = begin(made)
        attempts.next(now)
        attempts.failed(now, "refused")
        attempts.end(now)
    attempts = begin(made)
    assert attempts.next(2.5) is None
    assert attempts.retry_after(2.5) == 3
    assert attempts.retry_after(4.9) == 1
    assert begin(made, "other").retry_after(0.0) == 1


# What nodes announce


def test_an_address_that_is_none_costs_nobody_a_request() -> None:
    made = pool("127.0.0.1:no", "host:99999", A)
    assert {served(made) for _ in range(4)} == {A}
    assert failing(pool("127.0.0.1:no", fallback=(F,))) == [F]


def test_a_cookie_leads_back_to_its_node_until_that_fails() -> None:
    cookies = StickyCookies(b"0123456789abcdef")
    made = Corerouter(
        "http", start(subscription_server=(SERVER,)), sticky=cookies, clock=lambda: 0.0
    )
    announce(made, A)
    announce(made, B)
    value = cookies.value(table_of(made).slots["a"].members[A])
    assert [served(made, sticky=value) for _ in range(5)] == [A] * 5
    attempts = begin(made, sticky=value)
    attempts.next(0.0)
    attempts.failed(0.0, "refused")
    assert name(attempts.next(0.0)) == B
    attempts.end(0.0)
    assert served(made, sticky=value) == B
    assert served(made, sticky="no cookie of ours") == B


def test_the_client_decides_where_iphash_is_used() -> None:
    made = pool(A, B, C, algo="iphash")
    assert served(made, client=b"127.0.0.1") == C  # 16777343 modulo 3
    assert served(made, client=b"::1") == B
    assert served(made, client=b"") == A
    assert served(made, client=b"no address") == A


def test_what_belongs_together_stays_together_with_chash() -> None:
    made = pool(A, B, C, algo="chash")
    assert len({served(made, affinity=b"alice") for _ in range(9)}) == 1
    assert len({served(made, affinity=b"%d" % n) for n in range(50)}) == 3
