"""Options about headers of every response, and actions on headers."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.routing import HeaderOptions
from uwgate.conf.option import options_of
from uwgate.routing.headers import OPTIONS, HeaderRules, Lent, compile_headers
from uwgate.routing.outside import Outside
from uwgate.routing.results import Break
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import MAX_VALUE, Transaction


def test_options_are_read() -> None:
    triples = [
        ("add-header", "X-A: b: c ", "x"),
        ("rem-header", "X-B", "x"),
        ("del-header", "X-C", "x"),
        ("collect-header", "X-D D", "x"),
        ("response-header-collect", "X-E E", "x"),
        ("pull-header", "X-F  F", "x"),
    ]
    lent = (Lent(b"x-d", b"D", False), Lent(b"x-e", b"E", False), Lent(b"x-f", b"F", True))
    added = ((b"X-A", b"b: c"),)
    assert compile_headers(triples) == HeaderRules(added, frozenset([b"x-b", b"x-c"]), lent)


def test_the_options_are_those_that_are_declared() -> None:
    declared = options_of(HeaderOptions, "headers").values()
    names = {name for one in declared for name in (one.name, *one.aliases)}
    assert names - {"router-list", "routers-list"} == set(OPTIONS)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("add-header", "nothing"),
        ("add-header", "X: a\nY: b"),
        ("add-header", "X Y: z"),
        ("collect-header", "X-A"),
        ("pull-header", " X"),
    ],
)
def test_a_mistake_is_an_error_with_its_place(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"a.ini:3: {option} = "):
        compile_headers([(option, value, "a.ini:3")])


def test_of_repeated_headers_the_last_is_lent() -> None:
    transaction = Transaction({}, headers=[(b"X-A", b"1"), (b"x-a", b"2"), (b"Y", b"3")])
    HeaderRules(lent=(Lent(b"x-a", b"V", True),)).lend(transaction)
    assert transaction.get(b"V") == b"2"
    assert transaction.headers == [(b"Y", b"3")]


def test_a_value_that_is_too_long_for_a_variable_is_not_lent() -> None:
    transaction = Transaction({}, headers=[(b"X", b"a" * (MAX_VALUE + 1))])
    HeaderRules(lent=(Lent(b"x", b"V", False),)).lend(transaction)
    assert b"V" not in transaction.variables
    assert len(transaction.headers) == 1


def respond(action: str) -> Transaction:
    """The response chain with one action, on a response with two headers."""
    transaction = Transaction({b"A": b"x" * MAX_VALUE})
    transaction.begin_response(200, b"OK", [(b"X-A", b"1"), (b"X-B", b"2")])
    rules = compile_rules([("response-route-run", action, "x")])
    run = rules.response.start(transaction, Outside())
    transaction.logged = not isinstance(run.verdict, Break)
    return transaction


def test_headers_are_removed_whatever_their_case() -> None:
    assert respond("delheader:x-a").headers == [(b"X-B", b"2")]


def test_headers_are_cleared_and_a_status_is_set() -> None:
    transaction = respond("resetheaders:503")
    assert transaction.headers == []
    assert (transaction.status, transaction.reason) == (503, b"Service Unavailable")


def test_a_header_that_is_too_long_is_not_added() -> None:
    transaction = respond("addheader:X: ${A}${A}")
    assert transaction.added == []
    assert not transaction.logged


def test_headers_that_were_sent_cannot_be_cleared() -> None:
    transaction = Transaction({}, headers_sent=True)
    rules = compile_rules([("route-run", "clearheaders:200", "x")])
    run = rules.request.start(transaction, Outside())
    assert run.verdict == Break("the headers were sent already", 500)


def test_rules_send_no_more_than_fits() -> None:
    rules = compile_rules([("route-run", "send:${A}", "x")] * 100)
    run = rules.request.start(Transaction({b"A": b"x" * MAX_VALUE}), Outside())
    assert isinstance(run.verdict, Break)
    assert "rules send more than" in str(run.verdict.reason)
