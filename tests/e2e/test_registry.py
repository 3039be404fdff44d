"""Nodes that announce themselves to a gateway, and what becomes of them when processes die."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uwgate.subscriptions.packet import Packet, encode

from .client import ask, request
from .peers import uwsgi
from .processes import PATIENCE, Uwgate, free_port, stopped
from .registry import Watcher, address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start

KEYS = Path(__file__).parents[1] / "cases" / "subscriptions"
# Nodes that a test announces once stay, however slow the machine is.
PATIENT = ("--subscription-tolerance", "600")
A = Packet(key="shop.example", address="10.0.0.1:3031", weight=2)


def gate(uwgate: Start, *arguments: str, processes: int = 1) -> Uwgate:
    """An HTTP gateway with a subscription server for UDP and one for UNIX datagrams."""
    return uwgate(
        *("--http", "127.0.0.1:0", "--processes", "0", "--http-processes", str(processes)),
        *("--http-subscription-server", "127.0.0.1:0"),
        *("--http-subscription-server", "announce", *PATIENT, *arguments),
    )


def udp(program: Uwgate) -> str:
    """The UDP address for announcements, as the log has it."""
    return program.wait_for_log(r"listening on (127\.0\.0\.1:\d+) \(announcements")[1]


def announce(folder: Path, *packets: Packet) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(encode(packet), str(folder / "announce"))


@contextlib.contextmanager
def watching(program: Uwgate) -> Iterator[Watcher]:
    program.wait_for_log("leads, with")
    watcher = Watcher(address_of(program))
    try:
        yield watcher
    finally:
        watcher.close()


def test_real_nodes_come_over_udp_and_unix_and_go_when_they_stop(
    uwgate: Start, folder: Path
) -> None:
    program = gate(uwgate)
    port = free_port()
    address = f"127.0.0.1:{port}"
    with watching(program) as watcher:
        announcing = ["--subscribe-to", f"{udp(program)}:udp.example,5"]
        announcing += ["--subscribe2", f"server={folder}/announce,key=unix.example,weight=7"]
        with uwsgi(folder, "--socket", address, *announcing):
            nodes = watcher.wait_for(("udp.example", address), ("unix.example", address))
            assert nodes["udp.example", address].modifier1 == 5
            assert nodes["unix.example", address].weight == 7
            assert nodes["unix.example", address].cores == 2
        watcher.wait_for()


def test_only_signed_nodes_come_in_where_signatures_are_checked(
    uwgate: Start, folder: Path
) -> None:
    keys = folder / "keys"
    keys.mkdir()
    shutil.copy(KEYS / "rsa.pub.pem", keys / "shop.example.pem")
    program = gate(uwgate, "--subscriptions-sign-check", f"SHA256:{keys}")
    address = f"127.0.0.1:{free_port()}"
    with watching(program) as watcher:
        announce(folder, A)
        program.wait_for_log(r"refused: not signed: .*shop\.example")
        signed = f"{udp(program)}:shop.example,0,SHA256:{KEYS}/rsa.pem"
        with uwsgi(folder, "--socket", address, "--subscribe-to", signed):
            watcher.wait_for(("shop.example", address))
        watcher.wait_for()


def test_the_kernel_says_who_announces_a_node(uwgate: Start, folder: Path) -> None:
    allowed = folder / "allowed"
    allowed.mkdir()
    (allowed / "shop.example").touch()
    check = ("--subscriptions-use-credentials", "--subscriptions-credentials-check", f"{allowed}/")
    program = gate(uwgate, *check)
    address = f"127.0.0.1:{free_port()}"
    announcing = ("--subscriptions-use-credentials", "--subscribe-to")
    with watching(program) as watcher:
        announce(folder, Packet(key="other.example", address="10.0.0.1:3031"))
        program.wait_for_log(r"refused: other\.example: no file of uid")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            host, port = udp(program).split(":")
            sender.sendto(encode(A), (host, int(port)))
        program.wait_for_log(r"refused: shop\.example: the sender is not known")
        with uwsgi(folder, "--socket", address, *announcing, f"{folder}/announce:shop.example"):
            (node,) = watcher.wait_for(("shop.example", address)).values()
            assert (node.uid, node.gid) == (os.geteuid(), os.getegid())
            assert node.pid > 0


def test_a_node_whose_announcements_stop_is_forgotten(uwgate: Start, folder: Path) -> None:
    program = gate(uwgate, "--subscription-tolerance", "1")
    with watching(program) as watcher:

        def is_known() -> bool:
            announce(folder, A)  # again and again: a second passes quickly
            return (A.key, A.address) in watcher.nodes()

        program.wait_for(is_known, "node")
        watcher.wait_for()


def test_a_new_node_is_acknowledged_where_it_asks_for_that(uwgate: Start, folder: Path) -> None:
    program = gate(uwgate)
    with watching(program), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.settimeout(PATIENCE)
        notified.bind(str(folder / "acks"))
        announce(folder, Packet(key="a", address="b:1", notify=str(folder / "acks")))
        assert notified.recv(1000) == b"[subscription ack] a => new node: b:1"


def test_a_registry_that_is_killed_learns_from_the_gateways_what_it_knew(
    uwgate: Start, folder: Path
) -> None:
    program = gate(uwgate)
    with watching(program) as watcher:
        announce(folder, A)
        watcher.wait_for((A.key, A.address))
        (pid,) = program.wait_for_processes("registry", 1)
        os.kill(pid, signal.SIGKILL)
        watcher.wait_for_end()
        watcher.connect()
        watcher.wait_for((A.key, A.address))
        with watching(program) as another:
            another.wait_for((A.key, A.address))
        assert pid not in program.wait_for_processes("registry", 1)


def test_a_reload_hands_all_nodes_over(uwgate: Start, folder: Path) -> None:
    program = gate(uwgate)
    with watching(program) as watcher:
        announce(folder, A)
        watcher.wait_for((A.key, A.address))
        (pid,) = program.wait_for_processes("registry", 1)
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_log("generation 1 is gone")
        watcher.wait_for_end()
    assert pid not in program.wait_for_processes("registry", 1)
    program.wait_for_log("leads, with 1 nodes")
    # A newborn would ask first; this one answers.
    with watching(program) as watcher:
        watcher.wait_for((A.key, A.address))
        announce(folder, Packet(key="b", address="b:1"))
        watcher.wait_for((A.key, A.address), ("b", "b:1"))


def ask_all(program: Uwgate, count: int = 24) -> set[int]:
    """The statuses of so many requests for A, each on a connection of its own."""
    question = request("GET", "/", host=A.key)
    return {ask(program.address, question).status for _ in range(count)}


@pytest.fixture
def node(folder: Path) -> Iterator[Packet]:
    """A real node that says nothing by itself, and its announcement."""
    port = free_port()
    with uwsgi(folder, "--socket", f"127.0.0.1:{port}"):
        yield Packet(key=A.key, address=f"127.0.0.1:{port}")


def test_all_processes_of_a_gateway_know_what_one_datagram_said(
    uwgate: Start, folder: Path, node: Packet
) -> None:
    program = gate(uwgate, processes=3)
    with watching(program) as watcher:
        announce(folder, node)
        watcher.wait_for((node.key, node.address))
        program.wait_for(lambda: ask_all(program, 1) == {200}, "node in use")
        for pid in program.wait_for_processes("http", 3)[1:]:
            with stopped(pid):  # so that the others have to answer
                assert ask_all(program, 4) == {200}


def test_a_gateway_that_was_killed_knows_all_nodes_before_it_answers(
    uwgate: Start, folder: Path, node: Packet
) -> None:
    program = gate(uwgate)
    with watching(program) as watcher:
        program.wait_for_log("generation 1 serves")  # who dies before is a failed start
        announce(folder, node)
        watcher.wait_for((node.key, node.address))
        (pid,) = program.wait_for_processes("http", 1)
        os.kill(pid, signal.SIGKILL)
        program.wait_for(lambda: pid not in program.processes("http"), "end of the gateway")
        assert ask_all(program) == {200}


def test_no_request_meets_a_gateway_without_nodes_when_the_registry_is_killed_or_replaced(
    uwgate: Start, folder: Path, node: Packet
) -> None:
    program = gate(uwgate, processes=2)
    with watching(program) as watcher:
        announce(folder, node)
        watcher.wait_for((node.key, node.address))
    program.wait_for(lambda: ask_all(program) == {200}, "node in use")
    (pid,) = program.wait_for_processes("registry", 1)
    os.kill(pid, signal.SIGKILL)
    program.wait_for(lambda: ask_all(program, 4) == {200} and reborn(program, pid), "registry")
    program.popen.send_signal(signal.SIGHUP)
    while "generation 1 is gone" not in program.log:
        assert ask_all(program, 4) == {200}
        time.sleep(0.02)
    assert ask_all(program) == {200}
    assert "leads, with 1 nodes" in program.log


def reborn(program: Uwgate, pid: int) -> bool:
    """Whether there is another registry than this one, which all gateways have told."""
    return program.log.count("leads, with") == 2 and pid not in program.processes("registry")


def test_a_reload_that_fails_leaves_the_old_registry_in_charge(uwgate: Start, folder: Path) -> None:
    app = folder / "app.py"
    app.write_text("application = lambda environ, start_response: [b'']\n")
    program = uwgate(
        *("--http", "127.0.0.1:0", "--uwsgi-socket", "workers", "--wsgi-file", "app.py"),
        *("--http-subscription-server", "announce", *PATIENT),
    )
    with watching(program) as watcher:
        announce(folder, A)
        watcher.wait_for((A.key, A.address))
        app.write_text("1 / 0\n")
        program.tracebacks_expected = True
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_log("reload failed")
        announce(folder, Packet(key="b", address="b:1"))
        watcher.wait_for((A.key, A.address), ("b", "b:1"))


def test_what_has_nodes_here_is_announced_to_others_without_a_loop(
    uwgate: Start, folder: Path
) -> None:
    port = free_port()
    first = uwgate(
        *("--http", "127.0.0.1:0", "--processes", "0", "--http-subscription-server", "announce"),
        *("--http-resubscribe", f"127.0.0.1:{port}", "--subscribe-freq", "1", *PATIENT),
    )
    second = uwgate(
        *("--http", "127.0.0.1:0", "--processes", "0"),
        *("--http-subscription-server", f"127.0.0.1:{port}"),
        *("--http-resubscribe", f"{folder}/announce", "--subscribe-freq", "1", *PATIENT),
        name="second",
    )
    address = "{}:{}".format(*first.address)
    with watching(first) as here, watching(second) as there:
        announce(folder, A, Packet(key=A.key, address="10.0.0.2:3031", weight=3))
        there.wait_for((A.key, address), when=lambda node: (node.weight, node.proto) == (5, "h"))
        first.wait_for_log("refused: .*: came back by way of")
        here.wait_for((A.key, A.address), (A.key, "10.0.0.2:3031"))
        assert first.stop() == 0
        there.wait_for()


def test_a_wrong_value_ends_the_start(uwgate: Start) -> None:
    program = gate(uwgate, "--subscriptions-sign-check", "SHA256:/no/where")
    assert program.wait() == 1
    assert "no such folder" in program.log
