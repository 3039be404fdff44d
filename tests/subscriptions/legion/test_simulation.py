"""subscriptions/legion/simulation.py and schedule.py: many lives, and that it can see a fault."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.subscriptions.legion import promises
from uwgate.subscriptions.legion.scenario import Findings, Scenario
from uwgate.subscriptions.legion.schedule import Schedule
from uwgate.subscriptions.legion.simulation import Report, main, simulate
from uwgate.subscriptions.legion.statement import Grant, Statement
from uwgate.subscriptions.legion.voter import Voter


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(),
        Scenario(nodes=5, arbiter=True, faults=8),
        Scenario(nodes=4, faults=8),
        Scenario(equal_valors=True, faults=10),
        Scenario(nodes=2, loss=0.5),
    ],
    ids=["three", "five", "four", "equals", "two"],
)
def test_with_a_quorum_no_two_lords_overlap_and_terms_rise(scenario: Scenario) -> None:
    report = simulate(scenario, seed=20_000_000, schedules=60)
    assert not report.failures
    assert report.lords > 60 / 2


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.builds(
        Scenario,
        nodes=st.integers(2, 5),
        periods=st.integers(5, 25),
        faults=st.integers(0, 12),
        loss=st.floats(0, 0.6),
        delay=st.floats(0.01, 20),
        duplicates=st.floats(0, 1),
        arbiter=st.booleans(),
    ),
)
def test_no_life_whatsoever_has_two_lords(seed: int, scenario: Scenario) -> None:
    assert not simulate(scenario, seed, 1).failures


def test_the_same_seed_gives_the_same_life() -> None:
    lives: list[list[str]] = [[], []]
    for lines in lives:
        Schedule(7, Scenario(), lines.append).run()
    assert lives[0] == lives[1]
    assert len(lives[0]) > 10


def test_without_loss_and_faults_there_is_one_lord_for_all_the_time() -> None:
    findings = Schedule(1, Scenario(loss=0, delay=0.005, faults=0, equal_valors=True)).run()
    assert findings.takeovers == [] or max(findings.takeovers) < 1
    assert findings.lords <= 2  # a node that starts a little later may be the better one


def test_half_of_the_nodes_as_quorum_is_seen_to_be_unsafe() -> None:
    assert simulate(Scenario(nodes=4, quorum=2), seed=1, schedules=60).overlapping


def test_counting_a_promise_from_when_its_answer_came_is_seen_to_be_unsafe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def count(self: promises.PromiseElection, said: Statement) -> None:
        if said.grant is not None and said.grant.term == self._claim:
            self._leases[said.sender] = self._seen_at + self.timing.tolerance

    monkeypatch.setattr(promises.PromiseElection, "_count", count)
    assert simulate(Scenario(), seed=1, schedules=150).overlapping


def test_a_voter_that_breaks_its_promises_is_seen_to_be_unsafe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def consider(self: Voter, asks: Statement, now: float) -> None:
        if asks.claim >= self.granted:
            self.give(Grant(asks.sender, asks.claim, asks.sequence), now)

    monkeypatch.setattr(Voter, "consider", consider)
    assert simulate(Scenario(faults=8), seed=1, schedules=150).overlapping


def test_nodes_that_never_come_to_rest_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uwgate.subscriptions.legion.schedule.MAX_EVENTS", 10)
    with pytest.raises(RuntimeError, match="more than 10 events"):
        Schedule(1, Scenario()).run()


def test_a_compatible_legion_without_faults_or_loss_has_no_overlap() -> None:
    calm = Scenario(mode="compatible", loss=0, delay=0.005, faults=0, periods=15)
    report = simulate(calm, seed=1, schedules=30)
    assert not report.overlapping
    assert report.lords >= 30


def test_a_report_names_the_seeds_that_failed() -> None:
    report = Report()
    report.add(41, Findings(overlaps=["two lords"], takeovers=[2.0]))
    report.add(42, Findings(fallen_terms=1, takeovers=[1.0]))
    assert report.has_failed
    assert (report.worst_takeover, report.worst_seed) == (2.0, 41)
    assert report.lines()[-2:] == [
        "FAILED seed 41: two lords",
        "FAILED seed 42: a term was not higher than all before",
    ]


def test_the_command_prints_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "3", "--seed", "5"]) == 0
    assert "overlaps of lords         0" in capsys.readouterr().out


def test_the_command_traces_a_life(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--schedules", "1", "--trace"])
    assert "rises in term" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [["--nodes", "1"], ["--loss", "1"], ["--delay", "0"], ["--period", "0"], ["--tolerance", "1"]],
)
def test_the_command_refuses_what_cannot_be_simulated(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert argv[0].lstrip("-") in capsys.readouterr().err


def test_a_terminal_sees_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", partial(bool, True))
    main(["--schedules", "2"])
    assert "2/2" in capsys.readouterr().err
