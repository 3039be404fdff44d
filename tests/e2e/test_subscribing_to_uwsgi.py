"""Our workers are nodes of real uWSGI routers: they announce themselves and serve through them,
and leave and reload under load without a failed request (src/uwgate/announcing)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from uwgate.gateways.wire import uwsgi
from uwgate.subscriptions.packet import Packet, decode

from .client import Answer, Connection, ask, request
from .peers import program, running
from .processes import APPS, PATIENCE, Address, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start
    from .processes import Uwgate

KEYS = Path(__file__).parents[1] / "cases" / "subscriptions"
HOST = "foo.com"
ENOUGH = 60  # requests that say something about load
PAUSE = 0.005  # seconds between two of a client


class Router(Process):
    """A uWSGI with an HTTP router (``http``) or a fastrouter, both with stats."""

    def __init__(self, folder: Path, kind: str, server: str, *arguments: str) -> None:
        port = free_port()
        self.kind = kind
        self.address = ("127.0.0.1", port)
        self.stats = f"{folder}/stats"
        argv = [program("uwsgi"), "--master", f"--{kind}", f"127.0.0.1:{port}"]
        argv += [f"--{kind}-subscription-server", server, "--subscription-tolerance", "600"]
        argv += [f"--{kind}-stats-server", self.stats, *arguments]
        super().__init__(argv, folder=folder, name="router")

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes that it knows, each with its key."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.stats)
            slots = json.loads(sock.makefile("rb").read())["subscriptions"]
        return [{"key": slot["key"], **node} for slot in slots for node in slot["nodes"]]

    def wait_for_nodes(self, count: int) -> list[dict[str, Any]]:
        self.wait_for_socket(self.stats)
        self.wait_for(lambda: len(self.nodes()) == count, f"{count} nodes")
        return self.nodes()

    def get(self, path: str) -> bytes:
        """The body of an answer that has to be 200."""
        if self.kind == "http":
            answer: Answer = ask(self.address, request("GET", path, host=HOST))
            assert answer.status == 200
            return answer.body
        packet = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_HOST": HOST, "QUERY_STRING": ""}
        block = [(name.encode(), value.encode()) for name, value in packet.items()]
        with socket.create_connection(self.address, PATIENCE) as sock:
            sock.sendall(uwsgi.encode(block))
            head, _, body = sock.makefile("rb").read().partition(b"\r\n\r\n")
        assert b" 200 " in head
        return body


def node(start: Start, *arguments: str, name: str = "uwgate") -> Uwgate:
    return start(
        "--socket", "127.0.0.1:0", "--wsgi-file", str(APPS / "witness.py"), *arguments, name=name
    )


@contextlib.contextmanager
def router_at(
    folder: Path, kind: str, family: str, *arguments: str
) -> Iterator[tuple[Router, str]]:
    """A router with a subscription server of a family, and that server's address."""
    server = f"127.0.0.1:{free_port()}" if family == "udp" else f"{folder}/announce"
    with running(router := Router(folder, kind, server, *arguments), stop=signal.SIGKILL):
        router.wait_for_nodes(0)
        yield router, server


@pytest.mark.parametrize(
    ("kind", "family", "signed"),
    [
        ("http", "udp", False),
        ("http", "unix", True),
        ("fastrouter", "udp", True),
        ("fastrouter", "unix", False),
    ],
)
def test_workers_serve_through_a_router_of_uwsgi(
    uwgate: Start, folder: Path, kind: str, family: str, signed: bool
) -> None:
    more: tuple[str, ...] = ()
    if signed:
        (folder / f"{HOST}.pem").write_bytes((KEYS / "rsa.pub.pem").read_bytes())
        more = ("--subscriptions-sign-check", f"SHA256:{folder}")
    with router_at(folder, kind, family, *more) as (router, server):
        sign = f"SHA256:{KEYS}/rsa.pem"
        if family == "udp":
            told = ["--subscribe-to", f"{server}:{HOST}" + (f",0,{sign}" if signed else "")]
        else:
            told = [f"--subscribe2=server={server},key={HOST}" + (f",sign={sign}" * signed)]
        one = node(uwgate, *told, "--processes=2", "--threads=3", "--notify-socket=n.sock")
        (known,) = router.wait_for_nodes(1)
        assert known["name"] == "{}:{}".format(*one.address)
        assert (known["cores"], known["load"], known["weight"]) == (6, 0, 1)
        assert router.get("/") == b"ok\n"
        one.wait_for_log(rf"\[subscription ack\] {HOST} => new node: {known['name']}")
        one.popen.send_signal(signal.SIGTERM)
        assert one.wait() == 0
        router.wait_for_nodes(0)


def test_a_router_of_uwsgi_is_told_for_whom_we_speak(uwgate: Start, folder: Path) -> None:
    allowed = folder / "allowed"
    allowed.mkdir()
    (allowed / HOST).touch()
    as_nobody: list[str] = []
    if os.geteuid() == 0:
        os.chown(allowed / HOST, 65534, 65534)
        as_nobody = ["--uid=65534", "--gid=65534"]
    owner = (allowed / HOST).stat()
    more = ("--subscriptions-use-credentials", "--subscriptions-credentials-check", f"{allowed}/")
    with router_at(folder, "http", "unix", *more) as (router, server):
        told = [f"--subscribe-to={server}:{name}" for name in ("other.com", HOST)]
        node(uwgate, *told, *as_nobody)
        (known,) = router.wait_for_nodes(1)
        assert known["key"] == HOST
        assert (known["uid"], known["gid"]) == (owner.st_uid, owner.st_gid)
        assert router.get("/") == b"ok\n"


class Load:
    """Requests without a pause, from several clients, until the end of the block."""

    def __init__(self, router: Router, path: str = "/born") -> None:
        self.answers: list[bytes] = []
        self.failures: list[str] = []
        self._router = router
        self._path = path
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self) -> None:
        """Let enough requests be answered from now on."""
        count = len(self.answers)
        self._router.wait_for(lambda: len(self.answers) >= count + ENOUGH, "answers")

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.answers.append(self._router.get(self._path))
            except (OSError, AssertionError, ValueError, EOFError) as error:
                self.failures.append(repr(error))
            self._ending.wait(PAUSE)


def test_a_node_that_is_stopped_under_load_fails_no_request(uwgate: Start, folder: Path) -> None:
    with router_at(folder, "http", "udp") as (router, server):
        told = ("--subscribe-to", f"{server}:{HOST}", "--processes=2")
        leaves = node(uwgate, *told, name="leaves")
        stays = node(uwgate, *told, name="stays")
        router.wait_for_nodes(2)
        with Load(router) as load:
            load.wait_for_more()
            leaves.popen.send_signal(signal.SIGTERM)
            assert leaves.wait() == 0
            load.wait_for_more()
        assert load.failures == []
        assert len(set(load.answers)) == 2
        (left,) = router.wait_for_nodes(1)
        assert left["name"] == "{}:{}".format(*stays.address)


def test_a_reload_under_load_fails_no_request(uwgate: Start, folder: Path) -> None:
    with router_at(folder, "http", "udp") as (router, server):
        one = node(uwgate, "--subscribe-to", f"{server}:{HOST}", "--processes=2")
        router.wait_for_nodes(1)
        with Load(router) as load:
            load.wait_for_more()
            one.popen.send_signal(signal.SIGHUP)
            one.wait_for_log("generation 1 is gone")
            load.wait_for_more()
        assert load.failures == []
        assert len(set(load.answers)) == 2


def test_a_reload_to_another_address_under_load_fails_no_request(
    uwgate: Start, folder: Path
) -> None:
    ini = folder / "node.ini"
    text = "[uwsgi]\nsocket = 127.0.0.1:{}\nwsgi-file = {}\nprocesses = 2\nsubscribe-to = {}:{}\n"
    with router_at(folder, "http", "udp") as (router, server):
        ini.write_text(text.format(free_port(), APPS / "witness.py", server, HOST))
        one = uwgate(str(ini))
        (before,) = router.wait_for_nodes(1)
        with Load(router) as load:
            load.wait_for_more()
            ini.write_text(text.format(free_port(), APPS / "witness.py", server, HOST))
            one.popen.send_signal(signal.SIGHUP)
            one.wait_for_log("generation 1 is gone")
            load.wait_for_more()
        (after,) = router.wait_for_nodes(1)
        assert load.failures == []
        assert before["name"] != after["name"]


def test_a_pool_that_fails_to_start_announces_nothing(uwgate: Start, folder: Path) -> None:
    (folder / "app.py").write_text("import nothing_of_that_name\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"{folder}/ear")
        one = uwgate(
            *("--socket", "127.0.0.1:0", "--wsgi-file", "app.py"),
            *("--subscribe-to", f"{folder}/ear:{HOST}"),
        )
        assert one.wait() == 22
        ear.setblocking(False)
        with pytest.raises(BlockingIOError):
            ear.recv(4096)


def wait_for_packet(ear: socket.socket, expected: tuple[int, int]) -> Packet:
    """The first announcement with such a load and so many free slots."""
    deadline = time.monotonic() + PATIENCE
    while (packet := decode(ear.recv(4096))) and (packet.load, packet.free) != expected:
        assert time.monotonic() < deadline, packet
    return packet


@pytest.mark.parametrize("address", ["127.0.0.1:0", "node.sock"])
def test_load_and_free_slots_are_those_of_the_workers(
    uwgate: Start, folder: Path, address: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, contextlib.ExitStack() as stack:
        ear.bind(f"{folder}/ear")
        ear.settimeout(PATIENCE)
        application = str(APPS / "witness.py")
        one = uwgate(
            *("--http-socket", address, "--wsgi-file", application, "--threads=2"),
            *(f"--subscribe2=server={folder}/ear,key=a,proto=http", "--subscribe-freq=1"),
        )
        first = wait_for_packet(ear, (0, 2))
        assert first.cores == 2
        where: Address = first.address
        if ":" in first.address:
            where = ("127.0.0.1", int(first.address.rpartition(":")[2]))
        for _ in range(5):
            client = stack.enter_context(Connection(where))
            client.send(request("GET", "/sleep?seconds=300"))
        wait_for_packet(ear, (3, 0))
        one.popen.send_signal(signal.SIGTERM)
        one.wait_for_log("no longer announcing")
        one.popen.send_signal(signal.SIGTERM)  # do not wait for those who sleep
        assert one.wait() == 0


def test_a_pause_takes_the_node_out_and_its_end_brings_it_back(uwgate: Start, folder: Path) -> None:
    with router_at(folder, "http", "unix") as (router, server):
        one = node(uwgate, "--subscribe-to", f"{server}:{HOST}", "--start-unsubscribed")
        one.wait_for_log("generation 1 serves")
        assert router.nodes() == []
        one.popen.send_signal(signal.SIGTSTP)
        router.wait_for_nodes(1)
        one.popen.send_signal(signal.SIGTSTP)
        router.wait_for_nodes(0)
