"""Whatever rules meet whatever requests: a verdict, in bounded steps, and never a crash."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.conf.errors import ConfigError
from uwgate.routing.catalog import ACTION_KINDS, CONDITION_KINDS
from uwgate.routing.explain import explain
from uwgate.routing.outside import Outside
from uwgate.routing.results import Cached, Decision, Failed, Question, Reply
from uwgate.routing.rule import SUBJECTS
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction
from uwgate.routing.transformations.stream import Pipeline

TEXTS = [
    "",
    "/a",
    "$1",
    "$0${PATH_INFO}",
    "${cookie[a]}",
    "${qs[$1]}",
    "x",
    "404",
    "1",
    "${math[V+1]}",
    "a\\,b",
]
ARGUMENTS = [
    "{0}",
    "{0};{1}",
    "{0},{1}",
    "V={0}",
    "X: {0}",
    "/s,0,0",
    "key={0},name=c,value={1}",
    "key={0},var=V,items=a;b",
    "addr=/s,key={0}",
    "filename={0}",
    "realm,{0}:{1}",
    "f {0} {1}",
    "V f {0}",
    "unix={0},value={1}",
    "m:f,failure=goon",
    "a {0}",
    "{0};^(a|/)+(.*)$",
    "{0};10.0.0.0/8",
    "",
]
SHORT = ["^/(.*)$", "(.)(a)?", "(a+)+$", "^/a", "(?i)B", "^$", r"(\w)\1", ".*.*.*x"]

arguments = st.builds(
    lambda shape, one, other: shape.format(one, other),
    st.sampled_from(ARGUMENTS),
    st.sampled_from(TEXTS),
    st.sampled_from(TEXTS),
)
actions = st.builds(
    lambda name, argument: f"{name}:{argument}",
    st.sampled_from(["goto:l1", "goto:$1", *ACTION_KINDS]),
    arguments,
) | st.sampled_from(["goto:l1", "goto:l2", "goto:$1", "last:", "break:"])
conditions = st.builds(
    lambda name, argument: f"{name}:{argument}".replace(" ", ""),
    st.sampled_from(list(CONDITION_KINDS)),
    arguments,
)
rules = st.one_of(
    st.tuples(st.just("route-run"), actions),
    st.tuples(
        st.sampled_from([f"route{suffix}" for suffix in SUBJECTS]),
        st.builds(lambda pattern, action: f"{pattern} {action}", st.sampled_from(SHORT), actions),
    ),
    st.tuples(
        st.sampled_from(["route-if", "route-if-not"]),
        st.builds(lambda condition, action: f"{condition} {action}", conditions, actions),
    ),
    st.tuples(st.just("route-label"), st.sampled_from(["l1", "l2", "a"])),
)


def compiles(rule: tuple[str, str]) -> bool:
    """Whether a rule by itself is right; labels are there, whichever it wants."""
    labels = [("route-label", label, "x") for label in ("l1", "l2", "a")]
    try:
        compile_rules([(*rule, "x"), *labels])
    except ConfigError:
        return False
    return True


texts = st.binary(max_size=30) | st.sampled_from(
    [b"/a", b"/aaaa!", b"a=1; b=2", b"/" * 200 + b"\n"]
)
requests = st.dictionaries(
    st.sampled_from(
        [b"PATH_INFO", b"HTTP_HOST", b"QUERY_STRING", b"HTTP_COOKIE", b"V", b"REMOTE_ADDR"]
    ),
    texts,
)
replies = st.sampled_from(
    [
        None,
        True,
        False,
        b"",
        b"goto l1",
        b"break 404",
        Cached(b"v", 5),
        Decision(variables=((b"PATH_INFO", b"/b"),)),
        Failed("slow"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(rules.filter(compiles), max_size=10),
    requests,
    st.lists(replies, min_size=12, max_size=12),
    st.lists(st.binary(max_size=20), max_size=3),
)
def test_there_is_always_a_verdict(
    lines: list[tuple[str, str]],
    variables: dict[bytes, bytes],
    answers: list[Reply],
    body: list[bytes],
) -> None:
    labels = [("route-label", label, "x") for label in ("l1", "l2", "a")]
    try:
        chain = compile_rules([*((*line, "x") for line in lines), *labels]).request
    except ConfigError:  # a label further up
        return
    transaction = Transaction(dict(variables))
    run = chain.start(transaction, Outside())
    given_answers = iter(answers)
    while run.verdict is None:
        run.resume(next(given_answers))  # at most one question a rule

    pipeline = Pipeline(transaction, Outside())
    for piece in body:
        pipeline.feed(piece)
    pipeline.finish()

    other = Transaction(dict(variables))
    more_answers = iter(answers)

    def reply(question: Question) -> Reply:
        del question
        return next(more_answers)

    tale = explain(chain, other, Outside(), reply)
    assert tale.verdict == run.verdict
    assert len(tale.steps) == len(chain.rules)
    assert tale.lines()
    assert other.variables == transaction.variables


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["route", "route-if", "route-run", "error-route-status"]), st.text(max_size=60)
)
def test_any_text_is_a_rule_or_an_error_with_its_place(option: str, text: str) -> None:
    assert problem_of(option, text).startswith(("a.ini:1: ", "none"))


def problem_of(option: str, text: str) -> str:
    """What is wrong with a rule; ``none`` if nothing is."""
    try:
        compile_rules([(option, text, "a.ini:1")])
    except ConfigError as error:
        return str(error)
    return "none"


@settings(max_examples=100, deadline=None)
@given(st.text(r"abc()[]{}|*+?\.^$0123456789-,:<>=!#PRQEdwsi& ", max_size=30))
def test_any_pattern_is_searched_for_or_refused(text: str) -> None:
    try:
        chain = compile_rules([("route", f"{text} addvar:V=$1", "x")]).request
    except ConfigError:
        return
    for path in (b"", b"/a", b"aaaa" * 500 + b"!", b"\n", bytes(range(256))):
        transaction = Transaction({b"PATH_INFO": path})
        assert chain.start(transaction, Outside()).verdict is not None
