"""src/uwgate/legion/term_file.py: terms survive a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from uwgate.conf.errors import ConfigError
from uwgate.legion.term_file import TermFile

from .waiting import wait_until


async def keep(file: TermFile, path: Path, *terms: int) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(file.run)
        for term in terms:
            file.keep(term)
        await wait_until(lambda: path.exists() and path.read_text() == f"{terms[-1]}\n")
        nursery.cancel_scope.cancel()


async def test_the_last_term_is_kept(tmp_path: Path) -> None:
    await keep(TermFile(str(tmp_path), "ring"), tmp_path / "ring.term", 4, 1 << 52)
    assert TermFile(str(tmp_path), "ring").read() == 1 << 52


def test_without_a_file_there_is_no_term(tmp_path: Path) -> None:
    assert TermFile(str(tmp_path), "ring").read() == 0
    assert TermFile(None, "ring").read() == 0


async def test_any_name_of_a_legion_has_a_file_of_its_own(tmp_path: Path) -> None:
    await keep(TermFile(str(tmp_path), "../a/b"), tmp_path / "..%2fa%2fb.term", 7)
    assert TermFile(str(tmp_path), "../a/b").read() == 7
    assert TermFile(str(tmp_path), "..a.b").read() == 0


@pytest.mark.parametrize("text", ["", "x", "-5", "1" * 30])
def test_a_file_that_holds_something_else_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "ring.term").write_text(text)
    with pytest.raises(ConfigError, match="holds no term"):
        TermFile(str(tmp_path), "ring").read()


def test_a_folder_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="may write to"):
        TermFile(str(tmp_path / "no"), "ring").check_writable()
