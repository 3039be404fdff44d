"""Rules that are Python functions: what they see, what they may say, and what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.routing import results
from uwgate.routing.chain import Run
from uwgate.routing.effects import Log
from uwgate.routing.functions import Answer, Change, Counts, Functions, decide
from uwgate.routing.outside import Outside
from uwgate.routing.results import Break, CallFunction, Continue, Decision, Failed
from uwgate.routing.rules import Rules, compile_rules
from uwgate.routing.transaction import RuleError, Transaction
from uwgate.routing.view import Request

MODULE = """
from uwgate.rules import Answer, Change

NO_FUNCTION = 5

def check(request):
    if request.path == "/crash":
        raise LookupError(request.path)
    if request.path == "/exit":
        raise SystemExit(3)
    if request.path == "/teapot":
        return 418
    if request.path == "/answer":
        return Answer(200, "grüße", {"Content-Type": "text/plain"})
    if request.path == "/change":
        return Change({"TAG": request.header("X-Tag")}, path="/ä", headers=[("X-Rule", "1")])
    if request.path == "/last":
        return Change(last=True)
    if request.path == "/nonsense":
        return [1]
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """The functions of a module that is called ruled."""
    (tmp_path / "ruled.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ruled", raising=False)
    made = Functions()
    made.load(["ruled:check"])
    return made


RULES = [("route-python", "ruled:check", "a:1"), ("route-run", "addvar:NEXT=yes", "a:2")]


def run(
    functions: Functions, path: bytes, rules: list[tuple[str, str, str]] = RULES, took: float = 0.0
) -> tuple[Run, Transaction]:
    """A request through rules whose functions take so many seconds."""
    transaction = Transaction({b"PATH_INFO": path, b"HTTP_X_TAG": b"t"})
    chain = compile_rules(rules).request.start(transaction, Outside())
    while isinstance(chain.question, CallFunction):
        question = chain.question
        chain.resume(functions.settle(question, functions.call(question), took))
    return chain, transaction


def test_none_goes_on_with_the_next_rule(functions: Functions) -> None:
    chain, transaction = run(functions, b"/")
    assert chain.verdict == Continue()
    assert transaction.get(b"NEXT") == b"yes"


def test_a_number_is_a_status(functions: Functions) -> None:
    chain, _ = run(functions, b"/teapot")
    assert isinstance(chain.verdict, results.Answer)
    assert (chain.verdict.status, chain.verdict.reason) == (418, b"I'm a teapot")


def test_an_answer_is_given_with_its_length(functions: Functions) -> None:
    chain, _ = run(functions, b"/answer")
    assert chain.verdict == results.Answer(
        200,
        b"OK",
        ((b"Content-Type", b"text/plain"), (b"Content-Length", b"7")),
        "grüße".encode(),
    )


def test_a_change_is_seen_by_the_next_rules_and_the_response(functions: Functions) -> None:
    _, transaction = run(functions, b"/change")
    assert transaction.get(b"PATH_INFO") == "/ä".encode()
    assert transaction.get(b"TAG") == b"t"
    assert transaction.get(b"NEXT") == b"yes"
    assert transaction.added == [(b"X-Rule", b"1")]


def test_last_leaves_the_chain(functions: Functions) -> None:
    chain, transaction = run(functions, b"/last")
    assert chain.verdict == Continue()
    assert transaction.get(b"NEXT") == b""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"/crash", "LookupError: /crash"),
        (b"/exit", "SystemExit: 3"),
        (b"/nonsense", "TypeError: returned a list: expected None, a status, Answer or Change"),
    ],
)
def test_a_function_that_fails_ends_the_request_with_500(
    functions: Functions, path: bytes, reason: str
) -> None:
    chain, transaction = run(functions, path)
    assert chain.verdict == Break(f"python:ruled:check: {reason}", 500)
    log = transaction.effects[0]
    assert isinstance(log, Log)
    assert reason in log.text.decode()
    assert functions.counts["ruled:check"].failures == 1


def test_a_rule_may_say_that_a_failure_does_not_matter(functions: Functions) -> None:
    rules = [("route-python", "ruled:check,failure=goon", "a:1"), RULES[1]]
    chain, transaction = run(functions, b"/crash", rules)
    assert chain.verdict == Continue()
    assert transaction.effects == [Log(b"python:ruled:check: LookupError: /crash", problem=True)]


def test_a_rule_may_say_another_status(functions: Functions) -> None:
    chain, _ = run(functions, b"/crash", [("route-python", "ruled:check,failure=503", "a:1")])
    assert isinstance(chain.verdict, Break)
    assert chain.verdict.status == 503


def test_what_comes_too_late_counts_for_nothing(functions: Functions) -> None:
    rules = [("route-python", "ruled:check,budget=0.25", "a:1")]
    chain, _ = run(functions, b"/answer", rules, took=0.5)
    assert chain.verdict == Break("python:ruled:check: took 0.500 s, budget 0.25 s", 500)
    assert functions.counts["ruled:check"] == Counts(calls=1, overruns=1, seconds=0.5)


def test_a_call_that_nobody_waits_for_is_an_overrun(functions: Functions) -> None:
    question = CallFunction("ruled:check", Request(Transaction({}), responding=False), 0.1)
    assert functions.settle(question, None, 0.1) == Failed("took 0.100 s, budget 0.1 s")
    assert functions.counts["ruled:check"].overruns == 1


def test_a_function_that_is_not_loaded_fails() -> None:
    question = CallFunction("ruled:other", Request(Transaction({}), responding=False), 0.1)
    assert Functions().call(question) == Failed("it is not loaded")


def test_who_cannot_call_functions_fails_them() -> None:
    chain = compile_rules(RULES).request.start(Transaction({}), Outside())
    chain.resume(None)
    assert chain.verdict == Break("python:ruled:check: nobody calls functions here", 500)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ruled:nope", "AttributeError"),
        ("no_such_module:f", "ModuleNotFoundError"),
        ("ruled:NO_FUNCTION", "cannot be called"),
    ],
)
def test_what_cannot_be_imported_is_an_error(functions: Functions, name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"route-python = {name}: {problem}"):
        functions.load([name])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "module",
        "module:",
        "a b:c",
        "m:f,budget=0",
        "m:f,budget=x",
        "m:f,budget=61",
        "m:f,failure=200",
        "m:f,failure=never",
        "m:f,what=1",
    ],
)
def test_a_rule_that_cannot_mean_anything_stops_the_start(value: str) -> None:
    with pytest.raises(ConfigError, match="a:1: route-python = "):
        compile_rules([("route-python", value, "a:1")])


def test_the_rules_know_which_functions_they_call() -> None:
    rules: Rules = compile_rules(
        [
            ("route-python", "a.b:c,budget=1", "x"),
            ("response-route", "^/x python:d:e", "x"),
            ("route-run", "last:", "x"),
        ]
    )
    assert rules.functions == {"a.b:c", "d:e"}


def test_a_function_of_the_response_sees_its_head() -> None:
    transaction = Transaction({}, status=404, headers=[(b"X-A", b"b")])
    chain = compile_rules([("response-route-python", "m:f", "x")]).response
    question = chain.start(transaction, Outside()).question
    assert isinstance(question, CallFunction)
    assert question.request.status == 404
    assert question.request.response_headers == (("X-A", "b"),)


def test_a_function_sees_the_request_and_cannot_change_it() -> None:
    variables = {
        b"REQUEST_METHOD": b"PUT",
        b"PATH_INFO": b"/\xff",
        b"QUERY_STRING": b"a=1",
        b"HTTP_HOST": b"example.com",
        b"REMOTE_ADDR": b"10.0.0.1",
        b"REMOTE_USER": b"eve",
        b"CONTENT_TYPE": b"a/b",
    }
    request = Request(Transaction(dict(variables)), responding=False)
    request.variables()["PATH_INFO"] = "/other"
    assert (request.method, request.path, request.query) == ("PUT", "/\udcff", "a=1")
    assert (request.host, request.remote_address, request.user) == (
        "example.com",
        "10.0.0.1",
        "eve",
    )
    assert request.header("content-type") == "a/b"
    assert request.header("X-None") == ""


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (True, TypeError),
        ("403", TypeError),
        (99, ValueError),
        (Answer(1000), ValueError),
        (Answer(200, reason="a\nb"), ValueError),
        (Answer(200, "x" * ((4 << 20) + 1)), ValueError),
        (Answer(200, headers={"Transfer-Encoding": "chunked"}), ValueError),
        (Answer(200, headers={"X": "a\r\nY: b"}), RuleError),
        (Change({"A": 5}), TypeError),  # type: ignore[dict-item]
    ],
)
def test_nonsense_is_refused(said: object, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        decide(said)


def test_an_answer_without_body_has_no_length() -> None:
    assert decide(204) == Decision(results.Answer(204, b"No Content"))
