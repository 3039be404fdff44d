"""Actions that make documents of others: what they ask, and what becomes of the reply."""

from __future__ import annotations

import gzip

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.routing import libraries
from uwgate.routing.libraries import load
from uwgate.routing.machine import Machine
from uwgate.routing.outside import Outside
from uwgate.routing.results import (
    Answer,
    ApplyStylesheet,
    Break,
    Expertise,
    Failed,
    FillPage,
    Reply,
)
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Header, Scope, Transaction
from uwgate.routing.transformations.stream import MAX_BUFFER, Pipeline

from .acting import act


@pytest.fixture(autouse=True)
def _libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "is_installed", lambda module: True)


def test_xslt_asks_for_a_document_as_a_stylesheet_makes_it() -> None:
    run = act("xslt:doc=/srv/$1.xml,stylesheet=/styles/a.xsl,params=a=1&b=${TAG}", TAG="x&y=2")
    assert run.question == ApplyStylesheet(
        b"/styles/a.xsl",
        None,
        ((b"a", b"1"), (b"b", b"x&y=2")),
        b"/srv//p.xml",
        b"/srv",
    )


def test_a_text_without_a_name_brings_several_parameters() -> None:
    run = act("xslt:doc=/d,stylesheet=/s,params=a=1&${QUERY_STRING}&b=2", QUERY_STRING="a=3&c&d=")
    assert isinstance(run.question, ApplyStylesheet)
    assert run.question.params == ((b"a", b"3"), (b"d", b""), (b"b", b"2"))


def test_too_many_parameters_are_the_clients_fault() -> None:
    query = "&".join(f"a{number}=" for number in range(65))
    verdict = act("xslt:doc=/d,stylesheet=/s,params=${QUERY_STRING}", QUERY_STRING=query).verdict
    assert isinstance(verdict, Break)
    assert verdict.status == 400


@pytest.mark.parametrize(
    ("action", "content_type"),
    [
        ("xslt:doc=/d,stylesheet=/s", b"text/html"),
        ("xslt:doc=/d,stylesheet=/s,content_type=image/svg+xml", b"image/svg+xml"),
        ("ssi:/srv/page", b"text/html"),
    ],
)
def test_what_comes_out_is_the_answer(action: str, content_type: bytes) -> None:
    run = act(action)
    run.resume(b"<p>")
    headers = ((b"Content-Length", b"3"), (b"Content-Type", content_type))
    assert run.verdict == Answer(200, b"OK", headers, b"<p>")


@pytest.mark.parametrize("action", ["xslt:doc=/d,stylesheet=/s", "ssi:/srv/page"])
def test_what_cannot_be_made_has_a_status_and_a_reason(action: str) -> None:
    run = act(action)
    run.resume(Failed("no such file", 404))
    assert run.verdict == Break("no such file", 404)
    assert len(run.scope.transaction.effects) == 1


def test_ssi_asks_for_a_page_that_stays_where_it_is() -> None:
    run = act("ssi:/srv/pages/$1", path="/../x")
    assert run.question == FillPage(
        b"/srv/pages//../x", b"/srv/pages", dict(run.scope.transaction.variables)
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("xslt:doc=/d", "the key 'stylesheet' is missing"),
        ("xslt:stylesheet=/d", "the key 'doc' is missing"),
        ("toxslt:params=a=b", "the key 'stylesheet' is missing"),
        ("toxslt:stylesheet=/s,doc=/d", "unknown key 'doc'"),
        ("ssi:", "expected the path of a page"),
        ("ssi:${nosuch[x]}", "nosuch"),
        ("xslt:doc=/d,stylesheet=/s,params=a=${nosuch[x]}", "nosuch"),
    ],
)
def test_a_mistake_stops_the_start(value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules([("route-run", value, "x:1")])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("value", "extra"),
    [
        ("xslt:doc=/d,stylesheet=/s", "xslt"),
        ("toxslt:stylesheet=/s", "xslt"),
        ("ldapauth:A,url=ldap://x;basedn=dc=x", "ldap"),
        ("radius:realm=A,server=127.0.0.1:1812,secret=s", "radius"),
        ("spnego:HTTP@host", "spnego"),
    ],
)
def test_a_package_that_is_missing_stops_the_start(
    value: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "is_installed", lambda module: False)
    with pytest.raises(ConfigError) as caught:
        compile_rules([("route-run", value, "x:1")])
    assert f"pip install uwgate[{extra}]" in str(caught.value)


def test_a_package_that_does_not_work_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(libraries.LIBRARIES, "xslt", ("uwgate.nosuch", "xslt"))
    load(["ssi", "log"])
    with pytest.raises(ConfigError, match=r"uwgate\[xslt\]"):
        load(["log", "xslt"])


# toxslt


class World(Outside):
    """Makes a text of what it is to transform."""

    def __init__(self, reply: bytes | str = b"") -> None:
        self.reply = reply
        self.wanted: list[ApplyStylesheet] = []

    def transform(self, wanted: ApplyStylesheet) -> bytes | str:
        self.wanted.append(wanted)
        return self.reply


def transform(
    world: World, *pieces: bytes, action: str = "toxslt:stylesheet=/s,params=p=1", before: str = ""
) -> tuple[bytes, list[bytes], Transaction]:
    """What comes out in the end, and before it; and the transaction."""
    actions = [*([before] if before else []), action]
    transaction = act(*actions).scope.transaction
    headers: list[Header] = [(b"Content-Type", b"text/xml"), (b"Content-Length", b"9")]
    transaction.begin_response(200, b"OK", headers)
    pipeline = Pipeline(transaction, world)
    assert pipeline.takes_long
    early = [pipeline.feed(piece) for piece in pieces]
    return pipeline.finish(), early, transaction


def test_toxslt_gives_what_becomes_of_the_whole_body() -> None:
    world = World(b"<b/>")
    last, early, transaction = transform(world, b"<r>", b"</r>")
    assert (last, early) == (b"<b/>", [b"", b""])
    assert world.wanted == [ApplyStylesheet(b"/s", None, ((b"p", b"1"),), content=b"<r></r>")]
    assert transaction.headers == [(b"Content-Type", b"text/html")]
    assert transaction.status == 200


def test_toxslt_says_a_type_as_the_rule_does() -> None:
    action = "toxslt:stylesheet=/s,content_type=image/svg+xml"
    _, _, transaction = transform(World(b"<b/>"), b"<r/>", action=action)
    assert transaction.headers == [(b"Content-Type", b"image/svg+xml")]


def test_an_empty_body_is_not_transformed() -> None:
    world = World(b"<b/>")
    last, _, transaction = transform(world)
    assert (last, world.wanted, transaction.status) == (b"", [], 200)


def test_what_cannot_be_transformed_reaches_nobody() -> None:
    last, early, transaction = transform(World("it is broken"), b"<secret>")
    assert (last, early) == (b"Internal Server Error", [b""])
    assert transaction.status == 500
    assert transaction.headers == [(b"Content-Type", b"text/plain")]
    assert "it is broken" in repr(transaction.effects)


def test_an_error_is_compressed_like_any_other_body() -> None:
    transaction = act("toxslt:stylesheet=/s", "gzip:").scope.transaction
    transaction.begin_response(200, b"OK", [(b"ETag", b"x"), (b"Content-Type", b"text/xml")])
    pipeline = Pipeline(transaction, World("it is broken"))
    pipeline.feed(b"<secret>")
    assert gzip.decompress(pipeline.finish()) == b"Internal Server Error"
    assert (b"Content-Encoding", b"gzip") in transaction.headers
    assert b"ETag" not in dict(transaction.headers)


def test_a_body_that_is_too_long_reaches_nobody() -> None:
    world = World(b"<b/>")
    last, early, transaction = transform(world, bytes(MAX_BUFFER), b"x")
    assert (last, early, world.wanted) == (b"Internal Server Error", [b"", b""], [])
    assert transaction.status == 500


def test_a_body_that_was_cut_off_is_not_transformed() -> None:
    world = World(b"<b/>")
    transaction = act("toxslt:stylesheet=/s").scope.transaction
    pipeline = Pipeline(transaction, world)
    pipeline.feed(b"<r>")
    assert pipeline.finish(complete=False) == b""
    assert world.wanted == []


def test_behind_flush_a_failure_changes_nothing_for_the_client() -> None:
    last, early, transaction = transform(World("it is broken"), b"<r/>", before="flush:")
    assert (last, early) == (b"", [b"<r/>"])
    assert transaction.status == 200
    assert (b"Content-Type", b"text/xml") in transaction.headers


@pytest.mark.parametrize(
    ("reply", "found"),
    [(b"<b/>", b"<b/>"), (Failed("broken"), "broken"), (None, "there is no answer")],
)
def test_a_machine_asks_an_expert(reply: Reply, found: bytes | str) -> None:
    asked: list[Expertise] = []

    def ask(question: Expertise) -> Reply:
        asked.append(question)
        return reply

    wanted = ApplyStylesheet(b"/s", None)
    assert Machine(ask=ask).transform(wanted) == found
    assert asked == [wanted]
    assert isinstance(Machine().transform(wanted), str)


def test_where_nobody_transforms_there_is_an_error() -> None:
    assert isinstance(
        Scope(Transaction({}), Outside()).outside.transform(ApplyStylesheet(b"/s", None)), str
    )
