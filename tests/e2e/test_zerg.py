"""Zergs: instances that serve on each other's sockets, ours and uWSGI's in both roles."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from .client import Connection, request
from .processes import birth, free_port, stopped, tree
from .zergs import (
    WITNESS,
    load,
    our_zerg,
    pool_address,
    real_giver,
    real_zerg,
    who,
)

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate


def test_real_and_our_zergs_serve_on_a_pool_of_ours(uwgate: Start, folder: Path) -> None:
    path = folder / "pool.sock"
    unix = str(folder / "app.sock")
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0,{unix}")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    with real_zerg(folder, path):
        foreign = who(address)
        assert who(unix) == foreign
    zerg = our_zerg(uwgate, path)
    assert who(address) == who(unix) != foreign
    assert zerg.stop() == 0


def test_real_zergs_serve_beside_our_own_workers(uwgate: Start, folder: Path) -> None:
    path = folder / "server.sock"
    server = uwgate(f"--zerg-server={path}", "--http-socket=127.0.0.1:0", "--wsgi-file", WITNESS)
    address = server.address
    own = who(address)
    with real_zerg(folder, path):
        (worker,) = server.processes("worker")
        with stopped(worker):
            assert who(address) != own


@pytest.mark.parametrize("option", ["--zergpool", "--zerg-server"])
def test_our_zergs_serve_on_sockets_of_a_real_uwsgi(
    uwgate: Start, folder: Path, option: str
) -> None:
    path = folder / "real.sock"
    with real_giver(folder, path, option) as (real, address):
        zerg = our_zerg(uwgate, path)
        with contextlib.ExitStack() as alone:
            if option == "--zerg-server":  # which has a worker of its own
                worker = real.wait_for_log(r"spawned uWSGI worker 1 \(pid: (\d+)")
                alone.enter_context(stopped(int(worker[1])))
            assert who(address)
        assert zerg.stop() == 0


def test_a_gateway_accepts_on_sockets_of_a_pool(uwgate: Start, folder: Path) -> None:
    path = folder / "pool.sock"
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    gateway = uwgate(f"--http-zerg={path}", "--wsgi-file", WITNESS, name="gateway")
    with Connection(address) as connection:
        connection.send(request("GET", "/born"))
        assert connection.answer().status == 200
        connection.send(request("GET", "/born"))
        assert connection.answer().status == 200
    assert gateway.stop() == 0


def test_a_rawrouter_accepts_on_sockets_of_a_pool(uwgate: Start, folder: Path) -> None:
    path = folder / "pool.sock"
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0,{folder}/door.sock")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    router = uwgate(
        f"--rawrouter-zerg={path}", "--rawrouter-use-socket=0", f"--http-socket={folder}/app.sock",
        "--wsgi-file", WITNESS, name="router",
    )  # fmt: skip
    router.wait_for_log("generation 1 serves")
    assert who(address) == who(f"{folder}/door.sock") == who(f"{folder}/app.sock")
    assert router.stop() == 0


def test_reloads_of_pool_and_zerg_lose_no_request(uwgate: Start, folder: Path) -> None:
    path = folder / "pool.sock"
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    zerg = our_zerg(uwgate, path)
    with load(address):
        pool.popen.send_signal(signal.SIGHUP)
        pool.wait_for_log("generation 1 is gone")
        zerg.popen.send_signal(signal.SIGHUP)
        zerg.wait_for_log("generation 1 is gone")
        # Without its pool a zerg goes on with what it has.
        assert pool.stop() == 0
        zerg.popen.send_signal(signal.SIGHUP)
        zerg.wait_for_log("what it gave before is kept")
        zerg.wait_for_log("generation 2 is gone")


def test_the_place_of_a_pool_may_be_abstract(uwgate: Start, folder: Path) -> None:
    place = f"@{folder}/pool"
    pool = uwgate(f"--zergpool={place}:127.0.0.1:0")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    with real_zerg(folder, place):
        foreign = who(address)
    zerg = our_zerg(uwgate, place)
    assert who(address) != foreign
    assert zerg.stop() == 0


@pytest.mark.parametrize(("umask", "mode"), [("077", 0o700), ("007", 0o770)])
def test_umask_says_who_may_attach(uwgate: Start, folder: Path, umask: str, mode: int) -> None:
    path = folder / "pool.sock"
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0", f"--umask={umask}")
    pool.wait_for_log("generation 1 serves")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_zerg_that_is_killed_leaves_nothing_behind(uwgate: Start, folder: Path) -> None:
    path = folder / "pool.sock"
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    first = our_zerg(uwgate, path, name="first")
    victim = who(address)
    children = tree(first.pid)
    first.popen.send_signal(signal.SIGKILL)
    first.popen.wait()
    pool.wait_for(lambda: all(birth(pid) != at for pid, at in children.items()), "end of its own")
    our_zerg(uwgate, path, name="second")
    assert who(address) != victim


def test_without_a_server_a_zerg_stops_and_says_so(uwgate: Start, folder: Path) -> None:
    zerg = uwgate(f"--zerg={folder}/none.sock", "--wsgi-file", WITNESS)
    assert zerg.wait() == 1
    assert re.search(r"zerg = \S+none.sock: nothing to be had: No such file", zerg.log)


def test_with_fallback_a_zerg_goes_on_with_its_own_sockets(uwgate: Start, folder: Path) -> None:
    zerg = uwgate(
        f"--zerg={folder}/none.sock",
        "--zerg-fallback",
        "--http-socket=127.0.0.1:0",
        "--wsgi-file",
        WITNESS,
    )
    assert who(zerg.address)
    assert "going on without it (zerg-fallback)" in zerg.log


def test_an_address_that_a_pool_has_is_not_bound_again(uwgate: Start, folder: Path) -> None:
    path, port = folder / "pool.sock", free_port()
    pool = uwgate(f"--zergpool={path}:127.0.0.1:{port}")
    pool.wait_for_log("generation 1 serves")
    zerg = uwgate(
        f"--zerg={path}",
        "--zerg-fallback",
        f"--http-socket=127.0.0.1:{port}",
        "--wsgi-file",
        WITNESS,
        name="zerg",
    )
    assert who(("127.0.0.1", port))
    assert zerg.stop() == 0


def test_a_server_that_says_nothing_is_given_up(uwgate: Start, folder: Path) -> None:
    path = str(folder / "silent.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        zerg = uwgate(f"--zerg={path}", "--zerg-timeout=0.2", "--wsgi-file", WITNESS)
        assert zerg.wait() == 1
    assert f"zerg = {path}: it does not answer in time" in zerg.log


DANCE = """
[uwsgi]
zerg = {folder}/pool.sock
protocol = http
wsgi-file = {witness}
master-fifo = {folder}/new
master-fifo = {folder}/sleeping
master-fifo = {folder}/running
if-exists = {folder}/sleeping
hook-accepting1-once = writefifo:{folder}/sleeping q
endif =
if-exists = {folder}/running
hook-accepting1-once = writefifo:{folder}/running 1p
endif =
hook-accepting1-once = writefifo:{folder}/new 2
"""


def test_the_zerg_dance_and_its_way_back_lose_no_request(uwgate: Start, folder: Path) -> None:
    pool = uwgate(f"--zergpool={folder}/pool.sock:127.0.0.1:0")
    address = pool_address(pool)
    pool.wait_for_log("generation 1 serves")
    ini = folder / "dance.ini"
    ini.write_text(DANCE.format(folder=folder, witness=WITNESS))
    running, sleeping = folder / "running", folder / "sleeping"

    def dance(name: str) -> Uwgate:
        one = uwgate(str(ini), name=name)
        one.wait_for_log("active master fifo is now .*/running")
        one.wait_for(running.exists, "running.fifo")
        return one

    first = dance("first")
    old = who(address)
    with load(address):
        second = dance("second")
        second.wait_for(sleeping.exists, "sleeping.fifo")
        first.wait_for_log("workers rest")
        second.wait_for(lambda: old not in {who(address) for _ in range(10)}, "answer")
        new = who(address)
        assert new != old
        sleeping.write_text("p")
        first.wait_for_log("workers accept again")
        first.wait_for(sleeping.exists, "sleeping.fifo")
        running.write_text("0p")
        second.wait_for_log("workers rest")
        second.wait_for(lambda: who(address) == old == who(address), "old answer")
        third = dance("third")
        assert first.wait() == 0
    assert who(address) not in (old, new)
    assert third.stop() == 0


@pytest.mark.parametrize("option", ["--http-socket", "--http"])
def test_an_instance_leaves_a_shared_port_and_loses_no_connection(
    uwgate: Start, folder: Path, option: str
) -> None:
    address = ("127.0.0.1", free_port())
    arguments = (f"{option}=127.0.0.1:{address[1]}", "--reuse-port", "--wsgi-file", WITNESS)
    first = uwgate(*arguments, name="first")
    second = uwgate(*arguments, name="second")
    first.wait_for_log("generation 1 serves")
    second.wait_for_log("generation 1 serves")
    with load(address):
        first.wait_for(lambda: len({who(address) for _ in range(10)}) == 2, "second answer")
        assert first.stop() == 0
