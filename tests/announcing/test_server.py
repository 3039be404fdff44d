"""How datagrams get to a server (announcing/server.py)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock as Clock

from uwgate.announcing.server import MAX_ADDRESSES, RESOLVE_LIMIT, RESOLVE_PERIOD, Server
from uwgate.conf.address import parse_backend

CREDENTIALS = (os.getuid(), os.getgid())
LIMIT = 60.0  # seconds


def listening(
    family: socket.AddressFamily = socket.AF_INET, address: Any = ("127.0.0.1", 0)
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(60.0)
    return sock


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
        (socket.AF_UNIX, "\0uwgate-test-{}"),  # an abstract name of this process
    ],
)
async def test_every_family_is_reached(family: socket.AddressFamily, address: Any) -> None:
    if isinstance(address, str):
        address = address.format(os.getpid())
    with listening(family, address) as ear:
        where = ear.getsockname()
        if isinstance(where, bytes):
            text = "@" + where[1:].decode()
        else:
            host = f"[{where[0]}]" if family == socket.AF_INET6 else where[0]
            text = f"{host}:{where[1]}"
        server = Server(parse_backend(text), CREDENTIALS)
        await server.send([b"one", b"two"], limit=LIMIT)
        server.close()
        assert [ear.recv(10), ear.recv(10)] == [b"one", b"two"]


async def test_a_unix_server_is_told_for_whom_we_speak(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, str(tmp_path / "ear")) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        server = Server(parse_backend(str(tmp_path / "ear")), CREDENTIALS)
        await server.send([b"one"], limit=LIMIT)
        server.close()
        _, ancillary, _, _ = ear.recvmsg(10, 100)
    assert [struct.unpack("3i", data) for _, _, data in ancillary] == [(os.getpid(), *CREDENTIALS)]


async def test_a_server_that_is_not_there_is_logged_once_and_found_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = str(tmp_path / "ear")
    server = Server(parse_backend(path), CREDENTIALS)
    for _ in range(3):
        await server.send([b"lost"], limit=LIMIT)
    assert caplog.messages == [f"subscription server {path}: No such file or directory"]
    with listening(socket.AF_UNIX, path) as ear:
        await server.send([b"found"], limit=LIMIT)
        assert ear.recv(10) == b"found"
    server.close()
    assert caplog.messages[1:] == [f"subscription server {path} takes announcements again"]


async def test_a_udp_port_where_nobody_listens_is_noticed_in_the_next_round(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with listening() as ear:
        port = ear.getsockname()[1]
    server = Server(parse_backend(f"127.0.0.1:{port}"), CREDENTIALS)
    for _ in range(4):
        await server.send([b"lost"], limit=LIMIT)
    assert caplog.messages == [f"subscription server 127.0.0.1:{port}: Connection refused"]
    with listening(address=("127.0.0.1", port)) as ear:
        await server.send([b"one"], limit=LIMIT)
        await server.send([b"two"], limit=LIMIT)
        assert ear.recv(10) == b"one"
    server.close()
    assert len(caplog.messages) == 2


async def test_a_full_queue_is_waited_for(tmp_path: Path, autojump_clock: Clock) -> None:
    many = [b"%d" % number for number in range(2000)]
    heard: list[bytes] = []
    with listening(socket.AF_UNIX, str(tmp_path / "ear")) as ear:
        server = Server(parse_backend(str(tmp_path / "ear")), CREDENTIALS)

        async def send() -> None:
            await server.send(many, limit=LIMIT)

        async def read() -> None:
            ear.setblocking(False)
            while len(heard) < len(many):
                await trio.lowlevel.wait_readable(ear)
                heard.append(ear.recv(10))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(read)
        server.close()
    assert heard == many


async def test_a_queue_that_stays_full_ends_the_round_and_loses_the_rest(
    tmp_path: Path, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[int] = []

    def endless() -> Any:
        for number in range(1_000_000):
            taken.append(number)
            yield b"x"

    with listening(socket.AF_UNIX, str(tmp_path / "ear")):
        server = Server(parse_backend(str(tmp_path / "ear")), CREDENTIALS)
        await server.send(endless(), limit=LIMIT)
        server.close()
    assert trio.current_time() == LIMIT
    assert len(taken) < 100_000
    assert "its queue is full" in caplog.text


class Resolver(trio.abc.HostnameResolver):
    """A name server with a plan. ``addresses`` None: the name is unknown."""

    def __init__(self) -> None:
        self.addresses: list[tuple[int, Any]] | None = []
        self.delay = 0.0
        self.questions = 0

    async def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        self.questions += 1
        await trio.sleep(self.delay)
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, 0, 0, "", where) for family, where in self.addresses]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@pytest.fixture
async def resolver() -> Resolver:
    one = Resolver()
    trio.socket.set_custom_hostname_resolver(one)
    return one


async def test_a_name_stands_for_all_its_addresses(resolver: Resolver) -> None:
    with listening() as one, listening() as two:
        resolver.addresses = [
            (socket.AF_INET6, ("::1", 9, 0, 0)),
            *((socket.AF_INET, ear.getsockname()) for ear in (one, two, one)),
        ]
        server = Server(parse_backend("gates:4040"), CREDENTIALS)
        await server.send([b"x"], limit=LIMIT)
        server.close()
        assert [one.recv(10), two.recv(10)] == [b"x", b"x"]
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(10)


async def test_a_name_is_looked_up_again_every_so_often(
    resolver: Resolver, autojump_clock: Clock
) -> None:
    with listening() as one, listening() as two:
        server = Server(parse_backend("gate:4040"), CREDENTIALS)
        resolver.addresses = [(socket.AF_INET, one.getsockname())]
        await server.send([b"1"], limit=LIMIT)
        resolver.addresses = [(socket.AF_INET, two.getsockname())]
        await trio.sleep(RESOLVE_PERIOD - 1)
        await server.send([b"2"], limit=LIMIT)
        await trio.sleep(1)
        await server.send([b"3"], limit=LIMIT)
        server.close()
        assert [one.recv(10), one.recv(10), two.recv(10)] == [b"1", b"2", b"3"]
    assert resolver.questions == 2


async def test_a_name_server_that_fails_or_hangs_leaves_the_old_addresses(
    resolver: Resolver, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with listening() as ear:
        server = Server(parse_backend("gate:4040"), CREDENTIALS)
        resolver.addresses = [(socket.AF_INET, ear.getsockname())]
        await server.send([b"1"], limit=LIMIT)
        await trio.sleep(RESOLVE_PERIOD)
        resolver.addresses = None
        await server.send([b"2"], limit=LIMIT)
        await server.send([b"3"], limit=LIMIT)
        resolver.delay = 60.0
        begin = trio.current_time()
        await server.send([b"4"], limit=LIMIT)
        assert trio.current_time() - begin == pytest.approx(RESOLVE_LIMIT)
        resolver.delay = 0.0
        resolver.addresses = [(socket.AF_INET, ear.getsockname())]
        await server.send([b"5"], limit=LIMIT)
        server.close()
        assert [ear.recv(10) for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]
    assert [line.partition("gate:4040")[2] for line in caplog.messages] == [
        ": [Errno -2] Name or service not known",
        f": no answer in {RESOLVE_LIMIT:g} s",
        " is found again",
    ]


async def test_a_name_that_no_name_server_could_know_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(parse_backend(f"{'a' * 70}.example:4040"), CREDENTIALS)
    await server.send([b"1"], limit=LIMIT)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"subscription server {'a' * 70}.example:4040: ")


async def test_without_a_descriptor_to_be_had_the_round_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with listening() as ear:
        server = Server(parse_backend(f"127.0.0.1:{ear.getsockname()[1]}"), CREDENTIALS)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", exhausted)
            await server.send([b"1"], limit=LIMIT)
        await server.send([b"2"], limit=LIMIT)
        server.close()
        assert ear.recv(10) == b"2"
    assert "Too many open files" in caplog.text


async def test_nothing_is_taken_while_a_name_is_unknown(resolver: Resolver) -> None:
    resolver.addresses = None
    datagrams = iter([b"1"])
    server = Server(parse_backend("gate:4040"), CREDENTIALS)
    await server.send(datagrams, limit=LIMIT)
    assert list(datagrams) == [b"1"]


async def test_a_name_with_very_many_addresses_does_not_open_as_many_sockets(
    resolver: Resolver,
) -> None:
    resolver.addresses = [(socket.AF_INET, (f"127.0.1.{one}", 9)) for one in range(1, 200)]
    server = Server(parse_backend("gate:4040"), CREDENTIALS)
    before = len(os.listdir("/proc/self/fd"))
    await server.send([], limit=LIMIT)
    assert len(os.listdir("/proc/self/fd")) - before == MAX_ADDRESSES
    server.close()


async def test_the_time_for_a_round_is_kept(resolver: Resolver, autojump_clock: Clock) -> None:
    resolver.delay = 60.0
    server = Server(parse_backend("gate:4040"), CREDENTIALS)
    await server.send([b"1"], limit=0.5)
    assert trio.current_time() == 0.5
