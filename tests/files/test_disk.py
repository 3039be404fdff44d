"""No path and no link leads out of its directory."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.files import disk as module
from uwgate.files.disk import ForbiddenError, NotCachedError, OpenFile, RealDisk, is_inside

from .serving import write

DISKS = (RealDisk(), RealDisk(with_openat2=False))


@contextmanager
def opened(file: OpenFile | None) -> Iterator[OpenFile]:
    assert file is not None
    try:
        yield file
    finally:
        file.close()


def content(file: OpenFile | None) -> bytes:
    with opened(file) as found:
        return os.pread(found.descriptor, 100, 0)


def www(site: Path) -> bytes:
    return os.fsencode(site / "www")


def test_a_file_is_opened_with_what_is_known_of_it(disk: RealDisk, site: Path) -> None:
    with opened(disk.open(www(site), b"a.txt")) as file:
        assert (file.size, file.is_file, file.is_directory) == (10, True, False)
        assert file.path == www(site) + b"/a.txt"
        assert (file.root, file.inside) == (www(site), b"a.txt")
        assert file.changed_ns == (site / "www/a.txt").stat().st_mtime_ns


@pytest.mark.parametrize("inside", [b"", b".", b"/", b"sub/.", b"sub/", b"//sub//"])
def test_a_directory_is_opened_as_one(disk: RealDisk, site: Path, inside: bytes) -> None:
    with opened(disk.open(www(site), inside)) as file:
        assert file.is_directory


@pytest.mark.parametrize(
    "inside", [b"b.txt", b"a.txt/", b"a.txt/.", b"a.txt/x", b"x" * 300, b"sub/" * 2000]
)
def test_what_is_not_there_is_not_found(disk: RealDisk, site: Path, inside: bytes) -> None:
    assert disk.open(www(site), inside) is None


def test_a_directory_that_is_not_there_has_nothing(disk: RealDisk, site: Path) -> None:
    assert disk.open(www(site) + b"/none", b"a.txt") is None


@pytest.mark.parametrize("inside", [b"..", b"sub/../a.txt", b"../www2/secret", b"a\0b"])
def test_a_path_that_leads_up_is_refused(disk: RealDisk, site: Path, inside: bytes) -> None:
    with pytest.raises(ForbiddenError, match="leads up"):
        disk.open(www(site), inside)


def test_a_file_may_be_the_root_itself(disk: RealDisk, site: Path) -> None:
    file = www(site) + b"/a.txt"
    assert content(disk.open(file, b"")) == b"0123456789"
    assert content(disk.open(file, b"whatever/x")) == b"0123456789"


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_a_link_to_the_inside_is_followed(disk: RealDisk, site: Path, absolute: bool) -> None:
    target = site / "www/a.txt" if absolute else Path("../a.txt")
    (site / "www/sub/link").symlink_to(target)
    with opened(disk.open(www(site), b"sub/link")) as file:
        assert file.path == www(site) + b"/a.txt"


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_a_link_to_the_outside_is_refused(disk: RealDisk, site: Path, absolute: bool) -> None:
    target = site / "www2" if absolute else Path("../www2")
    (site / "www/link").symlink_to(target)
    with pytest.raises(ForbiddenError, match="www2/secret is outside"):
        disk.open(www(site), b"link/secret")


@pytest.mark.parametrize("safe", ["www2", "www2/secret", "alias"])
def test_a_link_may_lead_to_what_is_safe(disk: RealDisk, site: Path, safe: str) -> None:
    (site / "alias").symlink_to("www2")
    (site / "www/link").symlink_to("../www2/secret")
    found = disk.open(www(site), b"link", safe=[os.fsencode(site / safe)])
    assert content(found) == b"SECRET"


@pytest.mark.parametrize("safe", ["www2/sec", "ww", "www2/secret/x", "none"])
def test_safe_ends_where_a_name_does(disk: RealDisk, site: Path, safe: str) -> None:
    (site / "www/link").symlink_to("../www2/secret")
    with pytest.raises(ForbiddenError):
        disk.open(www(site), b"link", safe=[os.fsencode(site / safe)])


@pytest.mark.parametrize("name", [b"near", b"dir/index.html"])
def test_no_link_at_all_is_followed_if_none_is_to_be(
    disk: RealDisk, site: Path, name: bytes
) -> None:
    (site / "www/near").symlink_to("a.txt")
    (site / "www/dir").symlink_to("sub")
    assert content(disk.open(www(site), name))
    with pytest.raises(ForbiddenError, match="a symbolic link"):
        disk.open(www(site), name, links=False)
    assert content(disk.open(www(site), b"a.txt", links=False)) == b"0123456789"


def test_the_root_may_be_a_link_and_change(disk: RealDisk, site: Path) -> None:
    (site / "now").symlink_to("www2")
    root = os.fsencode(site / "now")
    assert content(disk.open(root, b"secret", links=False)) == b"SECRET"
    (site / "now").unlink()
    (site / "now").symlink_to("www")
    assert content(disk.open(root, b"a.txt", links=False)) == b"0123456789"


def test_links_in_a_circle_are_nothing(disk: RealDisk, site: Path) -> None:
    (site / "www/x").symlink_to("y")
    (site / "www/y").symlink_to("x")
    assert disk.open(www(site), b"x") is None


def test_a_pipe_or_socket_does_not_keep_us_waiting(disk: RealDisk, site: Path) -> None:
    os.mkfifo(site / "www/pipe")
    with opened(disk.open(www(site), b"pipe")) as file:
        assert not file.is_file
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site / "www/socket"))
        assert disk.open(www(site), b"socket") is None


def test_the_name_of_a_deleted_file_is_the_one_it_had(
    disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def delete_first(descriptor: int) -> os.stat_result:
        (site / "www/a.txt").unlink(missing_ok=True)
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", delete_first)
    with opened(disk.open(www(site), b"a.txt")) as file:
        assert file.path == www(site) + b"/a.txt"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_what_we_may_not_read_is_refused(
    disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail(monkeypatch, number)
    with pytest.raises(ForbiddenError, match="permission"):
        disk.open(www(site), b"a.txt")


def test_a_machine_without_descriptors_is_no_missing_file(
    disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        disk.open(www(site), b"a.txt")


def fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The file itself cannot be opened: as root, nothing is forbidden by itself."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "_openat2", refuse)
    monkeypatch.setattr(module, "_chain", refuse)


def test_no_descriptor_is_left_behind(disk: RealDisk, site: Path) -> None:
    (site / "www/out").symlink_to("../www2/secret")
    before = os.listdir("/proc/self/fd")
    for name in (b"a.txt", b"none", b"sub", b"a.txt/x"):
        if (file := disk.open(www(site), name)) is not None:
            file.close()
            file.close()
    with pytest.raises(ForbiddenError):
        disk.open(www(site), b"out")
    assert os.listdir("/proc/self/fd") == before


def test_a_named_file_has_to_be_in_a_base(disk: RealDisk, site: Path) -> None:
    path = www(site) + b"/a.txt"
    assert content(disk.open_named(path, [www(site)])) == b"0123456789"
    assert content(disk.open_named(path, None)) == b"0123456789"
    assert disk.open_named(path + b"/", None) is None
    with pytest.raises(ForbiddenError, match="is outside"):
        disk.open_named(os.fsencode(site / "www2/secret"), [www(site)])


def test_a_named_file_may_be_named_by_its_real_path(disk: RealDisk, site: Path) -> None:
    (site / "now").symlink_to("www")
    base = os.fsencode(site / "now")
    for name in (site / "now/a.txt", site / "www/a.txt"):
        found = disk.open_named(os.fsencode(name), [base], links=False)
        assert content(found) == b"0123456789"
    (site / "www/link").symlink_to("a.txt")
    with pytest.raises(ForbiddenError, match="symbolic link"):
        disk.open_named(www(site) + b"/link", [base], links=False)


def test_reading_has_a_limit(disk: RealDisk, site: Path) -> None:
    assert disk.read(www(site) + b"/a.txt", 4) == b"0123"
    assert disk.read(www(site) + b"/none", 4) is None
    assert disk.read(www(site), 4) is None


NAMES = st.sampled_from(["a", "b", "c"])
TARGETS = st.lists(
    st.sampled_from(["a", "b", "c", "..", ".", "root", "root2"]), min_size=1, max_size=5
)
LINKS = st.tuples(st.lists(NAMES, min_size=1, max_size=3), TARGETS, st.booleans())
STEPS = st.sampled_from([b"a", b"b", b"c", b".", b"", b"..", b"root", b"\xff"])


@settings(max_examples=30, deadline=None)
@given(
    links=st.lists(LINKS, max_size=6),
    files=st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=4),
    paths=st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=8),
)
def test_what_is_opened_is_inside_when_all_links_are_followed(
    links: list[tuple[list[str], list[str], bool]],
    files: list[list[str]],
    paths: list[list[bytes]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(os.path.realpath(folder))
        root = top / "root"
        for base in (root, top / "root2", top / "a"):
            base.mkdir()
            for parts in files:
                plant(base.joinpath(*parts), lambda path: path.write_text("x"))
        for parts, target, absolute in links:
            to = Path(*target) if not absolute else top.joinpath(*target)
            plant(root.joinpath(*parts), lambda path, to=to: path.symlink_to(to))
        for steps in paths:
            inside = b"/".join(steps)
            results = [result_of(one, os.fsencode(root), inside) for one in DISKS]
            assert results[0] == results[1] == expected(os.fsencode(root), inside)


def plant(path: Path, make: object) -> None:
    """Make something where there is nothing yet and only real directories lead to it."""
    assert callable(make)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and not path.exists():
            make(path)
    except OSError:
        pass  # a file or a broken link is in the way


def expected(root: bytes, inside: bytes) -> bytes | str | None:
    """What the rule says: the real path, if it is inside."""
    if b".." in inside.split(b"/"):
        return "forbidden"
    try:
        # The trailing slash or dot asks for a directory, which realpath does not see.
        real = os.path.realpath(os.path.join(root, inside.lstrip(b"/")), strict=True)
        os.stat(os.path.join(root, inside.lstrip(b"/")))
    except OSError:
        return None
    return real if is_inside(real, root) else "forbidden"


def result_of(disk: RealDisk, root: bytes, inside: bytes) -> bytes | str | None:
    try:
        file = disk.open(root, inside)
    except ForbiddenError:
        return "forbidden"
    if file is None:
        return None
    with opened(file):
        found, there = os.fstat(file.descriptor), os.stat(file.path)
        assert (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)
        return file.path


@pytest.mark.parametrize("name", ["door", "door/a.txt"])
def test_what_becomes_a_link_after_it_was_looked_at_is_not_found(
    disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (site / "www2/a.txt").write_text("SECRET")
    write(site / "www/door/a.txt", b"fine")
    real = os.path.realpath

    def swap_behind(path: bytes, *, strict: bool = False) -> bytes:
        found = real(path, strict=strict)
        if not (site / "gone").exists():
            (site / "www" / name).rename(site / "gone")
            (site / "www" / name).symlink_to(site / name.replace("door", "www2"))
        return found

    monkeypatch.setattr(os.path, "realpath", swap_behind)
    assert disk.open_named(www(site) + b"/door/a.txt", [www(site)]) is None


def test_a_directory_swapped_for_a_link_is_never_followed_out(disk: RealDisk, site: Path) -> None:
    (site / "www2/a.txt").write_text("SECRET")
    (site / "www/door").mkdir()
    (site / "www/door/a.txt").write_text("fine")
    (site / "way").symlink_to(site / "www2")
    over = threading.Event()

    def swap() -> None:
        door, way, third = (os.fsencode(site / name) for name in ("www/door", "way", "third"))
        while not over.is_set():
            os.rename(door, third)
            os.rename(way, door)
            os.rename(third, way)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        found = {tried(disk, www(site)) for _ in range(300)}
    finally:
        over.set()
        thread.join()
    assert found <= {b"fine", "forbidden", None}


def tried(disk: RealDisk, root: bytes) -> bytes | str | None:
    try:
        file = disk.open(root, b"door/a.txt")
    except ForbiddenError:
        return "forbidden"
    return None if file is None else content(file)


CACHED = RealDisk(cached=True)


def known(site: Path, inside: bytes) -> None:
    """Have the kernel look once."""
    (site / "www" / os.fsdecode(inside)).exists()


def test_what_is_in_memory_is_found_without_waiting(site: Path) -> None:
    known(site, b"a.txt")
    with opened(CACHED.open(www(site), b"a.txt")) as file:
        assert (file.size, file.is_file) == (10, True)
        assert file.place == www(site) + b"/a.txt"
        assert CACHED.stamp(file.place) == file.stamp
    known(site, b"none/x")
    assert CACHED.open(www(site), b"none/x") is None


def test_what_takes_more_is_left_to_who_may_wait(site: Path) -> None:
    (site / "www/out").symlink_to(site / "www2/secret")
    for name in (b"out", b"a.txt"):
        known(site, name)
    with pytest.raises(NotCachedError):
        CACHED.open(www(site), b"out")
    with pytest.raises(NotCachedError):
        CACHED.open_named(www(site) + b"/a.txt", None)


@pytest.mark.parametrize("inside", [b"", b"whatever"])
def test_a_mapping_to_a_file_is_left_to_who_may_wait(site: Path, inside: bytes) -> None:
    known(site, b"a.txt")
    with pytest.raises(NotCachedError):
        CACHED.open(www(site) + b"/a.txt", inside)


def test_a_name_that_nobody_has_looked_for_is_not_waited_for(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_known_absent", lambda path: False)

    def openat2(*arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "not in memory")

    monkeypatch.setattr(module, "_openat2", openat2)
    with pytest.raises(NotCachedError):
        CACHED.open(www(site), b"a.txt")


def test_an_old_kernel_has_everything_waited_for(site: Path) -> None:
    disk = RealDisk(with_openat2=False, cached=True)
    with pytest.raises(NotCachedError):
        disk.open(www(site), b"a.txt")


@pytest.mark.parametrize("inside", [b"../www2/secret", b"x/../../www2/secret", b"a\0b"])
def test_in_memory_too_nothing_leads_up(site: Path, inside: bytes) -> None:
    with pytest.raises(ForbiddenError):
        CACHED.open(www(site), inside)
