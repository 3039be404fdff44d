"""Fixtures of the gateways' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.gateways.peers import Uwsgi


@pytest.fixture
def hurried_clock() -> trio.abc.Clock:
    """A clock that jumps to the next deadline when nothing has happened for a while.

    Not at once: what the kernel carries from one socket to another may take its moment.
    """
    return trio.testing.MockClock(autojump_threshold=0.03)


@pytest.fixture
def frozen_clock() -> trio.testing.MockClock:
    """A clock that goes on only when the test says so."""
    return trio.testing.MockClock()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "one.sock"))
    yield found
    found.close()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "two.sock"))
    yield found
    found.close()
