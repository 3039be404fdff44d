"""Bytes of files: what can be had without waiting, and what is no longer there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from uwgate.files import resident as module
from uwgate.files.disk import NotCachedError
from uwgate.files.resident import bring_in, is_resident, read_resident, read_waiting

DATA = bytes(range(256)) * 1000


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(DATA)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def failing(number: int) -> Callable[..., int]:
    def preadv(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    return preadv


def test_what_was_just_written_is_in_memory(descriptor: int) -> None:
    assert is_resident(descriptor, 0, len(DATA))
    assert read_resident(descriptor, 5, 1000) == DATA[5:1005]


@pytest.mark.parametrize("read", [read_resident, read_waiting])
def test_behind_the_end_there_is_nothing(descriptor: int, read: Callable[..., bytes]) -> None:
    assert read(descriptor, len(DATA) - 3, 10) == DATA[-3:]
    assert read(descriptor, len(DATA), 10) == b""


def test_what_is_not_in_memory_is_not_waited_for(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "preadv", failing(errno.EAGAIN))
    assert not is_resident(descriptor, 0, 10)
    with pytest.raises(NotCachedError):
        read_resident(descriptor, 0, 10)


def test_half_of_it_in_memory_is_not_enough(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "preadv", lambda *arguments: 5)
    with pytest.raises(NotCachedError):
        read_resident(descriptor, 0, 10)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_system_that_cannot_tell_is_believed_if_it_has_no_disk(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(os, "preadv", failing(errno.EOPNOTSUPP))
    monkeypatch.setattr(module, "_is_in_memory", lambda descriptor: in_memory)
    assert is_resident(descriptor, 0, 10) is in_memory


def test_memory_with_the_manners_of_a_disk_is_known(tmp_path: Path) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm here")
    descriptor = os.open("/dev/shm", os.O_RDWR | os.O_TMPFILE)
    try:
        os.write(descriptor, DATA)
        assert read_resident(descriptor, 1, 9) == DATA[1:10]
        assert is_resident(descriptor, 0, len(DATA))
    finally:
        os.close(descriptor)


def test_a_broken_disk_is_told(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "preadv", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        read_resident(descriptor, 0, 10)
    with pytest.raises(OSError, match="Input/output"):
        bring_in(descriptor, 0, 10)
    assert not is_resident(descriptor, 0, 10)  # whoever brings it in finds out why


def test_all_of_it_is_brought_in(descriptor: int) -> None:
    bring_in(descriptor, 0, len(DATA) * 10)
    assert is_resident(descriptor, 0, len(DATA))
