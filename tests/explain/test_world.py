"""What rules are told of the world while nobody is asked."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from uwgate.explain.answers import read_answers
from uwgate.explain.world import World
from uwgate.routing.outside import FileTest
from uwgate.routing.results import (
    Authority,
    CacheAdd,
    CacheGet,
    CacheSum,
    CallFunction,
    CallRpc,
    CheckCredentials,
    CheckPassword,
    Decision,
    Failed,
    FillPage,
    Question,
    Reply,
    Store,
    StoreGet,
    Sum,
)
from uwgate.routing.transaction import Transaction
from uwgate.routing.view import Request

BOB = base64.b64encode(b"bob:pw")


def world(*answers: str) -> World:
    return World(read_answers(answers), now=5.0)


@pytest.mark.parametrize(
    ("question", "reply", "hint"),
    [
        (CacheGet(b"pages", b"k"), None, "cache:pages/k=VALUE"),
        (StoreGet(Store.REDIS, b"a", b"k"), None, "redis:k=VALUE"),
        (CallRpc(b"f", ()), None, "rpc:f=RESULT"),
        (
            CallFunction("m:f", Request(Transaction({}), responding=False), 1.0),
            Decision(),
            "python:m:f=403",
        ),
        (CheckCredentials(Authority.RADIUS, BOB, ()), None, "radius:USER=yes"),
    ],
)
def test_what_nobody_knows_is_assumed_and_said(question: Question, reply: Reply, hint: str) -> None:
    ours = world()
    assert ours.reply(question) == reply
    ours.reply(question)
    (guess,) = ours.guesses
    assert guess.endswith(f"(say otherwise with --answer '{hint}')")


@pytest.mark.parametrize(
    ("answer", "question", "reply"),
    [
        ("redis:k=v", StoreGet(Store.REDIS, b"a", b"k"), b"v"),
        ("rpc:f=x=y", CallRpc(b"f", ()), b"x=y"),
        ("radius:bob=yes", CheckCredentials(Authority.RADIUS, BOB, ()), b"bob"),
        ("radius:eve=yes", CheckCredentials(Authority.RADIUS, BOB, ()), None),
        ("spnego:eve=yes", CheckCredentials(Authority.NEGOTIATE, b"token", ()), b"eve"),
        ("cache:k=v", CacheAdd(b"", b"k", b"new"), False),
        ("cache:k=v", CacheAdd(b"", b"other", b"new"), True),
        ("cache:k=v", CacheSum(b"", b"k", Sum.ADD, 1), True),
    ],
)
def test_what_was_said_is_the_reply(answer: str, question: Question, reply: Reply) -> None:
    assert world(answer).reply(question) == reply


def test_documents_are_made_of_real_files(tmp_path: Path) -> None:
    (tmp_path / "page").write_text('<!--#echo var="A"--><!--#cache key="k"--><!--#none-->')
    ours = world("cache:k=v")
    page = FillPage(os.fsencode(tmp_path / "page"), None, {b"A": b"a"})
    assert ours.reply(page) == b"av"
    assert "unknown command" in ours.guesses[0]
    assert isinstance(ours.reply(FillPage(b"/nowhere/page", None, {})), Failed)


def test_conditions_are_answered_as_well() -> None:
    ours = world("metric:hits=-5", "lord:site=yes", "geoip:city=Rome", "cache:k=v", "time:now=9")
    assert ours.metric(b"hits") == -5
    assert ours.is_lord(b"site")
    assert ours.place_of(b"", b"city") == b"Rome"
    assert ours.in_cache(b"", b"k")
    assert ours.now() == 9.0
    assert not ours.guesses


def test_of_the_rest_nothing_is_there() -> None:
    ours = world()
    assert ours.metric(b"hits") is None
    assert not ours.is_lord(b"site")
    assert ours.place_of(b"", b"city") == b""
    assert not ours.in_cache(b"", b"k")
    assert len(ours.guesses) == 4


def test_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("five!")
    (tmp_path / "link").symlink_to("file")
    path = bytes(tmp_path)
    ours = world()
    assert ours.check_file(path, FileTest.DIRECTORY)
    assert ours.check_file(path, FileTest.EXECUTABLE)
    assert ours.check_file(path + b"/file", FileTest.FILE)
    assert ours.check_file(path + b"/link", FileTest.LINK)
    assert not ours.check_file(path + b"/none", FileTest.EXISTS)
    assert ours.modified(path + b"/none") is None
    assert ours.modified(path + b"/file")
    assert ours.attribute(path + b"/file", b"user.none") == b""
    assert ours.mime_type(b"/a/b.css") == b"text/css"


def test_a_password_is_looked_up_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("bob:{SHA}" + base64.b64encode(bytes.fromhex(SHA_OF_PW)).decode() + "\n")
    assert world().reply(CheckPassword(bytes(file), b"bob", b"pw")) is True
    assert world().reply(CheckPassword(bytes(file), b"bob", b"no")) is False
    ours = world()
    assert ours.reply(CheckPassword(b"/nope", b"bob", b"pw")) is False
    assert "No such file" in ours.guesses[0]


SHA_OF_PW = "1a91d62f7ca67399625a4368a6ab5d4a3baa6073"  # SHA-1
