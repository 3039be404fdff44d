"""What a choice from the subscription table costs, and how much memory nodes take.

Usage: PYTHONPATH=src python -m benchmarks.table_cost [--runs N]

For every algorithm: microseconds for looking a name up, choosing a node and releasing it, with 1
key of 1 node, with 1 key of 10 and of 100 nodes, with 100 keys of 10 nodes each, and with 10,000
of which 16, or all, are asked for at random. Behind that, what each size costs compared with 1 key
of 1 node; the target is 1.5. From 16 keys to all of them nothing is added but the time that memory
takes to give what the CPU's caches do not hold. Runs of the sizes alternate and are short, so that
one of them is not disturbed; the smallest time of each counts. Behind that, the memory that 10,000
nodes take.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import resource
import time
import tracemalloc
from pathlib import Path

from uwgate.subscriptions.balancing import ALGORITHMS
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Packet
from uwgate.subscriptions.table import Table, TableOptions

# Keys, nodes of each, keys that are asked for.
SIZES = ((1, 1, 1), (1, 10, 1), (1, 100, 1), (100, 10, 100), (10_000, 10, 16), (10_000, 10, 10_000))
REQUESTS = 2000
MEMORY_SIZES = ((10, 1000), (1000, 10), (10_000, 1))  # 10,000 nodes each
MIB = 1 << 20


def table_of(algo: str, keys: int, nodes: int) -> Table:
    """A table with keys k0, k1, ... and their nodes."""
    table = Table(TableOptions(algo=algo))
    for key in range(keys):
        for node in range(nodes):
            address = f"10.{key >> 8 & 255}.{key & 255}.{node}:9000"
            table.follow(Packet(key=f"k{key}.example.com", address=address), 0.0)
    return table


def names_of(keys: int) -> list[str]:
    """The names of requests in random order, each a string of its own as in real life."""
    dice = random.Random(1)
    return [f"k{dice.randrange(keys)}.example.com" for _ in range(REQUESTS)]


def cost(table: Table, names: list[str]) -> float:
    """Microseconds for one request. Eight run at a time."""
    running: list[Node] = []
    began = time.perf_counter()
    for name in names:
        slot = table.find(name)
        assert slot is not None
        node = slot.choose(0.0, client=b"\x0a\0\0\x01", affinity=b"/")
        assert node is not None
        running.append(node)
        if len(running) > 8:
            table.release(running.pop(0))
    used = time.perf_counter() - began
    for node in running:
        table.release(node)
    return used / len(names) * 1e6


def empty_loop(names: list[str]) -> float:
    """Microseconds of the loop itself."""
    running: list[str] = []
    began = time.perf_counter()
    for name in names:
        running.append(name)
        if len(running) > 8:
            running.pop(0)
    return (time.perf_counter() - began) / len(names) * 1e6


def traced_memory(keys: int, nodes: int) -> int:
    """Bytes that Python's objects take in a table of that size."""
    gc.collect()
    tracemalloc.start()
    table = table_of("wrr", keys, nodes)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert table.node_count == keys * nodes
    return size


def resident_memory(keys: int, nodes: int) -> int:
    """Bytes by which this process grows with such a table; to be asked of a new process."""
    table_of("wrr", 1, 1)  # what is imported and made once is not the table's
    gc.collect()
    before = resident()
    table = table_of("wrr", keys, nodes)
    assert table.node_count == keys * nodes
    return resident() - before


def resident() -> int:
    """Resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_cost", description=__doc__)
    parser.add_argument("--runs", type=int, default=70, help="how many times (70)")
    runs = parser.parse_args().runs
    heads = [f"{keys}x{nodes}/{asked}" for keys, nodes, asked in SIZES]
    title = "".join(f"{head:>15}" for head in heads)
    ratios = "".join(f"{head:>15}" for head in heads[1:])
    print(f"{'microseconds':13}{title}   compared with 1x1:{ratios}")  # noqa: T201
    for algo in ALGORITHMS:
        cases = [(table_of(algo, keys, nodes), names_of(asked)) for keys, nodes, asked in SIZES]
        best = [float("inf")] * len(cases)
        for _ in range(runs):
            for at, (table, names) in enumerate(cases):
                best[at] = min(best[at], cost(table, names))
        columns = "".join(f"{time:15.2f}" for time in best)
        ratios = "".join(f"{time / best[0]:15.2f}" for time in best[1:])
        print(f"{algo:13}{columns}{'':21}{ratios}")  # noqa: T201
    print(f"the loop itself {empty_loop(names_of(1)):.2f}")  # noqa: T201
    for keys, nodes in MEMORY_SIZES:
        traced = traced_memory(keys, nodes)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            grown = pool.apply(resident_memory, (keys, nodes))
        print(  # noqa: T201
            f"{keys * nodes} nodes in {keys} keys: {traced / MIB:.1f} MiB of objects, "
            f"{grown / MIB:.1f} MiB resident"
        )


if __name__ == "__main__":
    main()
