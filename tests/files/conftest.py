"""A site on the disk, and the two ways to open its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwgate.files.disk import RealDisk, has_openat2


@pytest.fixture(params=["openat2", "name by name"])
def disk(request: pytest.FixtureRequest) -> RealDisk:
    """The file system, with and without the kernel's help."""
    by_kernel = request.param == "openat2"
    if by_kernel and not has_openat2():
        pytest.skip("this kernel has no openat2, or a filter forbids it")
    return RealDisk(with_openat2=by_kernel)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two directories: ``www`` is served, ``www2`` beside it is not."""
    for name in ("www/sub", "www2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "www/a.txt").write_text("0123456789")
    (tmp_path / "www/sub/index.html").write_text("index")
    (tmp_path / "www2/secret").write_text("SECRET")
    return tmp_path
