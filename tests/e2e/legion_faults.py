"""Random faults from a seed, in a real network with a client that keeps requesting.

    PYTHONPATH=src python -m tests.e2e.legion_faults --faults 100 --seed 1

Prints each fault and for how long the client had no answer. Status 1: the address was on two
reachable nodes, on a node of the minority for too long, or away for longer than the bound.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .cluster import VIP, VIP6, Cluster, running_cluster
from .network import signal_tree

KINDS = ("kill", "kill legion", "kill master", "stop", "stall", "cut", "partition", "flap")
# Beyond the tolerance: the kernel's and our rounding, the election, the probe for duplicates.
MARGIN = 2.0  # seconds


class Faults:
    """Strikes one node after the other. ``wrong``: what must not have happened."""

    def __init__(self, cluster: Cluster, draw: random.Random, *, strict: bool = False) -> None:
        self.cluster = cluster
        self.wrong: list[str] = []
        self.outages: list[tuple[str, float]] = []
        self._draw = draw
        self._strict = strict

    def strike(self) -> str:
        """Let one fault happen, see that another node serves, and mend it; what it was."""
        cluster = self.cluster
        lord = self._holder()
        # Mostly the lord: that is where a fault can do harm.
        victim = lord if self._draw.random() < 0.75 else self._draw.choice(cluster.names)
        kind = self._draw.choice(KINDS)
        began = time.monotonic()
        mend = self._apply(kind, victim)
        is_away = kind not in ("kill legion", "flap")
        if is_away:
            self._wait_for_survivor(victim)
        time.sleep(self._draw.uniform(0, cluster.tolerance))
        mend()
        cluster.make_whole()
        outage = cluster.outage_since(began)
        text = f"{kind} {victim}{' (lord)' if victim == lord else ''}"
        self.outages.append((text, outage))
        if self._strict and outage > cluster.tolerance + MARGIN:
            self.wrong.append(f"{text}: no answer for {outage:.2f} s")
        self.wrong += cluster.twice
        cluster.twice.clear()
        return text

    def _holder(self) -> str:
        found: list[str] = []

        def look() -> bool:
            found[:] = [host.name for host in self.cluster.network.holders(VIP)]
            return len(found) == 1

        self.cluster.wait_for(look, "node with the address")
        return found[0]

    def _wait_for_survivor(self, victim: str) -> None:
        """Wait until another node answers, and the victim has none of the addresses."""
        names = [name for name in self.cluster.names if name != victim]
        began = time.monotonic()
        self.cluster.wait_for_answer(*names)
        host = self.cluster.host(victim)

        def is_free() -> bool:
            return not host.has(VIP) and not host.has(VIP6)

        self.cluster.wait_for(is_free, f"giving back by {victim}")
        # Not the time at which we have come to look: this machine may be busy.
        held = self.cluster.held.get(victim, began) - began
        if self._strict and held > self.cluster.tolerance + MARGIN:
            self.wrong.append(f"{victim} had the address for {held:.2f} s")

    def _apply(self, kind: str, victim: str) -> Callable[[], object]:
        """Do it; returns what undoes it."""
        cluster = self.cluster
        host, process = cluster.host(victim), cluster.nodes[victim]
        match kind:
            case "kill":
                cluster.kill(victim)
            case "kill legion":
                os.kill(cluster.legion_process(victim), signal.SIGKILL)
            case "kill master":
                os.kill(process.pid, signal.SIGKILL)
                process.popen.wait()
            case "stop":
                process.stop()
            case "stall":
                signal_tree(process.pid, signal.SIGSTOP)
                return lambda: signal_tree(process.pid, signal.SIGCONT)
            case "cut":
                host.cut()
                return host.mend
            case "partition":
                host.plug_in("other")
                return host.plug_in
            case "flap":
                host.cut()
                time.sleep(self._draw.uniform(0, cluster.freq))
                host.mend()
        return lambda: None


def main() -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.legion_faults")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--freq", type=float, default=1.0)
    parser.add_argument("--tolerance", type=float, default=3.0)
    parser.add_argument("--logs", help="write all logs to this file at the first fault, and end")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_cluster(
            Path(folder), freq=given.freq, tolerance=given.tolerance, serve=True
        ) as cluster,
    ):
        cluster.make_whole()
        faults = Faults(cluster, random.Random(given.seed), strict=True)
        for number in range(1, given.faults + 1):
            text = faults.strike()
            say(f"{number:4d}  {text:24s} no answer for {faults.outages[-1][1]:.2f} s")
            if faults.wrong and given.logs:
                Path(given.logs).write_text("\n".join([*faults.wrong, cluster.logs()]))
                break
    worst = max(outage for _, outage in faults.outages)
    bound = given.tolerance + MARGIN
    say(f"worst {worst:.2f} s, bound {bound:.2f} s, seed {given.seed}")
    for text in faults.wrong:
        say(f"WRONG: {text}")
    return int(bool(faults.wrong))


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
