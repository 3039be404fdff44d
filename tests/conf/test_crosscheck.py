"""Options that are right each by itself, and wrong together."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from uwgate.conf.errors import ConfigError

if TYPE_CHECKING:
    from tests.conf.conftest import Configure


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http = =0\n", "app.ini:2: http = =0: there is no such shared-socket, known: none"),
        ("shared-socket = :1\nsocket = =1\n", "app.ini:3: socket = =1: there is no such"),
        ("shared-socket = :1\nshared-socket = :2\nhttp = =2\n", "known: =0 to =1"),
        ("shared-socket = =0\n", "a shared socket has an address"),
        ("http = :80\nsocket = :80\n", "app.ini:3: socket = :80: this address is taken by http"),
        ("socket = /x\nsocket = /x\n", "app.ini:3: socket = /x: this address is taken by socket"),
        ("http = 127.0.0.1:80\nsocket = 127.0.0.1:80\n", "taken by http at"),
        ("fastrouter = :80\nsocket = :80\n", "taken by fastrouter at"),
        ("shared-socket = :1\nfastrouter = =0\nfastrouter = =0\n", "taken by fastrouter at"),
        ("rawrouter = :1\nsslrouter-passthrough = :1\n", "taken by rawrouter at"),
        (
            "rawrouter = :1\nsslrouter = :1,crt,key\n",
            "sslrouter = :1: this address is taken by raw",
        ),
        ("rawrouter = :1\nsslrouter2 = addr=:1,cert=c,key=k\n", "taken by rawrouter at"),
        ("sslrouter = :1\n", "app.ini:2: sslrouter = :1: 0 parts, expected CERTIFICATE,KEY"),
        ("sslrouter2 = addr=:1\n", "app.ini:2: sslrouter2 = addr=:1: cert= is missing"),
        ("shared-socket = :1\nfastrouter = =0\nhttp-socket = =0\n", "taken by fastrouter at"),
        (
            "http = :80\nhttp-stats = :80\n",
            "http-stats-server = :80: this address is taken by http",
        ),
        ("http-stats = /s\nfastrouter-ss = /s\n", "taken by http-stats-server at /"),
        ("http-stats = :1\nhttp-stats = =0\n", "app.ini:3: http-stats-server = =0: there is no"),
    ],
)
def test_a_clash_is_told_with_its_line(configure: Configure, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(f"[uwsgi]\n{text}")
    assert reason in str(caught.value)


NODES = "http = :2\nhttp-subscription-server = :1\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (NODES + "http-check = ping\n", "http-check = ping: expected tcp, uwsgi, or a path"),
        (NODES + "http-check = /a b\n", "http-check = /a b: expected"),
        (NODES + "http-check = \n", "http-check = : expected"),
        ("http = :2\nfastrouter-stats = /s\n", "fastrouter-stats-server: no fastrouter is there"),
        ("http = :2\nrawrouter-stats = /s\n", "rawrouter-stats-server: no rawrouter is there"),
        ("http = :2\nsslrouter-stats = /s\n", "sslrouter-stats-server: no sslrouter is there"),
        ("fastrouter = :2\nhttp-ss = /s\n", "http-stats-server: no http is there to be shown"),
        (NODES + "fastrouter-check = tcp\n", "there is no fastrouter-subscription-server"),
    ],
)
def test_what_would_come_to_nothing_is_told(configure: Configure, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(f"[uwsgi]\n{text}")
    assert reason in str(caught.value)


@pytest.mark.parametrize("check", ["tcp", "uwsgi", "/", "/health?deep=1"])
def test_nodes_are_checked_in_one_of_three_ways(configure: Configure, check: str) -> None:
    loaded = configure(f"[uwsgi]\n{NODES}http-check = {check}\n")
    assert loaded.settings.http_corerouter.check == check


@pytest.mark.parametrize(
    "text",
    [
        "shared-socket = :1\nhttp = =0\n",
        "shared-socket = :1\nfastrouter = =0\nsocket = =0\n",
        "shared-socket = :1\nfastrouter = =0\nuwsgi-socket = =0\n",
        "http = :0\nsocket = :0\n",
        "http = :80\nsocket = :80\nreuse-port = true\n",
        "http = :80\nhttp-to = :81\nsocket = /x\n",
    ],
)
def test_what_goes_together_is_taken(configure: Configure, text: str) -> None:
    assert configure(f"[uwsgi]\n{text}").notes == ()


@pytest.mark.parametrize(
    ("option", "module", "extra"),
    [("http-auto-brotli", "brotli", "brotli"), ("http-auto-zstd", "zstandard", "zstd")],
)
def test_an_option_says_what_to_install_for_it(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, option: str, module: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(ConfigError) as caught:
        configure(f"[uwsgi]\n{option} = true\n")
    assert f"app.ini:2: {option}: needs " in str(caught.value)
    assert f"pip install 'uwgate[{extra}]'" in str(caught.value)


@pytest.mark.parametrize("option", ["http-auto-brotli", "http-auto-zstd"])
def test_an_option_that_is_off_needs_nothing(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert configure(f"[uwsgi]\n{option} = false\n").notes == ()
