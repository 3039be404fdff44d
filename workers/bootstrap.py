"""Start of the spawner: run by path, under whichever Python the application wants.

That Python need not have uwgate installed, so the package is registered here by its place;
its folder never gets onto sys.path, where an application's own modules are looked up.
Written for old versions of Python too: they shall be told, not get a syntax error.
"""

import os
import sys

# First of all, for our files have names such as http.py: nothing may import them by these.
if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

import importlib.machinery
import importlib.util
import json
import socket

OLDEST = (3, 11)
COMPILED = "uwgate__mypyc"  # what all compiled modules share (setup.py)


def register(folder: str) -> None:
    """Make ``import uwgate.xxx`` find the package in ``folder``."""
    spec = importlib.util.spec_from_file_location(
        "uwgate", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["uwgate"] = package
    spec.loader.exec_module(package)


def register_compiled(folder: str) -> None:
    """Let compiled modules find what they share, which stands beside the package.

    Those of another Python are neither seen nor needed: then the ``.py`` files are used.
    """
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = os.path.join(folder, COMPILED + suffix)
        if os.path.exists(path):
            loader = importlib.machinery.ExtensionFileLoader(COMPILED, path)
            spec = importlib.util.spec_from_file_location(COMPILED, path, loader=loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            sys.modules[COMPILED] = module
            return


def refuse(fd: int) -> None:
    """Tell the log and the master that this Python is too old."""
    reason = "{} is Python {}.{}; the workers need {}.{} or newer".format(
        sys.executable, *sys.version_info[:2], *OLDEST
    )
    sys.stderr.write(reason + "\n")
    with os.fdopen(fd, "rb") as start:
        control = socket.socket(fileno=json.loads(start.read().decode())["control_fd"])
    message = {"type": "failed", "reason": reason, "code": 1}
    control.send(json.dumps(message).encode())
    sys.exit(1)


def run() -> None:
    """Become the spawner; sys.argv[1] is the descriptor of its ``Start``."""
    fd = int(sys.argv[1])
    if sys.version_info < OLDEST:
        refuse(fd)
    here = os.path.dirname(os.path.abspath(__file__))
    package = os.path.dirname(here)
    register_compiled(os.path.dirname(package))
    register(package)
    from uwgate.workers.spawner import main

    main(fd)


if __name__ == "__main__":
    run()
