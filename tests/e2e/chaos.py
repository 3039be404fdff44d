"""Nodes that come, go, die, freeze, reload and change their weight under constant load.

``python -m tests.e2e.chaos --seconds 60 [--seed N]`` runs it by hand; test_chaos.py does for a
shorter time. Every request that fails has to have a reason: it ran, or waited in the kernel, in a
process that was killed. A uWSGI that stops drops who waits in its listen queue; a uwgate must not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .client import Connection, request
from .peers import program
from .processes import APPS, PATIENCE, Process, Uwgate, free_port, start_uwgate, tree

HOST = "app.test"
CLIENTS = 8
LONGEST = 30  # milliseconds that the application takes
FREEZE = (0.1, 1.5)  # seconds
PAUSE = (0.1, 0.8)  # seconds between two events
LEAST = 2  # nodes that are left alone
AROUND = 2.0  # seconds between a death and the last failure that it explains
MOST_FAILURES = 200
EVENTS = ("stop", "kill", "kill-worker", "freeze", "reload", "weight", "gateway-reload")


@dataclass
class Death:
    """A process was killed, or a node stopped, at this time."""

    at: float
    what: str


@dataclass
class Failure:
    """A request that was not answered as it should. Times are of ``time.monotonic``."""

    name: str
    began: float
    ended: float
    what: str


@dataclass
class Node:
    """One instance that announces itself."""

    name: str
    kind: str
    folder: Path
    server: str
    port: int = field(default_factory=free_port)
    weight: int = 1
    starts: int = 0
    process: Process | None = None
    deaths: list[Death] = field(default_factory=list[Death])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def write(self) -> Path:
        """The configuration, with the weight of now."""
        path = self.folder / f"{self.name}.ini"
        section = "uwsgi" if self.kind == "uwsgi" else "uwgate"
        lines = [
            f"[{section}]",
            "master = true",
            f"socket = {self.address}",
            f"wsgi-file = {APPS / 'chaos.py'}",
            "processes = 2",
            "subscribe-freq = 1",
            f"subscribe2 = server={self.server},key={HOST},weight={self.weight}",
            f"env = NODE={self.name}",
            f"env = JOURNAL={self.folder / 'journal'}",
        ]
        if self.kind == "uwsgi":
            lines += [
                "need-app = true",
                "hook-master-start = unix_signal:15 gracefully_kill_them_all",
            ]
            lines += ["reload-mercy = 8", "worker-reload-mercy = 8"]
        path.write_text("\n".join(lines) + "\n")
        return path

    def start(self) -> None:
        self.starts += 1
        name = f"{self.name}-{self.starts}"
        path = str(self.write())
        if self.kind == "uwsgi":
            argv = [program("uwsgi"), "--ini", path]
            self.process = Process(argv, folder=self.folder, name=name)
        else:
            self.process = start_uwgate(path, folder=self.folder, name=name)

    @property
    def pids(self) -> list[int]:
        assert self.process is not None
        return [self.process.pid, *tree(self.process.pid)]

    def kill(self, pids: list[int], what: str) -> None:
        self.deaths.append(Death(time.monotonic(), what))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        assert self.process is not None
        self.kill(self.pids, "kill -9 of all its processes")
        self.process.popen.wait()
        self.deaths.append(Death(time.monotonic(), "had been killed"))
        self.process = None

    def kill_worker(self, chance: random.Random) -> None:
        assert self.process is not None
        workers = [pid for pid in tree(self.process.pid) if not tree(pid)]
        if workers:
            pid = chance.choice(workers)
            self.kill([pid], f"kill -9 of its process {pid}")

    def stop(self) -> None:
        """As its operator does."""
        assert self.process is not None
        process, self.process = self.process, None
        if self.kind == "uwsgi":  # whoever waits in its listen queue then is dropped
            self.deaths.append(Death(time.monotonic(), "was stopped"))
        process.stop(signal.SIGTERM)
        if self.kind == "uwsgi":
            self.deaths.append(Death(time.monotonic(), "had stopped"))

    def freeze(self, seconds: float) -> None:
        pids = self.pids
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)

    def reload(self) -> None:
        assert self.process is not None
        self.write()
        os.kill(self.process.pid, signal.SIGHUP)


class Load:
    """Clients that ask one thing after the other, and check every answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.failures: list[Failure] = []
        self.answers: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: int) -> None:
        chance = random.Random(client)
        connection: Connection | None = None
        count = 0
        while not self._over.is_set():
            count += 1
            name = f"{client}.{count}"
            began = time.monotonic()
            try:
                connection = connection or Connection(self.address, timeout=PATIENCE)
                keep = self._ask_once(connection, name, chance)
            except OSError as error:
                self.failures.append(Failure(name, began, time.monotonic(), repr(error)))
                keep = False
            if len(self.failures) > MOST_FAILURES:
                return  # they are all the same
            if not keep and connection is not None:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask_once(self, connection: Connection, name: str, chance: random.Random) -> bool:
        began = time.monotonic()
        body = b"x" * chance.choice((0, 0, 100, 20_000))
        target = f"/?id={name}&ms={chance.randint(0, LONGEST)}"
        connection.send(request("POST" if body else "GET", target, body=body, host=HOST))
        answer = connection.answer()
        said = answer.body.decode("utf-8", "replace")
        node, _, rest = said.partition(" ")
        if answer.status == 200 and rest == f"{name} {len(body)}\n":
            self.answers[node] += 1
        else:
            what = f"{answer.status} {said[:200]!r}"
            self.failures.append(Failure(name, began, time.monotonic(), what))
        return "connection" not in answer or answer["connection"] != "close"


class Chaos:
    """A gateway, five nodes, and what happened to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        server = f"127.0.0.1:{free_port()}"
        self.gateway: Uwgate = start_uwgate(
            *("--http", "127.0.0.1:0", "--http-subscription-server", server),
            *("--http-processes", "2"),
            folder=folder,
            name="gateway",
        )
        kinds = ("uwgate", "uwsgi", "uwgate", "uwsgi", "uwgate")
        self.nodes = [Node(f"n{at}", kind, folder, server) for at, kind in enumerate(kinds)]
        self.events: list[str] = []
        self._began = time.monotonic()

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        """All nodes serve; gives the load, which has ended when the block has."""
        load = Load(self.gateway.address)
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                self._wait_until_it_answers(node)
            load.start()
            try:
                yield load
            finally:
                load.stop()
        finally:
            for node in self.nodes:
                if node.process is not None:
                    node.kill_all()
            self.gateway.stop()

    def go_on(self, seconds: float) -> None:
        """Let things happen for this long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(*PAUSE))
            self._do_something()

    def judge(self, failures: list[Failure]) -> list[str]:
        """The failures that have no reason; the reasons of others are printed."""
        log = self.gateway.log
        journal = (self.folder / "journal").read_text()
        unexplained: list[str] = []
        for failure in failures:
            reason = self._reason(failure, log, journal)
            text = f"{failure.began - self._began:6.2f} s: {failure.name}: {failure.what}"
            say(f"{text}: {reason or 'NO REASON'}")
            if reason is None:
                lines = re.findall(rf".*id={re.escape(failure.name)}&.*", log)
                unexplained.append("\n".join([text, *lines]))
        return unexplained

    def _reason(self, failure: Failure, log: str, journal: str) -> str | None:
        for node in self._nodes_of(failure, log, journal):
            for death in node.deaths:
                if failure.began - AROUND <= death.at <= failure.ended + AROUND:
                    return (
                        f"{node.name} ({node.kind}) {death.what} at {death.at - self._began:.2f} s"
                    )
        return None

    def _nodes_of(self, failure: Failure, log: str, journal: str) -> list[Node]:
        """Where it may have run: as the gateway says, or the node; else, when the gateway has
        left out lines of its log, anywhere."""
        name = re.escape(failure.name)
        said = re.search(rf"id={name}&\S*: .*", log)
        if said is not None:
            return [node for node in self.nodes if node.address in said[0]]
        begun = re.search(rf"^begin {name} (\S+) ", journal, re.MULTILINE)
        if begun is not None:
            return [node for node in self.nodes if node.name == begun[1]]
        return self.nodes if re.search(r"answer-50\d: \d+ more in the last", log) else []

    def _wait_until_it_answers(self, node: Node) -> None:
        process = node.process
        assert process is not None
        process.wait_for_socket(("127.0.0.1", node.port))
        self.gateway.wait_for_log(rf"{re.escape(node.address)}")

    def _do_something(self) -> None:
        up = [node for node in self.nodes if node.process is not None]
        down = [node for node in self.nodes if node.process is None]
        if down and (len(up) <= LEAST or self.chance.random() < 0.5):
            node = self.chance.choice(down)
            self._note(f"start {node.name}")
            node.start()
            self._wait_until_it_answers_again(node)
            return
        event = self.chance.choice(EVENTS)
        node = self.chance.choice(up)
        if event in ("stop", "kill") and len(up) <= LEAST:
            return
        self._note(f"{event} {node.name} ({node.kind})")
        match event:
            case "stop":
                node.stop()
            case "kill":
                node.kill_all()
            case "kill-worker":
                node.kill_worker(self.chance)
            case "freeze":
                node.freeze(self.chance.uniform(*FREEZE))
            case "reload":
                node.reload()
            case "weight":
                node.weight = self.chance.randint(1, 5)
                node.reload()
            case _:
                os.kill(self.gateway.pid, signal.SIGHUP)

    def _wait_until_it_answers_again(self, node: Node) -> None:
        process = node.process
        assert process is not None
        process.wait_for_socket(("127.0.0.1", node.port))

    def _note(self, event: str) -> None:
        self.events.append(event)
        say(f"{time.monotonic() - self._began:6.2f} s: {event}")


def say(text: str) -> None:
    """One line to whoever watches, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run it by hand; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="uwgate-chaos-"))
    say(f"seed {given.seed}, logs in {folder}")
    chaos = Chaos(folder, given.seed)
    with chaos.running() as load:
        chaos.go_on(given.seconds)
    unexplained = chaos.judge(load.failures)
    total = sum(load.answers.values())
    say(f"{len(chaos.events)} events, {total} right answers: {dict(sorted(load.answers.items()))}")
    say(f"{len(load.failures)} failed, {len(unexplained)} of them without a reason")
    return 1 if unexplained or not total else 0


if __name__ == "__main__":
    sys.exit(main())
