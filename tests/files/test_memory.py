"""What is kept in memory is what is on the disk, and never more than allowed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.groups.static import StaticOptions
from uwgate.files.disk import RealDisk
from uwgate.files.finder import Finder, Found
from uwgate.files.memory import MAX_ANSWERS, MAX_FILE, OVERHEAD, Kept, Memory, Whole
from uwgate.files.request import Request
from uwgate.files.rules import read_rules

DISK = RealDisk()
LATER = 10.0  # seconds; by then a file that was just written has settled
WISHES = (b"GET", ())


class Shelf:
    """A memory, and the files that go into it."""

    def __init__(self, limit: int = 1_000_000, **options: Any) -> None:
        self.memory = Memory(limit, DISK)
        self.finder = Finder(read_rules(StaticOptions(**options), DISK), DISK)

    def keep(self, path: bytes, later: float = LATER) -> Kept | None:
        found = self.finder.find(Request(path=path), 0.0)
        assert isinstance(found, Found)
        body = os.pread(found.file.descriptor, found.file.size, 0)
        found.file.close()
        return self.memory.keep(path, found, body, time.time() + later)


@pytest.fixture
def shelf(site: Path) -> Shelf:
    return Shelf(check_static=(str(site / "www"),), static_index=("index.html",))


def test_a_file_is_kept_with_its_bytes(shelf: Shelf) -> None:
    kept = shelf.keep(b"/a.txt")
    assert kept is not None
    assert shelf.memory.get(b"/a.txt") is kept
    assert kept.body == b"0123456789"
    assert shelf.memory.size == 10 + OVERHEAD


@pytest.mark.parametrize("path", [b"/sub", b"/sub/", b"/sub/index.html", b"//sub"])
def test_an_index_is_kept_for_its_directory(shelf: Shelf, path: bytes) -> None:
    assert shelf.keep(path) is not None
    assert shelf.memory.get(path) is not None


def test_a_mapping_to_a_file_is_kept_for_every_path(site: Path) -> None:
    shelf = Shelf(static_map=(f"/one={site}/www/a.txt",))
    assert shelf.keep(b"/one/whatever") is not None
    assert shelf.memory.get(b"/one/whatever") is not None


def test_what_has_just_changed_is_not_kept(shelf: Shelf) -> None:
    assert shelf.keep(b"/a.txt", later=0.0) is None
    assert shelf.memory.get(b"/a.txt") is None


def test_a_file_from_the_future_is_not_kept(shelf: Shelf, site: Path) -> None:
    os.utime(site / "www/a.txt", (4e9, 4e9))
    assert shelf.keep(b"/a.txt") is None


def write_again(file: Path) -> None:
    file.write_text("9876543210")


def take_away(file: Path) -> None:
    file.unlink()


def put_another_into_its_place(file: Path) -> None:
    other = file.with_name("other")
    other.write_text("9876543210")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.rename(file)


def link_elsewhere(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parent.parent / "www2/secret")


def forbid(file: Path) -> None:
    file.chmod(0)


def rename_its_directory(file: Path) -> None:
    file.parent.rename(file.parent.with_name("gone"))


@pytest.mark.parametrize(
    "change",
    [
        write_again,
        take_away,
        put_another_into_its_place,
        link_elsewhere,
        forbid,
        rename_its_directory,
    ],
)
def test_a_file_that_is_another_one_is_forgotten(shelf: Shelf, site: Path, change: object) -> None:
    assert shelf.keep(b"/a.txt") is not None
    assert callable(change)
    change(site / "www/a.txt")
    assert shelf.memory.get(b"/a.txt") is None
    assert shelf.memory.size == 0


def test_a_file_at_an_earlier_place_comes_first(site: Path) -> None:
    shelf = Shelf(check_static=(str(site / "none"), str(site / "www2"), str(site / "www")))
    assert shelf.keep(b"/a.txt") is not None
    assert shelf.memory.get(b"/a.txt") is not None
    (site / "www2/a.txt").write_text("first")
    assert shelf.memory.get(b"/a.txt") is None


def test_an_earlier_index_comes_first(site: Path) -> None:
    shelf = Shelf(check_static=(str(site / "www"),), static_index=("first.html", "index.html"))
    assert shelf.keep(b"/sub") is not None
    (site / "www/sub/first.html").write_text("first")
    assert shelf.memory.get(b"/sub") is None


def test_a_directory_without_an_index_at_an_earlier_place_may_become_a_file(site: Path) -> None:
    (site / "www2/sub").mkdir()
    shelf = Shelf(
        check_static=(str(site / "www2"), str(site / "www")), static_index=("index.html",)
    )
    shelf.keep(b"/sub")
    (site / "www2/sub").rmdir()
    (site / "www2/sub").write_text("a file now")
    assert shelf.memory.get(b"/sub") is None


def test_with_remembered_paths_nothing_is_kept_that_has_several_places(site: Path) -> None:
    shelf = Shelf(check_static=(str(site / "www2"), str(site / "www")))
    shelf.finder = Finder(
        read_rules(
            StaticOptions(
                check_static=(str(site / "www2"), str(site / "www")), static_cache_paths=60
            ),
            DISK,
        ),
        DISK,
    )
    assert shelf.keep(b"/a.txt") is None


def test_what_is_too_large_is_not_kept(shelf: Shelf, site: Path) -> None:
    (site / "www/big").write_bytes(bytes(MAX_FILE + 1))
    assert shelf.keep(b"/big") is None


def test_the_one_that_was_not_asked_for_goes_first(site: Path) -> None:
    for name in "xyz":
        (site / "www" / name).write_bytes(bytes(1000))
    shelf = Shelf(2 * (1000 + OVERHEAD), check_static=(str(site / "www"),))
    shelf.keep(b"/x")
    shelf.keep(b"/y")
    shelf.memory.get(b"/x")
    shelf.keep(b"/z")
    assert [shelf.memory.get(path) is not None for path in (b"/x", b"/y", b"/z")] == [
        True,
        False,
        True,
    ]
    assert shelf.memory.size == 2 * (1000 + OVERHEAD)


def test_without_memory_nothing_is_kept(site: Path) -> None:
    assert Shelf(0, check_static=(str(site / "www"),)).keep(b"/a.txt") is None


def test_an_answer_is_good_for_its_second(shelf: Shelf) -> None:
    kept = shelf.keep(b"/a.txt")
    assert kept is not None
    memory = shelf.memory
    assert memory.answer(kept, WISHES, 1) is None
    whole = Whole(0, b"200 OK\r\n", kept.body)
    memory.add_answer(kept, WISHES, whole)
    assert memory.answer(kept, WISHES, 1) is whole
    assert memory.answer(kept, (b"HEAD", ()), 1) is None
    assert memory.answer(kept, WISHES, 2) is None


def test_answers_with_bodies_of_their_own_count(shelf: Shelf) -> None:
    kept = shelf.keep(b"/a.txt")
    assert kept is not None
    memory = shelf.memory
    before = memory.size
    for number in range(MAX_ANSWERS):
        memory.add_answer(kept, (b"%d" % number, ()), Whole(0, b"", bytes(100)))
    assert memory.size == before + 100 * MAX_ANSWERS
    memory.add_answer(kept, WISHES, Whole(0, b"", bytes(100)))
    assert memory.size == before + 100
    memory.answer(kept, WISHES, 5)
    assert memory.size == before


def test_an_answer_to_what_has_gone_is_not_counted(shelf: Shelf, site: Path) -> None:
    kept = shelf.keep(b"/a.txt")
    assert kept is not None
    (site / "www/a.txt").unlink()
    assert shelf.memory.get(b"/a.txt") is None
    shelf.memory.add_answer(kept, WISHES, Whole(0, b"", bytes(100)))
    assert shelf.memory.size == 0
