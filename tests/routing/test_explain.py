"""What explain says of each rule."""

from __future__ import annotations

from uwgate.routing.conversation import Conversation, settle
from uwgate.routing.explain import Fate, explain, told
from uwgate.routing.outside import Outside
from uwgate.routing.results import Answer, Cached
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
    return explain(chain, transaction, Outside(), lambda question: Cached(b"hit")).lines()


def test_each_rule_says_what_it_saw_and_did() -> None:
    assert lines(b"/u/bob") == [
        r"a.ini:1: route = ^/u/(\w+) addvar:WHO=$1",
        r"    PATH_INFO is '/u/bob', wanted '^/u/(\w+)': yes",
        "    $0='/u/bob', $1='bob'",
        "    WHO is now 'bob'",
        "    then the next rule",
        "a.ini:2: route-if = equal:${WHO};eve break:403",
        "    equal of 'bob' and 'eve': no",
        "a.ini:3: route-if-not = empty:${WHO} goto:known",
        "    not empty of 'bob': yes",
        "    go to 'known', rule 4",
        "a.ini:4: route-run = log:never  [skipped]",
        "a.ini:6: route = ^/admin basicauth:(hidden)",
        "    PATH_INFO is '/u/bob', wanted '^/admin': no",
        "a.ini:7: route-run = cache:key=k",
        "    asks the cache for 'k': 'hit'",
        "    answer 200 OK, 3 bytes; Content-Type: text/html; Content-Length: 3",
        "=> answer 200 OK, 3 bytes; Content-Type: text/html; Content-Length: 3",
    ]


def test_the_verdict_stands_at_the_end() -> None:
    assert lines(b"/u/eve")[-1] == (
        "=> answer 403 Forbidden, 0 bytes; Connection: close; Content-Type: text/plain"
    )


def test_what_went_wrong_is_told() -> None:
    chain = compile_rules([("route-run", "+:NOPE", "a.ini:1")]).request
    tale = explain(chain, Transaction({}), Outside(), lambda question: None)
    assert tale.lines() == [
        "a.ini:1: route-run = +:NOPE",
        "    problem: there is no variable NOPE",
        "=> the request ends, 500: there is no variable NOPE",
    ]


def test_a_password_is_not_shown() -> None:
    assert "secret" not in "\n".join(lines(b"/admin"))


def test_rules_behind_the_verdict_are_not_reached() -> None:
    assert "a.ini:7: route-run = cache:key=k  [not reached]" in lines(b"/u/eve")


CHANGES = [
    ("route-run", "addheader:X-A: b", "x"),
    ("route-run", "remheader:X-B", "x"),
    ("route-run", "send:hello", "x"),
    ("route-run", "gzip:", "x"),
    ("route-run", "log:a line", "x"),
    ("route-run", "clearheaders:201 Made", "x"),
    ("route-run", "donotlog:", "x"),
    ("route-run", "disableheaders:", "x"),
    ("route-run", "setmodifier1:5", "x"),
    ("route-run", "metricinc:hits", "x"),
    ("route-run", "python:m:f,failure=goon", "x"),
    ("route-run", "uwsgi:/s,0,0", "x"),
]


class Metered(Outside):
    def metric(self, name: bytes) -> int | None:
        return 0


def test_whatever_a_rule_changes_is_told() -> None:
    chain = compile_rules(CHANGES).request
    tale = explain(chain, Transaction({}), Metered(), lambda question: None)
    changes = [change.text for step in tale.steps for change in step.changes]
    assert changes == [
        "adds the header X-A: b",
        "drops the header x-b",
        "sends 'hello'",
        "the body goes through gzip",
        "log 'a line'",
        "the status is now 201 Made",
        "the request is not logged",
        "no headers are sent",
        "modifiers are now 5, None",
        "metric hits inc 1",
        "log 'python:m:f: nobody calls functions here'",
    ]
    assert tale.lines()[-1] == "=> handed to uwsgi /s"


def test_all_chains_of_a_conversation_are_told_in_their_order() -> None:
    rules, tales = told(
        compile_rules(
            [
                ("route", "^/gone break:410", "a:1"),
                ("error-route-status", "410 addheader:X-E: 1", "a:2"),
                ("response-route-run", "addheader:X-R: 1", "a:3"),
                ("final-route-run", "log:end", "a:4"),
            ]
        )
    )
    transaction = Transaction({b"PATH_INFO": b"/gone"})
    talk = Conversation(rules, transaction, Outside())
    verdict = settle(talk.request(), lambda question: None)
    settle(talk.finish(), lambda question: None)
    assert isinstance(verdict, Answer)
    assert [tale.chain.name for tale in tales] == ["REQUEST", "ERROR", "RESPONSE", "FINAL"]
    assert all(step.fate is Fate.ACTED for tale in tales for step in tale.steps)
