"""A site of a few files, older than what is not kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LARGE = bytes(range(256)) * 4096 * 4  # 4 MiB: more than sockets take here


@pytest.fixture
def www(tmp_path: Path) -> Path:
    """What is served."""
    folder = tmp_path / "www"
    folder.mkdir()
    for name, data in {
        "a.txt": b"0123456789",
        "a.txt.gz": b"zipped",
        "empty": b"",
        "large.bin": LARGE,
        "middle.bin": LARGE[:100_000],
    }.items():
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1_600_000_000, 1_600_000_000))
    return folder
