"""What holds for all tests: their order, their examples, and what is told of one that fails."""

from __future__ import annotations

import compileall
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import logs

ROOT = Path(__file__).parents[1]
# How long an example takes says more of the machine than of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the program once: else each of the hundreds that are started does it again."""
    if hasattr(session.config, "workerinput"):
        return  # xdist's first process has done it
    packages = [path for path in (ROOT / "src/uwgate").iterdir() if path.is_dir()]
    for folder in (ROOT / "src", *(path.resolve() for path in packages)):
        compileall.compile_dir(folder, quiet=2)  # links are not followed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that it does not run on when all others are done."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    logs.forget_the_ended()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of all its processes to the report of a test that fails."""
    report = yield
    if report.failed:
        report.sections += logs.sections()
    return report
