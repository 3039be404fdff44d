"""The legion process of a running uwgate, on loopback: hooks, workers, reload, privileges."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from uwgate.subscriptions.packet import MAX_DATAGRAM, Command, decode

from .conftest import Start
from .processes import APPS, PATIENCE, Uwgate, free_port

SECRET = "aes-256-gcm:sixteen letters.."
# spec/legion.md section 10
UWSGI_FIELDS = [
    *("legion", "addr", "uuid", "valor", "checksum", "quorum", "i_am_the_lord"),
    *("lord_valor", "lord_uuid", "nodes", "members"),
]
UWSGI_MEMBER_FIELDS = ["name", "uuid", "valor", "checksum", "last_seen"]
# No lord may lose its lordship because this machine is busy for a while.
TIMES = ("--legion-freq", "0.5", "--legion-tolerance", "6")


@pytest.fixture
def ports() -> tuple[int, int, int]:
    return free_port(), free_port(), free_port()


def member(ports: tuple[int, ...], number: int) -> list[str]:
    """The options of node ``number``, counted from 0, the valor of which is one more."""
    argv = ["--legion", f"ring 127.0.0.1:{ports[number]} {number + 1} {SECRET}", *TIMES]
    for other, port in enumerate(ports):
        if other != number:
            argv += ["--legion-node", f"ring 127.0.0.1:{port}"]
    return argv


def ask(program: Uwgate) -> dict[str, Any]:
    host, port = program.address
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=PATIENCE) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found | {"rule": answer.headers["X-Rule"]}


def legions(path: Path) -> list[dict[str, Any]]:
    """What a stats server says of them."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        with sock.makefile("rb") as file:
            found: list[dict[str, Any]] = json.loads(file.read())["legions"]
    return found


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_workers_know_the_lord_through_reloads_and_the_death_of_the_process(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    low = uwgate(*member(ports, 0), "--legion-scroll", "ring of the low", name="low")
    stats = folder / "stats"
    high = uwgate(
        *(*member(ports, 2), "--legion-scroll", "ring of the high"),
        *("--http", "127.0.0.1:0", "--wsgi-file", str(APPS / "legionary.py")),
        *("--route-if", "lord:ring addheader:X-Rule: lord"),
        *("--http-stats-server", str(stats)),
        name="high",
    )
    high.wait_for(lambda: ask(high)["is_lord"], "lord")
    high.wait_for(lambda: ask(high)["rule"] == "lord", "rule of the lord")
    high.wait_for(lambda: legions(stats)[0]["i_am_the_lord"] > 0, "lord in the statistics")
    (shown,) = legions(stats)
    assert list(shown)[: len(UWSGI_FIELDS)] == UWSGI_FIELDS
    assert (shown["legion"], shown["valor"], shown["quorum"]) == ("ring", 3, 2)
    assert shown["lord_uuid"] == shown["uuid"]
    assert shown["nodes"] == [f"127.0.0.1:{port}" for port in ports[:2]]
    assert [list(one) for one in shown["members"]] == [UWSGI_MEMBER_FIELDS]
    answer = ask(high)
    term = answer["term"]
    assert term > 0
    assert answer["lord_scroll"] == "of the high"
    assert answer["scrolls"] == ["of the high", "of the low"]
    assert answer["unknown"] == [False, None, None]

    (process,) = high.wait_for_processes("legion", 1)
    os.kill(high.pid, signal.SIGHUP)
    high.wait_for_log("generation 1 is gone")
    assert high.processes("legion") == [process]
    assert "left" not in high.log
    high.wait_for(lambda: ask(high)["is_lord"], "lord after the reload")

    # Two of three are needed: without the process the lordship ends, by itself.
    os.kill(process, signal.SIGSTOP)
    high.wait_for(lambda: not ask(high)["is_lord"], "end of the lordship")
    assert ask(high)["rule"] is None
    os.kill(process, signal.SIGKILL)
    high.wait_for(lambda: ask(high)["is_lord"], "new lordship")
    assert ask(high)["term"] > term
    assert "Traceback" not in low.log


def test_hooks_run_in_order_and_a_lord_that_cannot_take_over_steps_down(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    out = folder / "out"
    say = f"echo $UWGATE_LEGION_EVENT $UWGATE_LEGION_NODE_VALOR >> {out}"
    low = uwgate(
        *member(ports, 0),
        *("--legion-setup", f"ring cmd:{say}", "--legion-join", f"ring cmd:{say}"),
        *("--legion-node-joined", f"ring cmd:{say}", "--legion-lord", f"ring cmd:{say}"),
        *("--legion-unlord", f"ring cmd:{say}", "--legion-death", f"ring cmd:{say}"),
        name="low",
    )
    high = uwgate(
        *(*member(ports, 1), "--legion-death-on-lord-error", "600"),
        *("--legion-lord", "ring cmd:exit 4", "--legion-unlord", f"ring touch:{folder}/undone"),
        name="high",
    )
    low.wait_for_log("this node is the lord now")
    high.wait_for_log("lord cmd:exit 4: ended with status 4")
    high.wait_for_log("not lord any more: its lord hook failed")
    high.wait_for((folder / "undone").exists, "unlord hook")
    low.wait_until_it_serves()
    assert low.stop() == 0
    told = lines(out)
    assert told[0].strip() == "setup"
    assert "node-joined 2" in told
    assert [line.strip() for line in told[-3:]] == ["lord", "unlord", "death"]


def test_a_slow_hook_does_not_silence_the_node(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    waits = f"ring cmd:while [ ! -e {folder}/go ]; do sleep 0.1; done"
    uwgate(*member(ports, 0), name="low")
    high = uwgate(
        *(*member(ports, 1), "--legion-lord", waits, "--legion-join", waits),
        *("--legion-hook-timeout", "600"),
        name="high",
    )
    high.wait_for_log("lord cmd:while")
    # For more than a tolerance it goes on announcing, and is neither lord nor given up.
    third = uwgate(*member(ports, 2)[:2], *member(ports, 2)[2:], name="third")
    third.wait_for_log(r"valor 2\) joined")
    (folder / "go").touch()
    high.wait_for_log("this node is the lord now|not lord any more: a node of higher valor")


def test_another_configuration_steps_down_before_it_joins_again(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    config = folder / "node.ini"
    options = member(ports, 1)
    pairs = zip(options[::2], options[1::2], strict=True)
    text = "[uwsgi]\n" + "".join(f"{key[2:]} = {value}\n" for key, value in pairs)
    config.write_text(text)
    low = uwgate(*member(ports, 0), name="low")
    high = uwgate(str(config), name="high")
    high.wait_for_log("this node is the lord now")
    before = len(low.log)
    config.write_text(text + "legion-scroll = ring new\n")
    os.kill(high.pid, signal.SIGHUP)
    high.wait_for_log("legion ring: left")
    high.wait_for(lambda: high.log.count("this node is the lord now") >= 2, "second lordship")
    low.wait_for_log(r"warning: legion ring: \S+ left", start=before)
    config.write_text(text + "legion-node = ring nonsense\n")
    os.kill(high.pid, signal.SIGHUP)
    high.wait_for_log(r"node.ini:\d+: legion-node = ring nonsense: 'nonsense': expected HOST:PORT")
    high.wait_for_log("reload failed")


def test_the_term_survives_in_the_state_directory(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    (folder / "ring.term").write_text(f"{1 << 60}\n")
    uwgate(*member(ports, 0), name="low")
    high = uwgate(*member(ports, 1), "--legion-state-dir", str(folder), name="high")
    match = high.wait_for_log(r"becoming lord in term (\d+)")
    assert int(match[1]) > 1 << 60
    high.wait_for(lambda: int((folder / "ring.term").read_text()) > 1 << 60, "kept term")


@pytest.fixture
def nobody() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return


@pytest.mark.usefixtures("nobody")
def test_hooks_run_as_the_user_of_the_instance_or_as_root(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    uwgate(*member(ports, 0), name="low")
    high = uwgate(
        *(*member(ports, 1), "--uid", "65534", "--gid", "65534"),
        *("--legion-lord", "ring cmd:echo plain $(id -u) caps $(grep CapEff /proc/self/status)"),
        *("--legion-lord", "ring exec-as-root:echo root $(id -u) $UWGATE_LEGION_TERM"),
        name="high",
    )
    high.wait_for_log(r"plain 65534 caps CapEff: 0000000000000000")
    term = high.wait_for_log(r"root 0 (\d+)$")[1]
    assert f"becoming lord in term {term}" in high.log


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--legion", "ring :1"), "legion = ring :1: expected NAME ADDRESS VALOR"),
        (("--legion", f"ring /run/l 1 {SECRET}"), "cannot be reached from a UNIX socket"),
        (("--legion", f"ring 192.0.2.1:4242 1 {SECRET}"), "cannot listen on 192.0.2.1:4242"),
        (("--legion-lord", "ring cmd:true"), "no legion ring is declared"),
        (("--legion", f"ring :4242 1 {SECRET}", "--legion-freq", "9"), "legion-tolerance 3"),
        (
            ("--legion", f"ring :4242 1 {SECRET}", "--legion-vip", "ring 10.9.9.9/24 dev no0"),
            "legion-vip 10.9.9.9/24 dev no0: no interface",
        ),
    ],
)
def test_what_cannot_work_is_told_at_the_start(
    uwgate: Start, options: tuple[str, ...], text: str
) -> None:
    program = uwgate(*options)
    assert program.wait() == 1
    assert text in program.log
    assert "Traceback" not in program.log


def test_only_the_lord_announces_its_workers(
    uwgate: Start, ports: tuple[int, int, int], folder: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(folder / "ear"))
        ear.settimeout(PATIENCE)
        nodes = [
            uwgate(
                *(*member(ports[:2], number), "--uwsgi-socket", "127.0.0.1:0"),
                *("--wsgi-file", str(APPS / "legionary.py"), "--subscribe-legion", "ring"),
                *("--subscribe2", f"server={folder}/ear,key=node{number}"),
                name=f"node{number}",
            )
            for number in (0, 1)
        ]
        nodes[1].wait_for_log("this node is the lord now")
        packet = decode(ear.recv(MAX_DATAGRAM))
        assert (packet.key, packet.command) == ("node1", Command.SUBSCRIBE)
        # Without a majority there is no lord, so the name is taken back.
        nodes[0].wait_until_it_serves()
        os.kill(nodes[0].pid, signal.SIGTERM)
        commands = [packet.command]
        while commands[-1] is Command.SUBSCRIBE:
            packet = decode(ear.recv(MAX_DATAGRAM))
            assert packet.key == "node1"
            commands.append(packet.command)
        nodes[1].wait_for_log("no longer announcing node1")
        nodes[1].wait_for_log("not lord any more")  # another process says that
        assert nodes[0].wait() == 0
