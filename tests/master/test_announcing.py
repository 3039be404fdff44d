"""When the master announces its workers: start, reload, pause, stop; with fake children."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.master.conftest import PATIENCE, Overrides, RunningMaster, StartMaster
from uwgate.subscriptions.packet import MAX_DATAGRAM, Command, Packet, decode


class Ear:
    """A subscription server at ``ear`` in the master's folder."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "ear"))
        self.socket.settimeout(PATIENCE)

    def hear(self) -> Packet:
        """The next packet."""
        return decode(self.socket.recv(MAX_DATAGRAM))

    def hear_until(self, command: Command, key: str = "a") -> Packet:
        """The first packet with this command, and for this key; others are passed over."""
        while True:
            packet = self.hear()
            if (packet.command, packet.key) == (command, key):
                return packet

    def hears_nothing(self) -> bool:
        """Whether nothing has arrived."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    one = Ear(tmp_path)
    yield one
    one.socket.close()


def node(*, keys: str = "a", address: str = "", **more: dict[str, Any]) -> Overrides:
    """Settings of workers that are announced. ``address`` empty: their first socket."""
    addr = f",addr={address}" if address else ",proto=http"
    options: Overrides = {
        "sockets": {"http_socket": ["127.0.0.1:0"]},
        "workers": {"processes": 2, "threads": 2},
        "subscribe": {
            "subscribe2": [f"server=ear,key={key}{addr}" for key in keys],
            "subscribe_freq": 1.0,
        },
    }
    return {name: options.get(name, {}) | more.get(name, {}) for name in {*options, *more}}


def test_workers_are_announced_when_they_are_ready(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node(application={"pyargv": "slow 0.3"}))
    packet = ear.hear()
    assert "generation 1 serves" in master.log
    assert packet.address == f"127.0.0.1:{master.port()}"
    assert (packet.cores, packet.load) == (4, 0)
    assert ear.hear().command is Command.SUBSCRIBE


def test_workers_that_cannot_start_are_not_announced(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node(application={"pyargv": "fail"}))
    assert master.wait() == 22
    assert ear.hears_nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_says_goodbye_while_everything_serves(
    start_master: StartMaster, ear: Ear, number: signal.Signals
) -> None:
    master = start_master(node())
    ear.hear()
    master.send(number)
    ear.hear_until(Command.UNSUBSCRIBE)
    assert master.ask()["generation"] == 1
    assert master.wait() == 0
    assert ear.hears_nothing()


def test_a_second_stop_does_not_wait_for_late_comers(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node())
    ear.hear()
    master.send(signal.SIGTERM)
    master.wait_log("no longer announcing")
    master.send(signal.SIGTERM)
    assert master.wait() == 0
    master.wait_log("again: stopping at once")


def test_a_reload_says_nothing_but_announces_again(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node())
    ear.hear()
    master.configure(node(workers={"processes": 1}))
    master.send(signal.SIGHUP)
    master.wait_log("generation 1 is gone")
    cores = [ear.hear().cores]
    while cores[-1] != 2:
        packet = ear.hear()
        assert packet.command is Command.SUBSCRIBE
        cores.append(packet.cores)
    assert set(cores) <= {4, 2}


def test_a_reload_takes_back_what_is_no_longer_announced(
    start_master: StartMaster, ear: Ear
) -> None:
    master = start_master(node(keys="ab"))
    ear.hear()
    master.configure(node(keys="ac"))
    master.send(signal.SIGHUP)
    ear.hear_until(Command.SUBSCRIBE, "c")
    ear.hear_until(Command.UNSUBSCRIBE, "b")
    master.wait_log("generation 1 is gone")


def test_a_stop_in_the_middle_of_a_reload_says_goodbye(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node())
    ear.hear()
    master.configure(node(keys="b", application={"pyargv": "hang"}))
    master.send(signal.SIGHUP)
    master.wait_log("spawned uWSGI spawner", count=2)
    master.send(signal.SIGTERM)
    ear.hear_until(Command.UNSUBSCRIBE)
    assert master.wait() == 0
    assert ear.hears_nothing()


def test_a_reload_that_fails_leaves_the_announcements(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node())
    ear.hear()
    master.configure(node(keys="b", application={"pyargv": "fail"}))
    master.send(signal.SIGHUP)
    master.wait_log("reload failed")
    assert [ear.hear().key for _ in range(3)] == ["a", "a", "a"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"subscribe2": ["server=ear"]}, "no key="),
        ({"notify_socket": "no/such/folder/n"}, "no/such/folder/n"),
        ({"subscribe2": ["server=ear,key=a,socket=9"]}, "there are 1 sockets"),
        ({"subscribe2": ["server=ear,key=a,addr=x,sign=SHA256:gone.pem"]}, "gone.pem"),
    ],
)
def test_a_reload_with_a_bad_value_fails_and_a_start_too(
    start_master: StartMaster, ear: Ear, bad: dict[str, Any], why: str
) -> None:
    master = start_master(node())
    ear.hear()
    master.configure(node(subscribe=bad))
    master.send(signal.SIGHUP)
    master.wait_log("reload failed")
    assert why in master.log
    assert master.ask()["generation"] == 1
    master.end()
    master = start_master(node(subscribe=bad))
    assert master.wait() == 1
    assert not (master.directory / "n").exists()


def test_unsubscribe_on_graceful_reload_says_goodbye_first(
    start_master: StartMaster, ear: Ear
) -> None:
    polite = node(subscribe={"unsubscribe_on_graceful_reload": True})
    master = start_master(polite)
    ear.hear()
    master.configure({**polite, "application": {"pyargv": "slow 0.3"}})
    master.send(signal.SIGHUP)
    ear.hear_until(Command.UNSUBSCRIBE)
    assert "generation 2 serves" not in master.log
    ear.hear_until(Command.SUBSCRIBE)
    assert "generation 2 serves" in master.log


def test_sigtstp_pauses_announcements_and_goes_on_with_them(
    start_master: StartMaster, ear: Ear
) -> None:
    master = start_master(node())
    ear.hear()
    master.send(signal.SIGTSTP)
    ear.hear_until(Command.UNSUBSCRIBE)
    assert master.ask()["generation"] == 1
    master.send(signal.SIGTSTP)
    assert ear.hear().command is Command.SUBSCRIBE
    master.wait_log("announcements pause")
    master.wait_log("announcements go on")


def test_a_pause_outlives_a_reload(start_master: StartMaster, ear: Ear) -> None:
    master = start_master(node(subscribe={"start_unsubscribed": True}))
    master.wait_serving()
    master.send(signal.SIGHUP)
    master.wait_log("generation 1 is gone")
    assert ear.hears_nothing()
    master.send(signal.SIGTSTP)
    ear.hear_until(Command.SUBSCRIBE)


def test_what_servers_answer_is_in_the_log(
    start_master: StartMaster, ear: Ear, tmp_path: Path
) -> None:
    master = start_master(node(subscribe={"notify_socket": "n.sock"}))
    packet = ear.hear()
    assert packet.notify == str(tmp_path / "n.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.sendto(b"[subscription ack] a => new node: x", packet.notify)
    master.wait_log(r"\[subscription ack\] a => new node: x")
    master.send(signal.SIGTERM)
    assert master.wait() == 0
    assert not (tmp_path / "n.sock").exists()


def test_workers_that_outlive_their_spawner_are_still_announced(
    start_master: StartMaster, ear: Ear
) -> None:
    master = start_master(node())
    ear.hear()
    os.kill(master.pids("spawner")[0], signal.SIGKILL)
    master.wait_log("orphaned workers")
    assert [ear.hear().command for _ in range(3)] == [Command.SUBSCRIBE] * 3
    assert "no worker runs" not in master.log


def test_without_any_worker_nothing_is_announced(
    start_master: StartMaster, ear: Ear, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    go.touch()
    master = start_master(node(application={"pyargv": f"wait for {go}"}))
    ear.hear()
    go.unlink()
    kill_everything(master)
    master.wait_log("no worker runs: nothing is announced")
    go.touch()
    master.wait_log("workers run again")


def kill_everything(master: RunningMaster) -> None:
    """SIGKILL for the spawner and its workers, before it notices."""
    spawner = master.pids("spawner")[0]
    os.kill(spawner, signal.SIGSTOP)
    children = Path(f"/proc/{spawner}/task/{spawner}/children").read_text().split()
    for pid in (*map(int, children), spawner):
        os.kill(pid, signal.SIGKILL)
