"""Where an address leads, with and without asking."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio
import trio.testing

from uwgate.conf.address import parse_backend
from uwgate.gateways.names import BELIEVED, Names, Where


class Resolver(trio.abc.HostnameResolver):
    """Knows one name, and counts who asks."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.gate = trio.Event()
        self.gate.set()

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        self.asked += 1
        await self.gate.wait()
        if host != b"here":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses
        ]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
async def resolver() -> Resolver:
    found = Resolver("192.0.2.1")
    trio.socket.set_custom_hostname_resolver(found)
    return found


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/run/a.sock", Where(socket.AF_UNIX, "/run/a.sock")),
        ("@a", Where(socket.AF_UNIX, "\0a\0")),
        ("192.0.2.1:80", Where(socket.AF_INET, ("192.0.2.1", 80))),
        (":80", Where(socket.AF_INET, ("127.0.0.1", 80))),
        ("[2001:db8::1]:80", Where(socket.AF_INET6, ("2001:db8::1", 80, 0, 0))),
    ],
)
def test_what_is_no_name_is_known(text: str, place: Where) -> None:
    names = Names()
    assert names.find(parse_backend(text), 0.0) == (place,)
    assert names.find(parse_backend(text), 0.0) == (place,)


def test_a_path_and_an_abstract_name_are_not_the_same() -> None:
    names = Names()
    assert names.find(parse_backend("a"), 0.0) == (Where(socket.AF_UNIX, "a"),)
    assert names.find(parse_backend("@a"), 0.0) == (Where(socket.AF_UNIX, "\0a\0"),)


async def test_a_name_is_asked_for_and_believed_for_a_while(
    resolver: Resolver, autojump_clock: trio.testing.MockClock
) -> None:
    names = Names()
    address = parse_backend("here:80")
    assert names.find(address, trio.current_time()) is None
    await names.look_up(address)
    place = Where(socket.AF_INET, ("192.0.2.1", 80))
    assert names.find(address, trio.current_time()) == (place,)
    await trio.sleep(BELIEVED)
    assert names.find(address, trio.current_time()) is None
    assert resolver.asked == 1


async def test_that_there_is_no_such_name_is_known_then(resolver: Resolver) -> None:
    names = Names()
    address = parse_backend("nowhere:80")
    await names.look_up(address)
    assert names.find(address, trio.current_time()) == ()


async def test_many_requests_ask_once(resolver: Resolver) -> None:
    names = Names()
    address = parse_backend("here:80")
    resolver.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(names.look_up, address)
        await trio.testing.wait_all_tasks_blocked()
        resolver.gate.set()
    assert resolver.asked == 1
    assert names.find(address, trio.current_time()) is not None


async def test_who_asks_may_leave(resolver: Resolver) -> None:
    names = Names()
    address = parse_backend("here:80")
    resolver.gate = trio.Event()
    with trio.move_on_after(0):
        await names.look_up(address)
    resolver.gate.set()
    await names.look_up(address)
    assert names.find(address, trio.current_time()) is not None
