"""Options about backends that are right each by itself, and wrong or idle together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uwgate.conf.codestring import CodeString, parse_code_string
from uwgate.conf.errors import ConfigError
from uwgate.conf.hashing import parse_hash
from uwgate.conf.pair import Severity

if TYPE_CHECKING:
    from tests.conf.conftest import Configure

NODES = "http = :9\nhttp-subscription-server = :1\n"


def warnings(configure: Configure, text: str) -> list[str]:
    loaded = configure(f"[uwsgi]\n{text}")
    return [note.text for note in loaded.notes if note.severity is Severity.WARNING]


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("http-to = :2\n", []),
        ("http-to = :2\nhttp-use-base = /run/\n", ["http-to: http-use-base decides"]),
        (
            f"http-use-socket = true\n{NODES}http-to = :2\n",
            [
                "http-use-socket: http-subscription-server decides",
                "http-to: http-subscription-server decides",
            ],
        ),
        (
            f"{NODES}http-use-pattern = /run/%%s\n",
            ["http-subscription-server: http-use-pattern decides"],
        ),
        ("http-to = :2\nhttp-cheap = true\n", ["http-cheap: it is about nodes of"]),
        ("http-to = :2\nhttp-cheap = false\n", []),
        (f"{NODES}http-cheap = true\nhttp-algo = p2c\nhttp-fallback = :2\n", []),
        ("http = :2\nhttp-fallback = :3\n", ["http-fallback: requests go to our own workers"]),
        ("http-to = :2\nhttp-sticky = node\n", ["http-sticky: there are no subscribed nodes"]),
        (f"{NODES}http-sticky = node\nhttp-hash = path\n", []),
        ("fastrouter-to = :2\nfastrouter-use-base = /\n", ["fastrouter-to: fastrouter-use-base"]),
    ],
)
def test_options_without_effect_are_told(configure: Configure, text: str, idle: list[str]) -> None:
    told = warnings(configure, text)
    assert len(told) == len(idle)
    for line, expected in zip(told, idle, strict=True):
        assert line.replace(" has no effect", "").startswith(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{NODES}http-algo-of = a.example=best\n", "'best' is not one of: wrr, lrc"),
        ("http-fallback = fd://3\n", "can only be listened on"),
        ("fastrouter-to = =0\n", "can only be listened on"),
        ("http-use-code-string = x.py:f\n", "expected 0:FILE:FUNCTION"),
        ("http-use-code-string = 7:x.rb:f\n", "modifier1 7; only Python, 0"),
        ("http-hash = host\n", "expected path, client, 'cookie NAME' or 'header NAME'"),
        ("http-hash = cookie\n", "'' is no name"),
        ("http-sticky = a b\n", "'a b' is no name"),
        ("http-sticky-secret = short\n", "a secret of 5 bytes, expected at least 16"),
    ],
)
def test_what_cannot_be_is_refused(configure: Configure, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(f"[uwsgi]\n{text}")
    assert reason in str(caught.value)


def test_a_file_of_a_function_may_have_a_colon() -> None:
    assert parse_code_string("0:/srv/a:b.py:pick") == CodeString("/srv/a:b.py", "pick")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("path", ("path", "")),
        ("client", ("client", "")),
        ("cookie  session", ("cookie", "session")),
        ("header X-Tenant", ("header", "X-Tenant")),
    ],
)
def test_what_a_hash_is_of(text: str, meaning: tuple[str, str]) -> None:
    assert parse_hash(text) == meaning
