"""Opening files below a directory, so that no path and no link leads out of it.

``openat2`` (Linux 5.6) has the kernel see to it. Where there is none, or where a link leads out
of the directory and perhaps into one that is safe as well, the path is resolved first and then
opened directory by directory without following any link: what is swapped for a link between the
two steps is not found. The name of what was opened is asked of the descriptor.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_PATH = 4096  # bytes: the kernel's PATH_MAX

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # no waiting for a FIFO's writer
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_OPENAT2 = 437  # system call; the same number on all architectures that CPython runs on
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08  # RESOLVE_..., linux/openat2.h
_CACHED = 0x20  # RESOLVE_CACHED: nothing that would have to wait for a disk (Linux 5.12)
_HERE = -100  # AT_FDCWD
_MORE_STEPS = (errno.EAGAIN, errno.EXDEV, errno.ELOOP)
_RACES = 3  # times to try again when directories were moved meanwhile
_DELETED = b" (deleted)"  # what /proc puts behind the name of an unlinked file

_NOT_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENXIO}
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})

# What tells one state of a file from another: device, inode, size, times in nanoseconds. The
# second time is of what is not in the bytes: a permission taken away shows there.
Stamp = tuple[int, int, int, int, int]


class ForbiddenError(Exception):
    """Something is there that is not to be served; the text says why."""


class NotCachedError(OSError):
    """What is asked for is not in memory: to find out takes a disk, or a network."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "not in memory")


@dataclass(slots=True)
class OpenFile:
    """A file or directory that is open for reading. Whoever has it closes it.

    ``path``: the real one. ``root``: the real directory that it was found in. ``changed_ns``: in
    nanoseconds since the epoch. ``place``: where it was looked for, before links were followed.
    """

    descriptor: int
    path: bytes
    root: bytes
    size: int
    changed_ns: int
    is_file: bool
    is_directory: bool
    stamp: Stamp = (0, 0, 0, 0, 0)
    place: bytes = b""

    def close(self) -> None:
        """Give the descriptor back; a second time it does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    @property
    def inside(self) -> bytes:
        """The path in ``root``."""
        return self.path[len(self.root) :].lstrip(b"/")


class Disk(Protocol):
    """What the rest of this folder asks of the file system."""

    def open(
        self, root: bytes, inside: bytes, *, safe: Sequence[bytes] = (), links: bool = True
    ) -> OpenFile | None:
        """Open what is at a path in ``root``, a directory or the file itself.

        ``inside`` has no ``..``. ``safe``: files and directories that links may lead to besides.
        ``links`` False: none is followed. None: nothing is there.

        Raises:
            ForbiddenError: it is outside, behind a link that is not followed, or closed to us.
            OSError: the machine cannot (no descriptors left, a broken disk).
        """

    def open_named(
        self, path: bytes, bases: Sequence[bytes] | None, *, links: bool = True
    ) -> OpenFile | None:
        """Open an absolute path that is in one of ``bases`` when all links are followed.

        ``bases`` None: anywhere. ``links`` False: none is followed but on the way to a base.

        Raises:
            ForbiddenError, OSError: as ``open``.
        """

    def read(self, path: bytes, limit: int) -> bytes | None:
        """All of a file that the operator named, up to ``limit`` bytes; None: cannot be read."""

    def stamp(self, path: bytes) -> Stamp | None:
        """What is at a path now, links followed; None: nothing is, or nobody may know."""

    def is_absent(self, path: bytes) -> bool:
        """Whether nothing is at a path, for sure."""


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_OpenHow),
    ctypes.c_size_t,
)


def _openat2(directory: int, path: bytes, resolve: int, flags: int = _READ) -> int:
    how = _OpenHow(flags, 0, resolve)
    for attempt in range(_RACES + 1):
        found: int = _libc.syscall(_OPENAT2, directory, path, how, ctypes.sizeof(how))
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR) or attempt == _RACES or resolve & _CACHED:
            break
    raise OSError(number, os.strerror(number))


_look = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _CACHED)


def _is_known_absent(path: bytes) -> bool:
    """Whether memory tells that nothing is at a path, wherever that would lead.

    Most requests are for no file: this is the cheapest way to find that out.
    """
    found = _libc.syscall(_OPENAT2, _HERE, path, _look, ctypes.sizeof(_look))
    if found >= 0:
        os.close(found)
        return False
    return ctypes.get_errno() == errno.ENOENT  # not ENOTDIR: a mapping may be to a file


def has_openat2() -> bool:
    """Whether the kernel, and what filters our system calls, let us use openat2."""
    try:
        directory = os.open(b"/", _DIRECTORY)
    except OSError:
        return False
    try:
        os.close(_openat2(directory, b".", _BENEATH))
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


class RealDisk:
    """The file system of this machine. ``with_openat2`` False: as if the kernel had none.

    ``cached``: only what is in memory is looked at; everything else raises NotCachedError.
    """

    def __init__(self, *, with_openat2: bool = True, cached: bool = False) -> None:
        # Only /proc can tell the name of what openat2 has opened.
        self._by_kernel = with_openat2 and os.path.exists("/proc/self/fd") and has_openat2()
        self._cached = cached

    def open(
        self, root: bytes, inside: bytes, *, safe: Sequence[bytes] = (), links: bool = True
    ) -> OpenFile | None:
        """See Disk."""
        if len(root) + len(inside) >= MAX_PATH:
            return None
        if b"\0" in inside or b".." in inside.split(b"/"):
            raise ForbiddenError("a path that leads up")
        if self._cached and _is_known_absent(os.path.join(root, inside.lstrip(b"/"))):
            return None
        with _translated():
            return self._open(root, inside, safe, links)
        return None

    def open_named(
        self, path: bytes, bases: Sequence[bytes] | None, *, links: bool = True
    ) -> OpenFile | None:
        """See Disk."""
        if len(path) >= MAX_PATH:
            return None
        if self._cached:
            raise NotCachedError
        with _translated():
            return _resolved(path, bases, links)
        return None

    def read(self, path: bytes, limit: int) -> bytes | None:
        """See Disk."""
        try:
            with open(path, "rb") as file:
                return file.read(limit)
        except OSError:
            return None

    def stamp(self, path: bytes) -> Stamp | None:
        """See Disk."""
        try:
            return _stamp(os.stat(path))
        except (OSError, ValueError):
            return None

    def is_absent(self, path: bytes) -> bool:
        """See Disk."""
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ValueError):
            return False
        return False

    def _open(
        self, root: bytes, inside: bytes, safe: Sequence[bytes], links: bool
    ) -> OpenFile | None:
        if self._cached:
            return self._open_cached(root, inside, links)
        try:
            directory = os.open(root, _DIRECTORY)
        except NotADirectoryError:
            real = os.path.realpath(root, strict=True)  # a file: whatever is asked for is it
            descriptor = _chain(os.path.dirname(real), os.path.basename(real))
            return _described(descriptor, real, real, root)
        place = os.path.join(root, inside.lstrip(b"/"))
        try:
            if self._by_kernel:
                descriptor = _openat2(directory, inside.lstrip(b"/") or b".", _resolve(links))
                return _described(descriptor, None, _name_of(directory), place)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ELOOP, errno.EAGAIN):
                raise
            if not links and error.errno == errno.ELOOP:
                raise ForbiddenError("a symbolic link") from error
        finally:
            os.close(directory)
        return _resolved(place, (root, *safe), links)

    def _open_cached(self, root: bytes, inside: bytes, links: bool) -> OpenFile:
        """Open without waiting. What takes more than one step is left to who may wait."""
        if not self._by_kernel:
            raise NotCachedError
        try:
            directory = _openat2(_HERE, root, _CACHED, _DIRECTORY)
        except OSError as error:
            # ENOTDIR: a mapping to a file; EINVAL: a kernel that cannot be asked so.
            if error.errno in (*_MORE_STEPS, errno.ENOTDIR, errno.EINVAL):
                raise NotCachedError from error
            raise
        try:
            resolve = _resolve(links) | _CACHED
            descriptor = _openat2(directory, inside.lstrip(b"/") or b".", resolve)
            place = os.path.join(root, inside.lstrip(b"/"))
            return _described(descriptor, None, _name_of(directory), place)
        except OSError as error:
            if error.errno in _MORE_STEPS:
                raise NotCachedError from error
            raise
        finally:
            os.close(directory)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Ends the block when nothing is there; says so when it is closed to us."""
    try:
        yield
    except OSError as error:
        if error.errno in _FORBIDDEN:
            raise ForbiddenError("no permission to read it") from error
        if error.errno not in _NOT_THERE:
            raise


def _resolved(path: bytes, bases: Sequence[bytes] | None, links: bool) -> OpenFile:
    """Resolve a path, see whether it stays inside, and open it if it is still the same."""
    ends = b"/" if path.endswith((b"/", b"/.")) else b""
    real = os.path.realpath(path.rstrip(b"/") or b"/", strict=True)
    if bases is None:
        above, name = os.path.split(real)
        return _described(_chain(above, name + ends), real, above)
    for base in bases:
        top = os.path.realpath(base)
        if not is_inside(real, top):
            continue
        if not links and not _is_direct(path, base, real, top):
            raise ForbiddenError("a symbolic link")
        # A base may be a file: then it is opened by its name in its directory.
        start = os.path.dirname(top) if real == top else top
        rest = real[len(start) :].lstrip(b"/") + ends
        return _described(_chain(start, rest), real, top)
    raise ForbiddenError(f"{os.fsdecode(real)} is outside")


def _is_direct(path: bytes, base: bytes, real: bytes, top: bytes) -> bool:
    """Whether no link was followed between a base and what is there."""
    return any(
        is_inside(path, start) and os.path.normpath(top + b"/" + path[len(start) :]) == real
        for start in (base.rstrip(b"/") or b"/", top)
    )


def is_inside(path: bytes, directory: bytes) -> bool:
    """Whether a real path is a directory or below it."""
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def _chain(directory: bytes, inside: bytes) -> int:
    """Open name by name, following no link below ``directory``."""
    *above, name = inside.strip(b"/").split(b"/")
    wanted = _READ | (os.O_DIRECTORY if inside.endswith(b"/") else 0)
    here = os.open(directory, _DIRECTORY)
    try:
        for one in above:
            below = os.open(one, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name or b".", wanted | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


def _resolve(links: bool) -> int:
    return _BENEATH | _NO_MAGICLINKS | (0 if links else _NO_SYMLINKS)


def _described(descriptor: int, path: bytes | None, root: bytes, place: bytes = b"") -> OpenFile:
    try:
        found = os.fstat(descriptor)
        if path is None:
            path = _name_of(descriptor)
            if found.st_nlink == 0:
                path = path.removesuffix(_DELETED)
        return OpenFile(
            descriptor,
            path,
            os.path.dirname(path) if path == root and not stat.S_ISDIR(found.st_mode) else root,
            found.st_size,
            found.st_mtime_ns,
            stat.S_ISREG(found.st_mode),
            stat.S_ISDIR(found.st_mode),
            _stamp(found),
            place,
        )
    except BaseException:
        os.close(descriptor)
        raise


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _name_of(descriptor: int) -> bytes:
    return os.readlink(b"/proc/self/fd/%d" % descriptor)
