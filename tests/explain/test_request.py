"""A request as a person writes it."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.explain.request import Asked, Side, read_asked, variables_of


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["/path"], Asked("GET", "/path")),
        (["GET /path"], Asked("GET", "/path")),
        (["POST", "/path?a=1", "X-A: b"], Asked("POST", "/path?a=1", (("X-A", "b"),))),
        (["GET /p Host: example.com"], Asked("GET", "/p", (("Host", "example.com"),))),
        (
            ["GET /p Host: a", "User-Agent: curl: 8"],
            Asked("GET", "/p", (("Host", "a"), ("User-Agent", "curl: 8"))),
        ),
        (["GET /p\nHost: a\nX-B:c"], Asked("GET", "/p", (("Host", "a"), ("X-B", "c")))),
        (["http://a/p"], Asked("GET", "http://a/p")),
        (["/p X-A: b"], Asked("GET", "/p", (("X-A", "b"),))),
        (["OPTIONS", "*"], Asked("OPTIONS", "*")),
    ],
)
def test_a_request_is_read_from_words(words: list[str], asked: Asked) -> None:
    assert read_asked(words) == asked


@pytest.mark.parametrize("words", [[""], ["GET"], ["path"], ["GET /p X"], ["/p", "no header"]])
def test_what_is_no_request_is_an_error_with_an_example(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected something like"):
        read_asked(words)


def test_rules_see_what_the_gateway_makes_of_a_request() -> None:
    variables = variables_of(
        Asked("GET", "/a%20b/../c?q=%20", (("X-One", "1"), ("X-One", "2"), ("Connection", "x"))),
        Side("10.0.0.1", secure=True, variables=(("TAG", "ä"),)),
    )
    expected = {
        b"REQUEST_METHOD": b"GET",
        b"REQUEST_URI": b"/a%20b/../c?q=%20",
        b"PATH_INFO": b"/c",
        b"QUERY_STRING": b"q=%20",
        b"HTTP_X_ONE": b"1, 2",
        b"HTTP_HOST": b"localhost",
        b"REMOTE_ADDR": b"10.0.0.1",
        b"SERVER_PORT": b"443",
        b"HTTPS": b"on",
        b"TAG": "ä".encode(),
    }
    assert {name: variables[name] for name in expected} == expected
    assert b"HTTP_CONNECTION" not in variables


def test_a_url_as_target_names_the_host() -> None:
    variables = variables_of(Asked("GET", "http://example.com/p", (("Host", "other"),)), Side())
    assert variables[b"HTTP_HOST"] == b"example.com"


@pytest.mark.parametrize(
    "asked",
    [
        Asked("GET", "/%zz"),
        Asked("GET", "path"),
        Asked("GET", "/", (("Host", "a"), ("Host", "b"))),
        Asked("GET", "/", (("X", "a\r\nY: b\x00"),)),
    ],
)
def test_a_request_that_the_gateway_refuses_reaches_no_rule(asked: Asked) -> None:
    with pytest.raises(ConfigError, match="no rule sees this request, it is refused: "):
        variables_of(asked, Side())
