"""Random rules meet random requests (``fuzzing`` runs the same for longer)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from uwgate.explain.request import Asked
from uwgate.explain.story import Response

from .fuzzing import World, arguments


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A folder with files, and counts that say that something happened."""
    made = World(Path(tmp_path_factory.mktemp("fuzz")).resolve())
    made.make()
    yield made
    assert made.counts["requests"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(*arguments)
def test_whatever_meets_there_is_a_sound_end(
    world: World,
    rules: list[tuple[str, str]],
    asked: Asked,
    assumed: Response | None,
    body: list[bytes],
) -> None:
    world.check(rules, asked, assumed, body)
