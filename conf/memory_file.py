"""Text that a program reads as its standard input, without anybody who writes it meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """A descriptor from which the text can be read: nobody has to wait for a reader."""
    fd = os.memfd_create("uwgate-text", os.MFD_CLOEXEC)
    try:
        while content:
            content = content[os.write(fd, content) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
