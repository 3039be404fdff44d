"""Every row of spec/internal-routing.md has its standing, and every one offered has a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwgate.routing.catalog import ACTION_KINDS, CONDITION_KINDS, NOT_OFFERED
from uwgate.routing.reference import PAGE, page
from uwgate.routing.standing import ELSEWHERE, read_standings
from uwgate.routing.variables import NAMESPACES

FOLDER = Path(__file__).parent
# Sections 4.1, 5, 6 with its optional plugins and 7, and what uWSGI 2.0.31 lists itself.
ACTIONS = (FOLDER / "actions.txt").read_text().split()
CONDITIONS = (FOLDER / "conditions.txt").read_text().split()
VARIABLES = (FOLDER / "variables.txt").read_text().split()
TEXTS = "\n".join(path.read_text() for path in sorted(FOLDER.rglob("*.py")))
ALIASES = {
    alias
    for kinds in (ACTION_KINDS, CONDITION_KINDS)
    for kind in kinds.values()
    for alias in kind.names[1:]
}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_offered_or_has_a_reason_why_not(name: str) -> None:
    assert (name in ACTION_KINDS) != bool(NOT_OFFERED.get(name))


def test_no_condition_and_no_variable_is_missing() -> None:
    assert set(CONDITIONS) == set(CONDITION_KINDS)
    assert set(VARIABLES) == set(NAMESPACES)


def test_an_action_that_uwsgi_does_not_have_says_so() -> None:
    own = {name for name, kind in ACTION_KINDS.items() if kind.ours}
    assert own == set(ACTION_KINDS) - set(ACTIONS)


@pytest.mark.parametrize("name", sorted({*ACTION_KINDS, *CONDITION_KINDS} - ALIASES))
def test_what_is_offered_is_tried_by_a_test(name: str) -> None:
    assert f"{name}:" in TEXTS


@pytest.mark.parametrize("name", NAMESPACES)
def test_each_function_is_tried_by_a_test(name: str) -> None:
    assert f"${{{name}[" in TEXTS


@pytest.mark.parametrize("row", ELSEWHERE)
def test_the_test_that_the_page_names_is_there(row: str) -> None:
    file, _, name = ELSEWHERE[row][0].partition("::")
    text = (FOLDER.parents[1] / file).read_text()
    assert f"def {name}(" in text


def test_the_page_names_no_other_test_for_a_row_that_has_a_case() -> None:
    assert not set(ELSEWHERE) & set(read_standings())


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m uwgate.routing.reference"
