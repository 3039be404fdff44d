"""What zerg servers gave, as sockets of a configuration."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.master.test_sockets import settings_of
from uwgate.attaching import Gift
from uwgate.conf.errors import ConfigError
from uwgate.sockets import Sockets, bind_all

Bind = Callable[..., Sockets]
PATH = "/run/pool.sock"


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def bind(notes: list[str]) -> Iterator[Bind]:
    """Bind with what the server at ``PATH`` gave; fields of sockets by name."""
    opened: list[Sockets] = []

    def bind_them(
        gift: Gift,
        *,
        previous: Sockets | None = None,
        zerg: dict[str, Any] | None = None,
        workers: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Sockets:
        settings = settings_of(
            zerg={"zerg": (PATH,)} if zerg is None else zerg, sockets=fields, workers=workers or {}
        )
        found = bind_all(settings, notes.append, previous=previous, gifts={PATH: gift})
        opened.append(found)
        return found

    yield bind_them
    for one in opened:
        one.close_and_vacuum()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        yield sock


def gift(*sockets: socket.socket) -> Gift:
    return Gift(tuple(one.fileno() for one in sockets))


def address_of(sock: socket.socket) -> str:
    return f"127.0.0.1:{sock.getsockname()[1]}"


def test_given_sockets_speak_the_default_protocol(bind: Bind, listening: socket.socket) -> None:
    (one,) = bind(gift(listening), protocol="http").listeners
    assert (one.role, one.name) == ("http-socket", address_of(listening))
    assert one.fd != listening.fileno()


def test_an_option_with_the_same_address_says_what_is_spoken(
    bind: Bind, listening: socket.socket
) -> None:
    sockets = bind(gift(listening), http11_socket=(address_of(listening),))
    assert [one.role for one in sockets.listeners] == ["http11-socket"]


def test_a_reload_keeps_a_socket_that_is_given_again(bind: Bind, listening: socket.socket) -> None:
    first = bind(gift(listening))
    again = socket.socket(fileno=os.dup(listening.fileno()))
    with again:
        second = bind(gift(again), previous=first)
    assert second.listeners == first.listeners


def test_a_reload_keeps_all_sockets_if_nobody_answers(
    bind: Bind, listening: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    first = bind(gift(listening))
    second = bind(Gift(error="gone"), previous=first)
    assert second.listeners == first.listeners
    assert "what it gave before is kept" in caplog.text


def test_a_socket_that_came_twice_is_one_listener(bind: Bind, listening: socket.socket) -> None:
    with socket.socket(fileno=os.dup(listening.fileno())) as again:
        assert len(bind(gift(listening, again)).listeners) == 1


def test_a_server_that_gives_nothing_stops_the_start(bind: Bind) -> None:
    with pytest.raises(ConfigError, match=f"zerg = {PATH}: it does not answer in time"):
        bind(Gift(error="it does not answer in time"))


def test_with_fallback_our_own_sockets_are_enough(
    bind: Bind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = bind(
        Gift(error="nobody"),
        zerg={"zerg": (PATH,), "zerg_fallback": True},
        http_socket=(str(tmp_path / "own.sock"),),
    )
    assert [one.name for one in sockets.listeners] == [str(tmp_path / "own.sock")]
    assert "going on without it (zerg-fallback)" in caplog.text


def test_a_pool_gives_its_own_sockets_and_a_server_those_of_the_workers(
    bind: Bind, tmp_path: Path
) -> None:
    names = [str(tmp_path / name) for name in ("pool", "a", "b", "server", "worker")]
    pool, a, b, server, worker = names
    sockets = bind(
        Gift(),
        zerg={"zergpool": (f"{pool}:{a},{b}",), "zerg_server": server},
        uwsgi_socket=(worker,),
    )
    given = [
        (one.name, one.endpoint) for one in sockets.zergpool_listeners if one.role == "zerg-socket"
    ]
    assert given == [(a, pool), (b, pool), (worker, server)]


def test_a_server_without_workers_says_who_is_to_serve(
    bind: Bind, tmp_path: Path, notes: list[str]
) -> None:
    bind(
        Gift(),
        zerg={"zerg_server": str(tmp_path / "server")},
        uwsgi_socket=(str(tmp_path / "worker"),),
        workers={"processes": 0},
    )
    assert notes == []


def test_a_server_without_sockets_is_refused(bind: Bind, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="our workers have 0 sockets to give"):
        bind(
            Gift(),
            zerg={
                "zerg_server": str(tmp_path / "server"),
                "zergpool": (f"{tmp_path}/pool:{tmp_path}/a",),
            },
        )
