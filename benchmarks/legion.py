"""How long a service address is away when its lord is killed: uwgate and keepalived, side by side.

    python -m benchmarks.legion [--kills 20] [--period 1]

Each in turn runs on two or three machines (network namespaces on a bridge); a client asks all the
time. Both announce every ``--period`` seconds and take a node for dead after three of them.
Needs root, iproute2 and keepalived.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.cluster import VIP, Cluster
from tests.e2e.network import signal_tree
from tests.e2e.processes import Process

DEAD_AFTER = 3  # periods; what VRRP has (RFC 5798 section 6.1), plus a skew below one
KEEPALIVED = shutil.which("keepalived") or "/usr/sbin/keepalived"
CONFIG = """
global_defs {{
    router_id {name}
    vrrp_garp_master_delay 1
}}
vrrp_instance ring {{
    state BACKUP
    interface eth0
    virtual_router_id 77
    priority {priority}
    advert_int {period}
    virtual_ipaddress {{
        {vip}/24 dev eth0
    }}
}}
"""


class Keepalived(Cluster):
    """The same cluster with keepalived on every node."""

    def start(self, name: str) -> Process:
        host = self.host(name)
        spared = [one.pid for one in self.responders.values()]
        self.wait_for(lambda: not host.kill_all(*spared), f"end of all that ran on {name}")
        if host.has(VIP):  # keepalived leaves it behind when it is killed
            host.drop(f"{VIP}/24")
        config = self.folder / f"{name}.conf"
        config.write_text(
            CONFIG.format(name=name, priority=int(name) * 10, period=f"{self.freq:g}", vip=VIP)
        )
        files = [f"--{kind}={self.folder / name}.{kind}" for kind in ("pid", "vrrp_pid")]
        argv = [KEEPALIVED, "--dont-fork", "--log-console", "--vrrp", f"--use-file={config}"]
        process = Process(host.command(*argv, *files), folder=self.folder, name=f"vrrp-{name}")
        self.nodes[name] = process
        return process


def measure(cluster: Cluster, kills: int, seed: int) -> list[float]:
    """For how long nobody answered, for each kill of the lord."""
    draw = random.Random(seed)
    top = cluster.names[-1]
    times: list[float] = []
    for _ in range(kills):
        cluster.wait_for_answer(top)
        cluster.wait_for_holders(VIP, top)
        time.sleep(cluster.tolerance + draw.uniform(0, cluster.freq))  # any moment of a period
        began = time.monotonic()
        # As a machine dies: no word more, and its address does not answer either.
        cluster.host(top).cut()
        signal_tree(cluster.nodes[top].pid, signal.SIGKILL)
        cluster.nodes.pop(top).popen.wait()
        cluster.wait_for_answer(*cluster.names[:-1])
        times.append(cluster.outage_since(began))
        cluster.host(top).mend()
        cluster.start(top)
        say(f"{times[-1]:.2f} ", end="")
    say("")
    return times


def say(text: str, end: str = "\n") -> None:
    """Some output, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def run(make: Callable[[Path], Cluster], kills: int, seed: int) -> list[float]:
    """Measure one of the two."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = make(Path(folder))
        try:
            cluster.start_all()
            return measure(cluster, kills, seed)
        finally:
            cluster.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.legion")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--period", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if os.geteuid() != 0 or not Path(KEEPALIVED).exists():
        say("needs root and keepalived")
        return 1
    tolerance = DEAD_AFTER * given.period

    def make(kind: type[Cluster]) -> Callable[[Path], Cluster]:
        return lambda folder: kind(folder, freq=given.period, tolerance=tolerance, serve=False)

    say("uwgate:     ", end="")
    ours = run(make(Cluster), given.kills, given.seed)
    say("keepalived: ", end="")
    theirs = run(make(Keepalived), given.kills, given.seed)
    say("")
    say("seconds without an answer   median   worst")
    for name, found in (("uwgate", ours), ("keepalived", theirs)):
        say(f"{name:26s} {statistics.median(found):7.2f} {max(found):7.2f}")
    ratio = statistics.median(ours) / statistics.median(theirs)
    say(f"{'uwgate / keepalived':26s} {ratio:7.2f} {max(ours) / max(theirs):7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
