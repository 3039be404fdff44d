"""src/uwgate/legion/refusals.py: what the log says of packets that change nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from uwgate.legion.refusals import INTERVAL, Refusals
from uwgate.subscriptions.legion.refusal import Reason


@pytest.fixture
def refused() -> Counter[Reason]:
    return Counter()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("is_sealed", "text"),
    [(True, "is one of uWSGI's, and this legion is sealed"), (False, "is sealed, and this legion")],
)
def test_a_node_of_the_other_kind_is_named(
    refused: Counter[Reason], caplog: pytest.LogCaptureFixture, is_sealed: bool, text: str
) -> None:
    refusals = Refusals("ring", refused, is_sealed=is_sealed)
    refused[Reason.OTHER_MODE] += 1
    refusals.note("10.0.0.1:4242", 0.0)
    (line,) = lines(caplog)
    assert line.startswith(f"legion ring: refused: a packet from 10.0.0.1:4242 {text}")


def test_a_flood_of_one_kind_is_a_line_each_minute(
    refused: Counter[Reason], caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals("ring", refused, is_sealed=True)
    for tenth in range(2 * int(INTERVAL) * 10):
        refused[Reason.FORGED] += 1
        refusals.note("somebody", tenth / 10)
    assert len(lines(caplog)) == 2
    assert lines(caplog)[1].endswith(f"({int(INTERVAL) * 10 - 1} more since the last such line)")


def test_one_kind_does_not_hide_another(
    refused: Counter[Reason], caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals("ring", refused, is_sealed=True)
    for reason in (Reason.FORGED, Reason.UNKNOWN_KEY):
        refused[reason] += 1
        refusals.note("somebody", 0.0)
    assert len(lines(caplog)) == 2


def test_what_a_healthy_network_does_is_not_told(
    refused: Counter[Reason], caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals("ring", refused, is_sealed=True)
    for reason in (Reason.OWN, Reason.REPLAYED, Reason.OVERTAKEN):
        refused[reason] += 1
        refusals.note("somebody", 0.0)
    assert lines(caplog) == []
