"""Fixtures of the gateways' tests."""

from __future__ import annotations

import pytest
import trio
import trio.testing


@pytest.fixture
def hurried_clock() -> trio.abc.Clock:
    """A clock that jumps to the next deadline when nothing has happened for a while.

    Not at once: what the kernel carries from one socket to another may take its moment.
    """
    return trio.testing.MockClock(autojump_threshold=0.03)
