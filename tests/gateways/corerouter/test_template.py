"""Addresses made of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.corerouter.template import Template


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("/run/%s.sock", "/run/a.example.sock"),
        ("%s", "a.example"),
        ("/run/%s/%s", "/run/a.example/a.example"),
        ("/run/%%s", "/run/%s"),
        ("/run/100%%/%s", "/run/100%/a.example"),
        ("/run/%d%s", "/run/a.example"),
        ("/run/%s%", "/run/a.example"),
        ("/run/app", "/run/app"),
        ("", ""),
    ],
)
def test_a_pattern_is_filled_as_uwsgi_does_it(pattern: str, address: str) -> None:
    assert Template.of_pattern(pattern).fill("a.example") == address


@pytest.mark.parametrize("key", ["a.example", "a.example:8080", "a.example:"])
def test_the_port_of_a_key_does_not_count(key: str) -> None:
    assert Template.of_base("/run/").fill(key) == "/run/a.example"


def test_a_base_is_taken_as_it_is() -> None:
    assert Template.of_base("/run/%s-").fill("a") == "/run/%s-a"


@pytest.mark.parametrize(
    "key",
    [
        "",
        ":80",
        ".",
        "..",
        "../etc",
        "a/b",
        "a..b",
        "a\0b",
        "a\nb",
        "a\x7f",
        "10.0.0.1:22:80",
        "[::1]:80",
        "a:b",
        "a:\u0662",  # a digit, but not of ASCII
    ],
)
def test_a_key_that_could_lead_elsewhere_has_no_address(key: str) -> None:
    assert Template.of_base("/run/").fill(key) is None
    assert Template.of_pattern("%s:3031").fill(key) is None


@given(st.text())
def test_whatever_the_key_the_address_stays_in_its_folder(key: str) -> None:
    address = Template.of_base("/run/").fill(key) or "/run/x"
    assert address.startswith("/run/")
    assert "/" not in address[5:]
    assert address[5:] not in ("", ".", "..")
