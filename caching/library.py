"""Where lmdb comes from, in workers that run under an application's own Python.

What the virtual environment has installed comes first: the application may use it too. Else it is
loaded from where uwgate itself has it, if it is of the same version of Python.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from uwgate.conf.errors import ConfigError


def library_folder() -> str | None:
    """Where this process has lmdb from; None: it has none."""
    spec = importlib.util.find_spec("lmdb")
    if spec is None or spec.origin is None:
        return None
    return os.path.dirname(os.path.abspath(spec.origin))


def ensure_library(folder: str | None) -> None:
    """Make ``import lmdb`` work; ``folder`` is what ``library_folder`` said in another process.

    Raises:
        ConfigError: it does not work here.
    """
    try:
        import lmdb  # noqa: F401
    except ImportError:
        pass
    else:
        return
    name = "lmdb"
    try:
        spec = importlib.util.spec_from_file_location(
            name,
            os.path.join(folder or "", "__init__.py"),
            submodule_search_locations=[folder or ""],
        )
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        sys.modules.pop(name, None)
        version = "{}.{}".format(*sys.version_info)
        raise ConfigError(
            f"caches need the package lmdb, and {sys.prefix} (Python {version}) has none, nor "
            f"can that of uwgate be used there ({error}): {sys.prefix}/bin/pip install lmdb"
        ) from error
