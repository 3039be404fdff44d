"""Simulated lives of a legion, shared among processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from functools import partial

from uwgate.subscriptions.legion import simulation
from uwgate.subscriptions.legion.scenario import Scenario

CHUNK = 100  # lives that a process is given at a time, at most


def simulate(
    scenario: Scenario,
    seed: int,
    schedules: int,
    progress: Callable[[int], None] = lambda done: None,
    *,
    processes: int,
) -> simulation.Report:
    """``simulation.simulate`` with so many processes; the report is the same."""
    processes = min(processes, schedules)
    if processes < 2:
        return simulation.simulate(scenario, seed, schedules, progress)
    seeds = range(seed, seed + schedules)
    chunk = max(1, min(CHUNK, schedules // (4 * processes)))
    # Fresh processes: whoever calls may have threads, which do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        lives = pool.imap(partial(simulation.live, scenario), seeds, chunk)
        return simulation.sum_up(seeds, lives, progress)


def processors() -> int:
    """How many processes can work at the same time."""
    return len(os.sched_getaffinity(0))
