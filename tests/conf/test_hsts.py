"""The option https-hsts (conf/hsts.py)."""

from __future__ import annotations

import pytest

from tests.conf.conftest import Configure
from uwgate.conf.errors import ConfigError
from uwgate.conf.hsts import parse_hsts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "max-age=0"),
        ("max-age=600", "max-age=600"),
        ("600,includeSubDomains", "max-age=600; includeSubDomains"),
        (
            "max-age=63072000; includesubdomains; preload",
            "max-age=63072000; includeSubDomains; preload",
        ),
    ],
)
def test_the_field_has_the_words_of_the_option(text: str, value: str) -> None:
    assert parse_hsts(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1y",
        "600 includeSubDomains",
        "600,sub",
        "600,preload",
        "600,",
        "includeSubDomains",
        "600,includeSubDomains,includeSubDomains",
        "600,includeSubDomains,preload",
        "600\r\nX: y",
    ],
)
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_hsts(text)


def test_the_error_says_where(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"app\.ini:2: https-hsts: '1y': expected MAX-AGE"):
        configure("[uwgate]\nhttps-hsts = 1y\n")
