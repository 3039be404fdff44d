"""Three nodes with a service address on a network of their own, and a client of that address."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uwgate

from .network import SUBNET, Host, Network, signal_tree
from .processes import APPS, Process, tree

CALLER = Path(__file__).parent / "caller.py"
RESPONDER = Path(__file__).parent / "responder.py"
SOURCE = Path(uwgate.__file__).parents[1]
VIP = f"{SUBNET}.10"
VIP6 = "fd77::10"
PORT = 8080
PATIENCE = 120.0  # seconds; nothing that is waited for takes longer, on the busiest machine


class Cluster:
    """Nodes ``1`` to ``count``; the one with the highest number has the highest valor.

    ``freq`` and ``tolerance`` are those of the legion, in seconds. ``serve``: the nodes serve the
    client with gateways and workers of their own, which take their time to start; else a
    program does that which goes on whatever becomes of the nodes.
    """

    def __init__(
        self, folder: Path, *, count: int = 3, freq: float, tolerance: float, serve: bool
    ) -> None:
        self.serve = serve
        self.responders: dict[str, Process] = {}
        self.folder = folder
        self.freq = freq
        self.tolerance = tolerance
        self.network = Network(count)
        self.nodes: dict[str, Process] = {}
        self.client: Process | None = None
        self.twice: list[str] = []  # moments at which two had the address
        self.held: dict[str, float] = {}  # when each node was last seen with an address
        self._starts = 0
        self._answers: list[tuple[float, float, str]] = []
        self._heard = 0  # bytes of the client's log from which those are
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    @property
    def names(self) -> list[str]:
        return [host.name for host in self.hosts]

    @property
    def hosts(self) -> list[Host]:
        return self.network.hosts

    def host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    def options(self, host: Host) -> list[str]:
        """What a node is started with."""
        argv = ["--legion", f"ring {host.address}:4242 {host.name}0 aes-256-gcm:sixteen letters.."]
        for other in self.hosts:
            if other is not host:
                argv += ["--legion-node", f"ring {other.address}:4242"]
        argv += ["--legion-freq", f"{self.freq}", "--legion-tolerance", f"{self.tolerance}"]
        argv += ["--legion-vip", f"ring {VIP}/24 dev eth0", "--legion-vip", f"ring {VIP6}/64"]
        if self.serve:
            argv += ["--http", f":{PORT}", "--wsgi-file", str(APPS / "legionary.py")]
            argv += ["--env", f"NODE={host.name}", "--disable-logging", "--log-date"]
        return argv

    def start(self, name: str) -> Process:
        """Start one node; what is left of its earlier life ends before."""
        self._starts += 1
        host = self.host(name)
        spared = [one.pid for one in self.responders.values()]
        self.wait_for(lambda: not host.kill_all(*spared), f"end of all that ran on {name}")
        argv = host.command(sys.executable, "-m", "uwgate", *self.options(host))
        env = {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
        process = Process(argv, folder=self.folder, name=f"{name}-{self._starts}", env=env)
        self.nodes[name] = process
        return process

    def start_all(self) -> None:
        """Start all nodes, the client, and the watch over the address."""
        for host in self.hosts:
            if not self.serve:
                argv = host.command(sys.executable, str(RESPONDER), str(PORT), host.name)
                name = f"responder-{host.name}"
                self.responders[host.name] = Process(argv, folder=self.folder, name=name)
            self.start(host.name)
        argv = self.network.client.command(sys.executable, str(CALLER), VIP, str(PORT))
        self.client = Process(argv, folder=self.folder, name="client")
        self._watcher.start()

    def legion_process(self, name: str) -> int:
        """The pid of a node's legion process."""
        for pid in tree(self.nodes[name].pid):
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
            if title.startswith(b"uwgate legion") or b"uwgate.legion.process" in title:
                return pid
        raise AssertionError(self.nodes[name].log)

    def kill(self, name: str) -> None:
        """SIGKILL for everything of a node."""
        process = self.nodes.pop(name)
        signal_tree(process.pid, signal.SIGKILL)
        process.popen.wait()

    def answers(self) -> list[tuple[float, float, str]]:
        """What the client got: when it asked, how long it took, which node answered."""
        assert self.client is not None
        with self.client.log_path.open("rb") as log:
            log.seek(self._heard)
            whole, end, _ = log.read().rpartition(b"\n")
        self._heard += len(whole) + len(end)
        fields = [line.split() for line in whole.decode("utf-8", "replace").splitlines()]
        self._answers += [(float(one[0]), float(one[1]), one[2]) for one in fields if len(one) == 3]
        return self._answers

    def wait_for_answer(self, *names: str) -> None:
        """Wait until one of these nodes answers at the address, from now on."""
        began = time.monotonic()

        def answered() -> bool:
            return any(one[0] >= began and one[2] in names for one in self.answers()[-200:])

        self.wait_for(answered, f"answer of node {' or '.join(names)}")

    def outage_since(self, began: float) -> float:
        """The longest time between two answers, of which the later came after ``began``."""
        times = [when for when, _, node in self.answers() if node != "-"]
        pairs = itertools.pairwise(times)
        return max((after - before for before, after in pairs if after > began), default=0.0)

    def make_whole(self) -> None:
        """Start the nodes that are gone, and wait until all are there and the highest serves."""
        for name in self.names:
            if name not in self.nodes or self.nodes[name].popen.poll() is not None:
                self.start(name)
        nodes = self.nodes.values()
        self.wait_for(lambda: all("quorum: " in one.log for one in nodes), "quorum of all nodes")
        self.wait_for_answer(self.names[-1])
        self.wait_for_holders(VIP, self.names[-1])
        self.wait_for_holders(VIP6, self.names[-1])

    def wait_for_holders(self, address: str, *names: str) -> None:
        """Wait until these and no others have an address."""

        def holds() -> bool:
            return [host.name for host in self.hosts if host.has(address)] == list(names)

        self.wait_for(holds, f"{address} on {names or 'nobody'}")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; fail with the logs of all nodes if it never does."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"no {what}\n{self.logs()}"
            time.sleep(0.05)

    def logs(self) -> str:
        """The logs of all that was ever started, and the end of the client's."""
        texts = [
            f"== {path.stem}\n{path.read_text('utf-8', 'replace')[-6000:]}"
            for path in sorted(self.folder.glob("*.log"))
            if path.stem != "client"
        ]
        answers = "\n".join(map(str, self.answers()[-20:])) if self.client else ""
        return "\n".join([*texts, "== client", answers])

    def close(self) -> None:
        """End everything."""
        self._watching.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for name in list(self.nodes):
            self.kill(name)
        for process in (*self.responders.values(), self.client):
            if process is not None:
                process.popen.kill()
                process.popen.wait()
        self.network.close()

    def _watch(self) -> None:
        while not self._watching.wait(0.05):
            for address in (VIP, VIP6):
                moment = time.monotonic()  # of the first look, however long the looks take
                holders = self.network.holders(address)
                self.held |= {host.name: moment for host in holders}
                if len(holders) > 1:
                    names = ", ".join(host.name for host in holders)
                    self.twice.append(f"{time.monotonic():.3f}: {address} on {names}")


@contextmanager
def running_cluster(
    folder: Path, *, freq: float, tolerance: float, serve: bool
) -> Iterator[Cluster]:
    """A cluster whose nodes all run, for the length of a block."""
    cluster = Cluster(folder, freq=freq, tolerance=tolerance, serve=serve)
    try:
        cluster.start_all()
        yield cluster
    finally:
        cluster.close()
