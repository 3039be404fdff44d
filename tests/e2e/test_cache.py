"""Caches: the same as uWSGI's, with uWSGI on the other side of every wire, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uwgate.caching.datagrams import Stored, encode
from uwgate.caching.sealing import seal

from .client import ask, request
from .peers import program, running
from .processes import APPS, PATIENCE, Address, Process, Uwgate, free_port
from .statistics import read_raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start

APP = str(APPS / "cache_calls.py")
SECRET = "the secret of both instances"


@dataclass
class Instance:
    """One that calls what it is told. ``socket`` is where it takes uwsgi packets."""

    process: Process
    address: Address
    socket: str

    def call(self, name: str, *arguments: object) -> str:
        """What ``uwsgi.NAME(*ARGUMENTS)`` returns, as text."""
        body = json.dumps(arguments).encode()
        headers = [("Content-Length", str(len(body)))]
        return ask(self.address, request("POST", f"/{name}", headers) + body).body.decode()

    def wait_for(self, expected: str, name: str, *arguments: object) -> None:
        """Wait until a call returns that."""
        found: list[str] = []

        def look() -> bool:
            found.append(self.call(name, *arguments))
            return found[-1] == expected

        self.process.wait_for(look, f"{name}{arguments} == {expected}")


Ours = Callable[..., Instance]


@contextlib.contextmanager
def theirs(folder: Path, *arguments: str) -> Iterator[Instance]:
    """A real uWSGI."""
    port = free_port()
    path = str(folder / "theirs.sock")
    argv = [program("uwsgi"), "--master", "--processes=1", "--disable-logging", "--need-app"]
    argv += [f"--http-socket=127.0.0.1:{port}", f"--socket={path}", "--wsgi-file", APP, *arguments]
    with running(Process(argv, folder=folder, name="theirs"), stop=signal.SIGKILL) as process:
        process.wait_for_log("spawned uWSGI worker 1")  # it binds one socket after the other
        yield Instance(process, ("127.0.0.1", port), path)


@pytest.fixture
def ours(uwgate: Start, folder: Path) -> Ours:
    """Starts uwgate with the application that calls."""

    def start(*arguments: str, name: str = "ours") -> Instance:
        path = str(folder / f"{name}.sock")
        basic = ["--http-socket=127.0.0.1:0", f"--socket={path}", "--wsgi-file", APP]
        program = uwgate(*basic, f"--cache-folder={folder}", *arguments, name=name)
        program.wait_for_log("generation 1 serves")
        return Instance(program, program.address, path)

    return start


CALLS: tuple[tuple[object, ...], ...] = (
    ("cache_get", "import"),
    ("cache_set", "k", "v"),
    ("cache_set", "k", "other"),
    ("cache_get", "k"),
    ("cache_get", "nothing"),
    ("cache_exists", "k"),
    ("cache_exists", "nothing"),
    ("cache_update", "k", "other", 30),
    ("cache_get", "k"),
    ("cache_del", "k"),
    ("cache_del", "k"),
    ("cache_set", "", "v"),
    ("cache_set", "k", ""),
    ("cache_set", "k" * 21, "v"),
    ("cache_set", "k", "v" * 101),
    ("cache_set", "k" * 20, "v" * 100),
    ("cache_inc", "n"),
    ("cache_inc", "n", 41),
    ("cache_num", "n"),
    ("cache_get", "n"),
    ("cache_dec", "n", 2),
    ("cache_mul", "n"),
    ("cache_div", "n", 3),
    ("cache_num", "n"),
    ("cache_div", "n", 0),
    ("cache_num", "n"),
    ("cache_num", "nothing"),
    ("cache_num", "k" * 20),
    ("cache_keys", "unknown"),
    ("cache_get", "k", "unknown"),
    ("cache_set", "k", "v", 0, "unknown"),
    ("cache_set", "k", "v", 0, "second"),
    ("cache_get", "k", "second"),
    ("cache_keys", "second"),
    ("cache_clear", "second"),
    ("cache_keys", "second"),
    ("cache_clear",),
    ("cache_get", "import"),
    ("cache_get",),
)
SMALL = ("--cache2=name=c,items=20,keysize=20,blocksize=100", "--cache2=name=second,items=20")


def results(instance: Instance) -> list[tuple[object, str]]:
    return [(one, instance.call(str(one[0]), *one[1:])) for one in CALLS]


def test_calls_return_what_they_do_in_uwsgi(ours: Ours, folder: Path) -> None:
    with theirs(folder, *SMALL) as real:
        expected = results(real)
    assert results(ours(*SMALL)) == expected


REMOTE = (
    ("cache_set", "k", "v", 0),
    ("cache_set", "k", "w", 0),
    ("cache_get", "k"),
    ("cache_exists", "k"),
    ("cache_update", "k", "w" * 5000, 30),
    ("cache_get", "k"),
    ("cache_update", "k", "w" * 65537, 0),
    ("cache_get", "k"),
    ("cache_num", "k"),
    ("cache_del", "k"),
    ("cache_del", "k"),
    ("cache_get", "k"),
    ("cache_exists", "k"),
    ("cache_set", "again", "v", 0),
    ("cache_clear",),
    ("cache_get", "again"),
)


def remotely(client: Instance, server: Instance, cache: str) -> list[str]:
    return [client.call(name, *rest, f"{cache}@{server.socket}") for name, *rest in REMOTE]


def test_remote_caches_work_between_both_programs(ours: Ours, folder: Path) -> None:
    # uWSGI clears as many items as the first cache has.
    both = ("--cache2=name=first,items=20", "--cache2=name=c,items=20")
    mine = ours(*both, "--processes=2", f"--cache-timeout={PATIENCE}")
    with theirs(folder, *both) as real:
        at_theirs = remotely(mine, real, "c")
        at_mine = remotely(real, mine, "c")
        assert at_theirs == at_mine
        assert remotely(mine, mine, "c") == at_mine
        real.call("cache_set", "k", "theirs")
        assert mine.call("cache_get", "k", f"@{real.socket}") == "b'theirs'"
        mine.call("cache_set", "k", "mine")
        assert real.call("cache_get", "k", f"@{mine.socket}") == "b'mine'"
        assert real.call("cache_get", "k", f"unknown@{mine.socket}") == "None"


def test_changes_go_to_uwsgi_and_come_from_it(ours: Ours, folder: Path) -> None:
    one, other = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)

    def cache(listen: int, send: int) -> str:
        return f"--cache2=name=c,items=20,udp=127.0.0.1:{listen},node=127.0.0.1:{send}"

    mine = ours(cache(one, other))
    with theirs(folder, cache(other, one)) as real:
        real.process.wait_for_log(r'udp server for cache "c" running')
        for sender, receiver, key in ((mine, real, "a"), (real, mine, "b")):
            sender.call("cache_set", key, "v")
            receiver.wait_for("b'v'", "cache_get", key)
            sender.call("cache_update", key, "w", 100)
            receiver.wait_for("b'w'", "cache_get", key)
        # uWSGI itself ignores what uWSGI sends when something is removed, and so may have others.
        mine.call("cache_del", "a")
        real.wait_for("None", "cache_get", "a")
        real.call("cache_del", "b")
        mine.wait_for("None", "cache_get", "b")
        mine.call("cache_inc", "sum", 5)
        mine.call("cache_inc", "sum", 6)
        real.wait_for("11", "cache_num", "sum")


def test_signed_changes_are_followed_and_others_refused(ours: Ours) -> None:
    port = free_port(socket.SOCK_DGRAM)
    key = f"--cache-udp-key={SECRET}"
    receiver = ours(f"--cache2=name=c,items=20,udp=127.0.0.1:{port}", key)
    sender = ours(f"--cache2=name=c,items=20,node=127.0.0.1:{port}", key, name="sender")
    plain = encode(Stored(b"k", b"wrong"))
    assert plain is not None
    forged = seal(b"another secret, as long", "c", plain, now=time.time(), nonce=b"n" * 16)
    assert forged is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(plain, ("127.0.0.1", port))
        sock.sendto(forged, ("127.0.0.1", port))
    receiver.process.wait_for_log("is refused: not signed")
    receiver.process.wait_for_log("is refused: wrong signature")
    assert receiver.call("cache_get", "k") == "None"
    sender.call("cache_set", "k", "v")
    receiver.wait_for("b'v'", "cache_get", "k")
    sender.call("cache_del", "k")
    receiver.wait_for("None", "cache_get", "k")
    sender.call("cache_set", "a", "v")
    sender.call("cache_clear")
    sender.call("cache_set", "b", "v")
    receiver.wait_for("b'v'", "cache_get", "b")
    receiver.wait_for("None", "cache_get", "a")


def test_a_cache_begins_with_all_that_uwsgis_has_and_the_other_way_round(
    ours: Ours, folder: Path
) -> None:
    text = "name=c,items=30,keysize=50,blocksize=200"
    with theirs(folder, f"--cache2={text}") as real:
        for number in range(10):
            real.call("cache_set", f"key {number}", f"value {number}", 1000 * (number % 2))
        real.call("cache_del", "key 5")
        mine = ours(f"--cache2={text},sync={folder}/nobody;{real.socket}")
        expected = real.call("cache_keys")
    assert sorted(eval(mine.call("cache_keys"))) == sorted(eval(expected))
    assert mine.call("cache_get", "key 3") == "b'value 3'"
    with theirs(folder, f"--cache2={text},sync={mine.socket}") as real:
        assert sorted(eval(real.call("cache_keys"))) == sorted(eval(expected))
        for number in (0, 3, 9):
            assert real.call("cache_get", f"key {number}") == repr(b"value %d" % number)
        assert real.call("cache_set", "new", "v") == "True"


def test_items_and_files_are_there_from_the_start(ours: Ours, folder: Path) -> None:
    page = folder / "page"
    page.write_bytes(b"<h1>page</h1>")
    mine = ours(
        "--cache2=name=a,items=20",
        "--cache2=name=b,items=20",
        "--add-cache-item=b key=value with = and blank",
        "--add-cache-item=all=v",
        f"--load-file-in-cache={page}",
        f"--load-file-in-cache-gzip=b {page}",
    )
    assert mine.call("cache_get", "key", "b") == "b'value with = and blank'"
    assert mine.call("cache_get", "key", "a") == "None"
    assert mine.call("cache_get", "all", "a") == mine.call("cache_get", "all", "b") == "b'v'"
    assert mine.call("cache_get", str(page), "a") == "b'<h1>page</h1>'"
    assert mine.call("cache_get", str(page), "b").startswith("b'\\x1f\\x8b")


def test_items_are_gone_when_their_time_has_come(ours: Ours) -> None:
    mine = ours("--cache2=name=c,items=20", "--cache-expire-freq=1", "--cache-report-freed-items")
    mine.call("cache_set", "k", "v", 1)
    mine.wait_for("None", "cache_get", "k")
    mine.process.wait_for_log('freed 1 items for cache "c"')


def test_everybody_may_be_killed_and_the_cache_stays(ours: Ours) -> None:
    mine = ours("--cache2=name=c,items=20", "--add-cache-item=there=v", "--processes=2")
    uwgate = mine.process
    assert isinstance(uwgate, Uwgate)
    mine.call("cache_update", "there", "changed")
    for kind in ("cache", "worker", "spawner"):
        before = uwgate.processes(kind)
        os.kill(before[0], signal.SIGKILL)
        uwgate.wait_for(
            lambda kind=kind, before=before: before[0] not in uwgate.processes(kind),  # type: ignore[misc]
            "end",
        )
        uwgate.wait_for_processes(kind, len(before))
        mine.wait_for("b'changed'", "cache_get", "there")
        assert mine.call("cache_update", kind, "v") == "True"
    uwgate.popen.send_signal(signal.SIGHUP)
    uwgate.wait_for_log("generation 1 is gone")
    assert mine.call("cache_get", "worker") == "b'v'"
    assert mine.call("cache_get", "there") == "b'changed'"


def test_a_store_outlives_the_instance_and_says_when_it_is_damaged(
    ours: Ours, uwgate: Start, folder: Path
) -> None:
    store = folder / "store"
    option = f"--cache2=name=c,items=20,store={store}"
    mine = ours(option)
    mine.call("cache_set", "k", "v")
    mine.process.stop()
    again = ours(option, name="again")
    assert again.call("cache_get", "k") == "b'v'"
    again.process.stop()
    os.truncate(store, 8192)
    broken = uwgate("--http-socket=127.0.0.1:0", "--wsgi-file", APP, option, name="broken")
    assert broken.wait() == 1
    assert "is no sound store" in broken.log
    anew = ours(f"{option},store_delete=1", name="anew")
    assert anew.call("cache_get", "k") == "None"
    assert anew.call("cache_set", "k", "v") == "True"


def test_a_store_of_uwsgi_is_taken_over(ours: Ours, folder: Path) -> None:
    option = f"--cache2=name=c,items=20,blocksize=100,store={folder}/store"
    with theirs(folder, option) as real:
        real.call("cache_set", "k", "theirs")
    mine = ours(option)
    assert mine.call("cache_get", "k") == "b'theirs'"
    assert (folder / "store.uwsgi").exists()


def test_nothing_is_left_behind_when_the_master_is_killed(ours: Ours, folder: Path) -> None:
    mine = ours("--cache2=name=c,items=20")
    inner = next(iter(folder.glob("uwgate-caches-*/????????*")))
    os.kill(mine.process.pid, signal.SIGKILL)
    mine.process.popen.wait()
    ends = time.monotonic() + PATIENCE
    while inner.exists() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not inner.exists()
    ours("--cache2=name=c,items=20", name="next").process.stop()
    assert not list(folder.glob("uwgate-caches-*"))


def test_the_value_of_the_key_is_the_backend(ours: Ours, uwgate: Start, folder: Path) -> None:
    backend = ours("--cache2=name=c,items=20")
    stats = folder / "stats.sock"
    front = uwgate(
        "--http=127.0.0.1:0",
        "--processes=0",
        "--http-use-cache=nodes",
        "--cache2=name=first,items=5",
        "--cache2=name=nodes,items=5",
        f"--add-cache-item=nodes a.example={backend.socket}",
        f"--add-cache-item=nodes b.example={folder}/nobody|{backend.socket}",
        "--add-cache-item=nodes c.example=no:address",
        f"--http-stats-server={stats}",
        f"--cache-folder={folder}",
        name="front",
    )
    front.wait_for_log("generation 1 serves")

    def status(host: str) -> int:
        call = request("POST", "/cache_get", [("Content-Length", "5")], host=host) + b'["k"]'
        return ask(front.address, call).status

    assert [status("a.example"), status("b.example"), status("b.example")] == [200, 200, 200]
    assert [status("c.example"), status("d.example")] == [503, 503]
    shown = json.loads(read_raw(str(stats)))["caches"]
    assert [one["name"] for one in shown] == ["first", "nodes"]
    assert list(shown[1])[:12] == [
        "name", "hash", "hashsize", "keysize", "max_items", "blocks", "blocksize", "items",
        "hits", "miss", "full", "last_modified_at",
    ]  # fmt: skip
    assert (shown[1]["items"], shown[1]["miss"]) == (3, 1)
    assert shown[1]["hits"] >= 4
