"""Actions that change the request (spec/internal-routing.md sections 6.2 and 6.4)."""

from __future__ import annotations

import pytest

from uwgate.routing.actions.request import decode_path, divided
from uwgate.routing.outside import Outside
from uwgate.routing.results import Continue
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction


def changed(*actions: str, **variables: str) -> dict[str, str]:
    """What the actions change of a request for /s/p?q."""
    found = {"PATH_INFO": "/s/p", "SCRIPT_NAME": "/s", "QUERY_STRING": "q", **variables}
    before = {name.encode(): value.encode() for name, value in found.items()}
    transaction = Transaction(before)
    rules = compile_rules(("route", f"^/(.*) {action}", "x") for action in actions)
    assert rules.request.start(transaction, Outside()).verdict == Continue()
    return {name.decode(): transaction.get(name).decode() for name in transaction.changed}


CASES: list[tuple[str, dict[str, str]]] = [
    ("addvar:A=$1=${QUERY_STRING}", {"A": "s/p=q"}),
    ("setapp:$1", {"UWSGI_APPID": "s/p"}),
    ("setuser:bob:secret", {"REMOTE_USER": "bob"}),
    ("setscriptname:/x", {"SCRIPT_NAME": "/x"}),
    ("setmethod:PUT", {"REQUEST_METHOD": "PUT"}),
    ("seturi:/u", {"REQUEST_URI": "/u"}),
    ("setremoteaddr:::1", {"REMOTE_ADDR": "::1"}),
    ("setpathinfo:/%41?b", {"PATH_INFO": "/%41?b"}),
    ("fixpathinfo:", {"PATH_INFO": "/p"}),
    ("setdocroot:/srv", {"DOCUMENT_ROOT": "/srv"}),
    ("setscheme:https", {"UWSGI_SCHEME": "https"}),
    ("rewrite:/new/$1", {"PATH_INFO": "/new/s/p"}),
    ("rewrite:/new?a=%20", {"PATH_INFO": "/new", "QUERY_STRING": "a=%20&q"}),
    ("rewrite:/new?", {"PATH_INFO": "/new", "QUERY_STRING": "&q"}),
    ("rewrite-last:/%61", {"PATH_INFO": "/a"}),
]


@pytest.mark.parametrize(("action", "changes"), CASES)
def test_an_action_changes_its_variable(action: str, changes: dict[str, str]) -> None:
    assert changed(action) == changes


def test_a_query_alone_is_not_followed_by_an_ampersand() -> None:
    assert changed("rewrite:/a?b", QUERY_STRING="")["QUERY_STRING"] == "b"


def test_a_script_name_that_is_no_prefix_stays() -> None:
    assert changed("fixpathinfo:", SCRIPT_NAME="/other") == {"PATH_INFO": "/s/p"}


SUMS = [
    ("+:N", "8"),
    ("+:N,${N}", "14"),
    ("-:N,10", "-3"),
    ("*:N,-2", "-14"),
    ("/:N,2", "3"),
    ("/:N,0", "0"),
    ("/:N,-2", "-3"),
    ("+:N,x", "7"),
    ("*:N,999999999999999999", str(7 * 999999999999999999)),
]


@pytest.mark.parametrize(("action", "result"), SUMS)
def test_a_variable_is_calculated_with(action: str, result: str) -> None:
    assert changed(action, N="7") == {"N": result}


def test_a_number_stays_within_64_bits() -> None:
    top = "9" * 18
    assert changed(f"*:N,{top}", N=top) == {"N": str(2**63 - 1)}


def test_a_quotient_loses_its_fraction() -> None:
    assert [divided(7, 2), divided(-7, 2), divided(-7, -2), divided(1, 0)] == [3, -3, 3, 0]


PATHS = [
    (b"/a%20b", b"/a b"),
    (b"/a/../b", b"/b"),
    (b"/a/./b/.", b"/a/b/"),
    (b"/../../a", b"/a"),
    (b"/a/%2e%2E/b", b"/b"),
    (b"/a%2f..%2fb", b"/b"),
    (b"/a/..", b"/"),
    (b"/.a/..b/c..", b"/.a/..b/c.."),
    (b"//a///b", b"//a///b"),
    (b"/%zz%4%", b"/%zz%4%"),
    (b"", b""),
    (b".", b"/"),
    (b"../a", b"/a"),
]


@pytest.mark.parametrize(("path", "decoded"), PATHS)
def test_a_path_is_decoded_and_never_leaves_its_root(path: bytes, decoded: bytes) -> None:
    assert decode_path(path) == decoded
