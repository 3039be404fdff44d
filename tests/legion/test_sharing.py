"""src/uwgate/legion/sharing.py: simulated lives in several processes."""

from __future__ import annotations

from uwgate.legion.sharing import processors, simulate
from uwgate.subscriptions.legion import simulation
from uwgate.subscriptions.legion.scenario import Scenario


def test_several_processes_find_the_same_as_one() -> None:
    seen: list[int] = []
    alone = simulation.simulate(Scenario(), 5, 4)
    assert simulate(Scenario(), 5, 4, seen.append, processes=2) == alone
    assert seen == [1, 2, 3, 4]


def test_one_processor_needs_no_other_process() -> None:
    assert simulate(Scenario(), 5, 2, processes=1).schedules == 2
    assert processors() >= 1
