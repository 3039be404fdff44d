"""What stats servers say: the same as uWSGI's, of all processes, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from uwgate.gateways.wire.uwsgi import encode as encode_packet
from uwgate.subscriptions.packet import Packet, encode

from .client import ask, request
from .peers import program, running, uwsgi
from .processes import APPS, Process, free_port
from .statistics import nodes_of, read_raw, wait_for_stats
from .tls import make_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start

KEY = "shop.example"
NODE = "127.0.0.1:1"  # nobody listens there
PACKET = Packet(key=KEY, address=NODE, modifier1=5, modifier2=2, cores=4, load=3, weight=7)
# What a real uWSGI says differently, or not the same at all times.
KINDS = ("http", "fastrouter", "rawrouter", "sslrouter")
OF_THE_PROCESS = {"version", "pid", "cwd", *KINDS, "static_nodes", "subscriptions"}

VARIABLES = (
    ("HTTP_HOST", KEY),
    ("REQUEST_METHOD", "GET"),
    ("PATH_INFO", "/"),
    ("QUERY_STRING", ""),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
)


def announce(path: str, packet: Packet = PACKET) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(encode(packet), path)


@contextlib.contextmanager
def theirs(folder: Path, kind: str, *arguments: str) -> Iterator[Process]:
    """A real uWSGI with one gateway."""
    argv = [program("uwsgi"), "--master", *listening(kind, folder, free_port())]
    process = Process([*argv, *arguments], folder=folder, name="theirs")
    with running(process, stop=signal.SIGKILL):
        yield process


def compare(ours: dict[str, Any], real: dict[str, Any], *, besides: set[str]) -> None:
    """Every field is there, in the same order, of the same type; the values are the same."""
    assert [name for name in ours if name in real] == list(real)
    assert {name: type(ours[name]) for name in real} == {
        name: type(value) for name, value in real.items()
    }
    for name in real.keys() - besides:
        assert ours[name] == real[name], name


def listening(kind: str, folder: Path, port: int) -> list[str]:
    """The option of the gateway itself; that of the sslrouter needs a certificate."""
    pair = f",{make_site(folder).pair}" if kind == "sslrouter" else ""
    return [f"--{kind}", f"127.0.0.1:{port}{pair}"]


def options_of(kind: str, place: str, *more: str) -> list[str]:
    """Stats at ``place``.stats, announcements at ``place``.nodes."""
    servers = [f"--{kind}-stats-server", f"{place}.stats"]
    servers += [f"--{kind}-subscription-server", f"{place}.nodes"]
    return [*servers, "--subscription-tolerance", "600", *more]


@pytest.mark.parametrize("kind", KINDS)
def test_subscriptions_are_shown_as_by_uwsgi(folder: Path, uwgate: Start, kind: str) -> None:
    ours, real = str(folder / "ours"), str(folder / "real")
    with theirs(folder, kind, *options_of(kind, real)) as process:
        one = uwgate(*listening(kind, folder, 0), *options_of(kind, ours))
        wait_for_stats(process, f"{real}.stats", lambda _: True)
        wait_for_stats(one, f"{ours}.stats", lambda _: True)
        for place in (real, ours):
            announce(f"{place}.nodes")
        there = wait_for_stats(process, f"{real}.stats", nodes_of)
        here = wait_for_stats(one, f"{ours}.stats", nodes_of)
    compare(here, there, besides=OF_THE_PROCESS)
    (our_slot,), (real_slot,) = here["subscriptions"], there["subscriptions"]
    compare(our_slot, real_slot, besides={"nodes"})
    compare(nodes_of(here)[0], nodes_of(there)[0], besides={"last_check"})
    assert abs(nodes_of(here)[0]["last_check"] - nodes_of(there)[0]["last_check"]) < 60
    assert sorted(here[kind]) == sorted([f"127.0.0.1:{one.address[1]}", f"{ours}.nodes"])


def test_static_backends_are_shown_as_by_uwsgi(folder: Path, uwgate: Start) -> None:
    ours, real = str(folder / "ours"), str(folder / "real")
    backends = ("--http-to", NODE, "--http-to", "127.0.0.1:2")
    with theirs(folder, "http", "--http-stats-server", real, *backends) as process:
        one = uwgate("--http", "127.0.0.1:0", "--http-stats-server", ours, *backends)
        there = wait_for_stats(process, real, lambda _: True)
        here = wait_for_stats(one, ours, lambda _: True)
    compare(here, there, besides=OF_THE_PROCESS)
    assert here["static_nodes"] == there["static_nodes"]
    assert here["http"] == [f"127.0.0.1:{one.address[1]}"]


@pytest.mark.parametrize("minified", [False, True])
def test_the_text_looks_like_that_of_uwsgi(folder: Path, uwgate: Start, minified: bool) -> None:
    more = ("--stats-http", *(["--stats-min"] if minified else []))
    ours, real = str(folder / "ours"), str(folder / "real")
    get = b"GET / HTTP/1.0\r\n\r\n"
    with theirs(folder, "http", "--http-stats", real, "--http-to", NODE, *more) as process:
        process.wait_for_socket(real)
        one = uwgate("--http", "127.0.0.1:0", "--http-stats", ours, "--http-to", NODE, *more)
        one.wait_for_log("generation 1 serves")
        found = []
        for path in (real, ours):
            head, _, text = read_raw(path, get).partition(b"\r\n\r\n")
            begin = text.index(b'"active_sessions"')
            found.append((head, text[begin : text.index(b'"http"')]))
    assert found[0] == found[1]
    assert (b"\n\t" in found[0][1]) is not minified


def test_all_processes_are_shown_and_what_they_did_survives_them_and_a_reload(
    folder: Path, uwgate: Start
) -> None:
    stats = str(folder / "stats")
    application = str(APPS / "witness.py")
    one = uwgate(
        *("--http", "127.0.0.1:0", "--http-processes", "2", "--http-stats-server", stats),
        *("--wsgi-file", application),
    )
    for _ in range(3):
        assert ask(one.address, request()).status == 200
    assert ask(one.address, b"GET / HTTP/1.1\r\n\r\n").status == 400  # no Host
    before = wait_for_stats(one, stats, lambda document: len(document["processes"]) == 2)
    assert before["answers"] == {"2xx": 3, "4xx": 1}
    for killed in one.processes("http"):
        os.kill(killed, signal.SIGKILL)
    after = wait_for_stats(one, stats, lambda document: has_others(document, before))
    assert after["answers"] == before["answers"]
    assert ask(one.address, request()).status == 200
    os.kill(one.pid, signal.SIGHUP)
    wait_for_stats(
        one,
        stats,
        # What the old ones say last may come a little later.
        lambda document: (
            has_others(document, after) and document["answers"] == {"2xx": 4, "4xx": 1}
        ),
    )
    for registry in one.processes("registry"):
        os.kill(registry, signal.SIGKILL)
    wait_for_stats(one, stats, lambda document: len(document["processes"]) == 2)


def has_others(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """All gateway processes have been replaced."""
    pids = {process["pid"] for process in now["processes"]}
    return len(pids) == 2 and pids.isdisjoint(one["pid"] for one in before["processes"])


@pytest.mark.parametrize("kind", ["http", "fastrouter"])
def test_a_request_is_counted_at_its_node(folder: Path, uwgate: Start, kind: str) -> None:
    place, node = str(folder / "gate"), f"127.0.0.1:{free_port()}"
    with uwsgi(folder, "--socket", node, app="witness.py"):
        one = uwgate(f"--{kind}", "127.0.0.1:0", *options_of(kind, place))
        wait_for_stats(one, f"{place}.stats", lambda _: True)
        announce(f"{place}.nodes", Packet(key=KEY, address=node))
        wait_for_stats(one, f"{place}.stats", nodes_of)
        if kind == "http":
            answer = ask(one.address, request(host=KEY))
            assert answer.status == 200
        else:
            variables = ((name.encode(), value.encode()) for name, value in VARIABLES)
            packet = encode_packet(variables)
            assert b" 200 OK" in read_raw(one.address, packet)
        document = wait_for_stats(
            one,
            f"{place}.stats",
            lambda found: found["answers"] and not nodes_of(found)[0]["ref"],
        )
    (slot,) = document["subscriptions"]
    (row,) = slot["nodes"]
    assert (slot["hits"], row["requests"], row["last_requests"]) == (1, 1, 1)
    assert row["tx"] > 0
    assert row["rx"] > 0
    assert document["answers"] == {"2xx": 1}
