"""When a worker that died is started again."""

from __future__ import annotations

import signal

from uwgate.workers.children import Child


def pauses(statuses_and_ages: list[tuple[int, float]]) -> list[float]:
    """How long after each death the next start is due."""
    child = Child(1)
    found = []
    now = 0.0
    for status, age in statuses_and_ages:
        child.begin(100, -1, now)
        child.end(status, now + age)
        found.append(round(child.due - now - age, 6))
        now += 100
    return found


def test_early_deaths_are_followed_later_and_later() -> None:
    assert pauses([(9, 0.5)] * 4) == [0, 0.1, 0.2, 0.3]


def test_the_pause_has_a_limit() -> None:
    assert pauses([(9, 0.5)] * 80)[-1] == 5.0


def test_a_long_life_is_followed_at_once() -> None:
    assert pauses([(9, 0.5), (9, 0.5), (9, 3.0), (9, 0.5)]) == [0, 0.1, 0, 0]


def test_an_orderly_end_is_followed_at_once() -> None:
    assert pauses([(0, 0.1)] * 5) == [0] * 5


def test_deaths_are_described_in_the_words_of_uwsgi() -> None:
    child = Child(2)
    killed = child.describe_death(7, signal.SIGKILL)
    assert killed == "DAMN ! worker 2 (pid: 7) died, killed by signal 9 :( trying respawn ..."
    assert "worker 2 (pid: 7) died with status 3 :(" in child.describe_death(7, 3 << 8)
    assert child.describe_death(7, 0) == "worker 2 killed successfully (pid: 7)"
