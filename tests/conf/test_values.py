"""What texts mean, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.errors import ConfigError
from uwgate.conf.registry import known
from uwgate.conf.values import is_false, parse

if TYPE_CHECKING:
    from uwgate.conf.option import Option


def declared(name: str) -> Option:
    option = known(name).option
    assert option is not None
    return option


def read(name: str, value: str | None, *, strict: bool = False) -> tuple[Any, list[str]]:
    remarks: list[str] = []
    return parse(declared(name), value, strict=strict, remark=remarks.append), remarks


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("vacuum", None, True),
        ("vacuum", "", True),
        ("vacuum", "true", True),
        ("vacuum", "True", True),
        ("vacuum", "1", True),
        ("vacuum", "yes", True),
        ("vacuum", "on", True),
        ("vacuum", "false", False),
        ("vacuum", "False", False),
        ("vacuum", "off", False),
        ("vacuum", "no", False),
        ("vacuum", "0", False),
        ("disable-logging", "true", False),
        ("disable-logging", "false", True),
        ("processes", "4", 4),
        ("processes", "0", 0),
        ("log-maxsize", "52428800", 52428800),
        ("log-maxsize", "64k", 65536),
        ("log-maxsize", "1m", 1 << 20),
        ("log-maxsize", "2 GiB", 2 << 30),
        ("reload-on-rss", "512", 512),
        ("reload-on-rss", "2g", 2048),
        ("reload-on-rss", "1k", 1),
        ("http-timeout", "30", 30.0),
        ("http-timeout", "30s", 30.0),
        ("http-timeout", "1.5", 1.5),
        ("http-timeout", "2m", 120.0),
        ("http-timeout", "500ms", 0.5),
        ("http-timeout", "1h", 3600.0),
        ("http-keepalive", None, 60.0),
        ("http-keepalive", "1", 60.0),
        ("http-keepalive", "true", 60.0),
        ("http-keepalive", "0", 0.0),
        ("http-keepalive", "false", 0.0),
        ("http-keepalive", "75", 75.0),
        ("chmod-socket", None, 0o666),
        ("chmod-socket", "1", 0o666),
        ("chmod-socket", "664", 0o664),
        ("chmod-socket", "0660", 0o660),
        ("umask", "022", 0o022),
        ("umask", "0022", 0o022),
        ("umask", "2", 0o002),
        ("log-date", None, ""),
        ("log-date", "true", ""),
        ("log-date", "false", None),
        ("log-date", "%Y", "%Y"),
        ("chdir", "project dir", "project dir"),
        ("mount", "/x=app.py", "/x=app.py"),
        ("mount", "=app.py", "=app.py"),
        ("env", "A=B=C", "A=B=C"),
        ("protocol", "http", "http"),
        ("socket", ":3031", ":3031"),
    ],
)
def test_a_plain_value_needs_no_remark(name: str, value: str | None, meaning: object) -> None:
    assert read(name, value) == (meaning, [])


@pytest.mark.parametrize(
    ("name", "value", "meaning", "remark"),
    [
        ("processes", "3 ; three", 3, "'; three' is taken as a comment"),
        ("processes", "3\t# three", 3, "'# three' is taken as a comment"),
        ("http-timeout", "30 // half", 30.0, "'// half' is taken as a comment"),
        ("vacuum", "true # yes", True, "'# yes' is taken as a comment"),
        ("vacuum", "false ; no", False, "'; no' is taken as a comment"),
        ("socket", ":3031 ; here", ":3031", "'; here' is taken as a comment"),
        ("protocol", "http # x", "http", "'# x' is taken as a comment"),
        ("chmod-socket", "660 ; group", 0o660, "'; group' is taken as a comment"),
        ("vacuum", "certainly", True, "'certainly' is read as true"),
        ("post-buffering", "true", 65536, "'true' stands for 65536"),
        ("post-buffering", "", 65536, "it stands for 65536"),
        ("reload-on-rss", "true", 0, "the default stays"),
        ("max-requests", "false", 0, "'false' stands for 0"),
        ("buffer-size", "65536", 65535, "65535 is used"),
        ("chdir", "/srv # here", "/srv # here", "is part of the value"),
        ("module", '"app"', '"app"', "the quotes are part of the value"),
    ],
)
def test_an_odd_value_is_understood_with_a_remark(
    name: str, value: str, meaning: object, remark: str
) -> None:
    understood, remarks = read(name, value)
    assert understood == meaning
    assert len(remarks) == 1
    assert remark in remarks[0]


@pytest.mark.parametrize("value", ["a;b", "a # b", '"a"', "%(uri) // x"])
def test_a_log_format_is_taken_as_it_is(value: str) -> None:
    assert read("log-format", value) == (value, [])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("processes", "abc", "'abc': expected a number"),
        ("processes", "4x", "expected a number"),
        ("processes", "", "expected a number"),
        ("processes", "-1", "expected at least 0"),
        ("processes", "٣", "expected a number"),
        ("processes", "$(WORKERS)", "what it refers to is not set"),
        ("processes", "9" * 30, "expected a number"),
        ("threads", "0", "expected at least 1"),
        ("http-modifier1", "256", "expected at most 255"),
        ("http-timeout", "soon", "expected seconds"),
        ("http-timeout", "99999d", "at most ten years"),
        ("log-maxsize", "1x", "expected bytes"),
        ("reload-on-rss", "lots", "expected megabytes"),
        ("chmod-socket", "888", "octal mode"),
        ("chmod-socket", "66", "octal mode"),
        ("chmod-socket", "66666", "octal mode"),
        ("env", "NAME", "expected NAME=value"),
        ("env", "=x", "expected NAME=value"),
        ("protocol", "fastcgi", "not one of: uwsgi, http, http11"),
        ("socket", "host:port", "expected a port"),
        ("socket", ":$(PORT)", "what it refers to is not set"),
        ("http-to", "fd://3", "can only be listened on"),
        ("socket", "", "no value"),
        ("env", "", "no value"),
    ],
)
def test_garbage_is_an_error_that_says_what_was_expected(
    name: str, value: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(name, value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("vacuum", "certainly"), ("reload-on-rss", "true")])
def test_strict_sections_take_no_word_of_the_wrong_type(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        read(name, value, strict=True)


@given(st.text(max_size=20))
def test_a_boolean_is_false_exactly_for_the_four_words(text: str) -> None:
    assert is_false(text) == (text.strip().lower() in {"false", "off", "no", "0"})


@given(st.integers(0, 10**9), st.sampled_from(["", "k", "M", "g"]))
def test_sizes_are_powers_of_1024(number: int, unit: str) -> None:
    factor = 1024 ** " kmg".index(unit.lower() or " ")
    assert read("log-maxsize", f"{number}{unit}") == (number * factor, [])
