"""Nodes come, go, die and freeze at random: only what ran in a killed process fails."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .chaos import Chaos, say

SECONDS = 8.0  # by hand: python -m tests.e2e.chaos --seconds 60


@pytest.mark.alone  # it holds failures against the moments of deaths
def test_no_request_fails_but_those_that_ran_in_a_killed_process(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    say(f"seed {seed}")
    chaos = Chaos(tmp_path, seed)
    with chaos.running() as load:
        chaos.go_on(SECONDS)
    unexplained = chaos.judge(load.failures)
    assert not unexplained, f"seed {seed}:\n" + "\n".join(unexplained)
    assert len(load.answers) >= 3, load.answers
