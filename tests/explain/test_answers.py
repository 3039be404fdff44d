"""What a person says of the world."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.explain.answers import Answers, read_answers
from uwgate.routing.results import Answer, Cached, Decision, Failed


def test_an_item_may_name_its_cache() -> None:
    answers = read_answers(["cache:pages//a=one", "cache:/b=two"])
    assert answers.cached(b"pages", b"/a") == Cached(b"one")
    assert answers.cached(b"other", b"/a") is None
    assert answers.cached(b"pages", b"/b") == Cached(b"two")
    assert answers.cached(b"", b"/b") == Cached(b"two")


def test_keys_and_values_may_have_equals_signs() -> None:
    assert read_answers(["cache:a=b=c=d"]).cached(b"", b"a=b") == Cached(b"c=d")


def test_the_last_word_counts() -> None:
    assert read_answers(["rpc:f=1", "rpc:f=2"]).find("rpc", b"f") == b"2"


def test_a_function_may_say_what_functions_say() -> None:
    def decision(text: str) -> Decision | Failed | None:
        return read_answers([f"python:m:f={text}"]).decision("m:f")

    assert decision("next") == Decision()
    assert decision("last") == Decision(last=True)
    assert isinstance(decision("fail"), Failed)
    refused = decision("403")
    assert isinstance(refused, Decision)
    assert isinstance(refused.answer, Answer)
    assert refused.answer.status == 403
    assert Answers().decision("m:f") is None


def test_users_are_those_of_whom_good_was_said() -> None:
    assert read_answers(["radius:eve=yes", "radius:bob=no"]).users("radius") == [b"eve"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cache",
        "cache:key",
        "cookie:a=b",
        "python:m:f=maybe",
        "python:m:f=99",
        "metric:a=b",
        "lord:x=perhaps",
        "time:now=soon",
    ],
)
def test_what_cannot_be_understood_says_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--answer .*: expected "):
        read_answers([text])
