"""Options of subscription servers that would do no good (subscriptions/servercheck.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load

HTTP = ("--http", ":8080", "--processes", "0")
SERVER = ("--http-subscription-server", "127.0.0.1:4040")


def check(*arguments: str) -> None:
    load([*HTTP, *arguments], {})


@pytest.mark.parametrize(
    "arguments",
    [
        SERVER,
        (*SERVER, "--http-subscription-server", "/run/announce"),
        ("--http-subscription-server", "127.0.0.1:0", "--http-subscription-server", "127.0.0.1:0"),
        (*SERVER, "--http-algo-of", "shop.example=p2c"),
        (*SERVER, "--http-resubscribe", "gate:4040", "--http-resubscribe-bind", "127.0.0.1:4041"),
        (*SERVER, "--subscriptions-sign-skip-uid", "0"),
    ],
)
def test_what_is_right_is_accepted(arguments: tuple[str, ...]) -> None:
    check(*arguments)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--http-subscription-server", "1.2.3.4.5:1"), "no IPv4 address"),
        (("--http-subscription-server", "fd://4"), "a datagram socket is"),
        ((*SERVER, *SERVER), "is taken by http-subscription-server"),
        (
            (
                *SERVER,
                "--fastrouter",
                "127.0.0.1:3031",
                "--fastrouter-subscription-server",
                SERVER[1],
            ),
            "is taken by http-subscription-server",
        ),
        (("--fastrouter-subscription-server", "127.0.0.1:4040"), "no fastrouter is there"),
        ((*SERVER, "--http-algo-of", "shop.example=dice"), "'dice': expected KEY= and one of"),
        ((*SERVER, "--subscriptions-sign-check", "SHA256"), "expected SCHEME:PATH"),
        ((*SERVER, "--subscriptions-sign-check", "MD4:/tmp"), "'MD4' is not one of"),
        ((*SERVER, "--subscriptions-sign-check", "SHA256:/no/where"), "no such folder"),
        ((*SERVER, "--subscriptions-sign-skip-uid", "no-such-user"), "there is no user"),
        ((*SERVER, "--http-resubscribe", "fd://3"), "can only be listened on"),
        ((*SERVER, "--http-resubscribe-bind", "/a/path"), "announcements leave from host:port"),
        (("--http-resubscribe", "127.0.0.1:4041"), "there is no http-subscription-server"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(arguments: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        check(*arguments)
    assert "command line" in str(caught.value)


def test_a_folder_has_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check(*SERVER, "--subscriptions-sign-check", f"ED25519:{tmp_path}")
    with pytest.raises(ConfigError, match="no such folder"):
        check(*SERVER, "--subscriptions-sign-check", f"ED25519:{tmp_path}/file")
