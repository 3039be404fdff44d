"""Bytes of files: whether they are in memory, so that reading or sending them does not wait."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

from uwgate.files.disk import NotCachedError

Read = Callable[[int, int, int], bytes]  # descriptor, offset, length

_IN_MEMORY = frozenset((0x01021994, 0x858458F6))  # tmpfs, ramfs: statfs(2), f_type
_STATFS_SIZE = 256  # bytes; more than struct statfs has anywhere
_CANNOT_TELL = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))

_libc = ctypes.CDLL(None, use_errno=True)
_byte = bytearray(1)


class BrokenFileError(OSError):
    """Bytes of an open file cannot be had."""


class ShortenedError(BrokenFileError):
    """The file has become shorter since it was opened."""

    def __init__(self) -> None:
        super().__init__(errno.ENODATA, "it has become shorter")


def read_resident(descriptor: int, offset: int, length: int) -> bytes:
    """Bytes of a file that are in memory; fewer than asked for at its end only.

    Raises:
        NotCachedError: they are not, or the file system cannot tell.
        OSError: they cannot be read.
    """
    buffer = bytearray(length)
    try:
        count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno in _CANNOT_TELL and _is_in_memory(descriptor):
            return os.pread(descriptor, length, offset)
        if error.errno in _CANNOT_TELL or error.errno == errno.EAGAIN:
            raise NotCachedError from error
        raise
    if count < length and offset + count < os.fstat(descriptor).st_size:
        raise NotCachedError
    return bytes(buffer) if count == length else bytes(buffer[:count])


def read_waiting(descriptor: int, offset: int, length: int) -> bytes:
    """Bytes of a file, wherever they are; fewer than asked for at its end only.

    Raises:
        OSError: they cannot be read.
    """
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def is_resident(descriptor: int, offset: int, length: int) -> bool:
    """Whether a part of a file is in memory, as its first and last byte tell.

    In between may be holes: the kernel reads ahead, and throws out what was used long ago.
    """
    try:
        for place in {offset, offset + length - 1}:
            os.preadv(descriptor, [_byte], place, os.RWF_NOWAIT)
    except OSError as error:
        return error.errno in _CANNOT_TELL and _is_in_memory(descriptor)
    return True


def bring_in(descriptor: int, offset: int, length: int) -> None:
    """Have the kernel read a part of a file; takes as long as that does.

    Raises:
        OSError: it cannot be read.
    """
    os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    buffer = bytearray(min(length, 262144))
    end = offset + length
    while offset < end:
        count = os.preadv(descriptor, [memoryview(buffer)[: end - offset]], offset)
        if not count:
            return
        offset += count


def _is_in_memory(descriptor: int) -> bool:
    """Whether the file is on a file system that has nothing but memory."""
    found = ctypes.create_string_buffer(_STATFS_SIZE)
    if _libc.fstatfs(descriptor, found) != 0:
        return False
    return ctypes.c_long.from_buffer(found).value in _IN_MEMORY
