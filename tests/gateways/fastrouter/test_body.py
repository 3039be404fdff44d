"""Bodies that are taken in, in memory and in files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from uwgate.gateways.fastrouter.body import Bodies, Body


def content(body: Body) -> bytes:
    parts = []
    while data := body.read():
        parts.append(data)
    return b"".join(parts)


def files_in(folder: Path) -> int:
    """How many files there are open in ``folder``, also without a name."""
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found += os.readlink(fd).startswith(str(folder))
    return found


@pytest.mark.parametrize("length", [3, 10, 11, 200_000])
def test_what_went_in_comes_out(tmp_path: Path, length: int) -> None:
    bodies = Bodies(10, str(tmp_path), 1 << 20)
    body = Body(bodies, length)
    data = os.urandom(length)
    assert body.add(data[:2])
    assert body.add(data[2:])
    body.rewind()
    assert content(body) == data
    body.close()


def test_a_small_body_is_in_memory_and_a_large_one_in_a_file_without_a_name(
    tmp_path: Path,
) -> None:
    bodies = Bodies(10, str(tmp_path), 1 << 20)
    small, large = Body(bodies, 10), Body(bodies, 11)
    small.add(b"s" * 10)
    large.add(b"l" * 11)
    assert files_in(tmp_path) == 1
    assert os.listdir(tmp_path) == []
    small.close()
    large.close()


def test_together_they_take_no_more_than_they_may(tmp_path: Path) -> None:
    bodies = Bodies(10, str(tmp_path), 12)
    first, second = Body(bodies, 10), Body(bodies, 10)
    assert first.add(b"x" * 8)
    assert not second.add(b"y" * 5)
    first.close()
    assert bodies.free == 7
    assert second.add(b"z")
    second.close()
    second.close()
    assert bodies.free == 12


def test_without_a_folder_for_files_a_large_body_is_not_taken_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = Bodies(10, f"{tmp_path}/missing", 1 << 20)
    body = Body(bodies, 100)
    assert body.add(b"x" * 6)
    assert not body.add(b"x" * 6)
    body.rewind()
    assert content(body) == b"x" * 12
    body.close()
    assert "sent on as it comes" in caplog.text


def test_a_full_disk_keeps_nothing_from_being_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:  # ENOSPC for whatever is written there
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        body = Body(Bodies(10, None, 1 << 20), 100)
        assert not body.add(b"x" * 60)
        body.close()
    assert "No space left" in caplog.text
