"""``python -m benchmarks.compiled FOLDER``: a copy of this checkout, compiled (setup.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = tuple(link.name for link in (HERE.parent / "src/uwgate").iterdir() if link.is_symlink())
PARTS = ("setup.py", "pyproject.toml", "src", *PACKAGES, "benchmarks", "tests", "docs")
PATIENCE = 900.0  # seconds that compiling may take


class NotBuilt(Exception):
    """It could not be compiled; the text is what the compilers said."""


def build(folder: Path) -> Path:
    """Make the copy in ``folder``, which is not there yet; returns what PYTHONPATH needs.

    Raises:
        NotBuilt: there is no compiler, or it failed.
    """
    for name in PARTS:
        source = HERE.parent / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder)
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "UWGATE_COMPILE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode or not list((folder / "src").glob("*__mypyc*.so")):
        raise NotBuilt(done.stdout[-4000:])
    return folder / "src"


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
