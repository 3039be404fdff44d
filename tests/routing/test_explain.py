"""What explain says of each rule."""

from __future__ import annotations

from uwgate.routing.explain import explain
from uwgate.routing.outside import Outside
from uwgate.routing.results import Cached
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction

RULES = [
    ("route", r"^/u/(\w+) addvar:WHO=$1", "a.ini:1"),
    ("route-if", "equal:${WHO};eve break:403", "a.ini:2"),
    ("route-if-not", "empty:${WHO} goto:known", "a.ini:3"),
    ("route-run", "log:never", "a.ini:4"),
    ("route-label", "known", "a.ini:5"),
    ("route", "^/admin basicauth:A,bob:secret", "a.ini:6"),
    ("route-run", "cache:key=k", "a.ini:7"),
]


def lines(path: bytes) -> list[str]:
    chain = compile_rules(RULES).request
    transaction = Transaction({b"PATH_INFO": path})
    return explain(chain, transaction, Outside(), lambda question: Cached(b"hit"))


def test_each_rule_says_what_it_saw_and_did() -> None:
    assert lines(b"/u/bob") == [
        r"a.ini:1: route = ^/u/(\w+) addvar:WHO=$1",
        r"    PATH_INFO is '/u/bob', wanted '^/u/(\\w+)': yes",
        "    $0='/u/bob', $1='bob'",
        "    WHO is now 'bob'",
        "    then the next rule",
        "a.ini:2: route-if = equal:${WHO};eve break:403",
        "    equal of 'bob' and 'eve': no",
        "a.ini:3: route-if-not = empty:${WHO} goto:known",
        "    not empty of 'bob': yes",
        "    go to 'known', rule 4",
        "a.ini:6: route = ^/admin basicauth:(hidden)",
        "    PATH_INFO is '/u/bob', wanted '^/admin': no",
        "a.ini:7: route-run = cache:key=k",
        "    ask CacheGet(name=b'', key=b'k')",
        "    asked CacheGet(name=b'', key=b'k'): 'hit'",
        "=> answer 200 OK, 3 bytes; Content-Type: text/html; Content-Length: 3",
    ]


def test_the_verdict_stands_at_the_end() -> None:
    assert lines(b"/u/eve")[-1] == (
        "=> answer 403 Forbidden, 0 bytes; Connection: close; Content-Type: text/plain"
    )


def test_what_went_wrong_is_told() -> None:
    chain = compile_rules([("route-run", "+:NOPE", "a.ini:1")]).request
    told = explain(chain, Transaction({}), Outside(), lambda question: None)
    assert told == [
        "a.ini:1: route-run = +:NOPE",
        "    log: a.ini:1: route-run = +:NOPE: there is no variable NOPE",
        "=> the request ends, 500: there is no variable NOPE",
    ]


def test_a_password_is_not_shown() -> None:
    assert "secret" not in "\n".join(lines(b"/admin"))
