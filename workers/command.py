"""The command line of the spawner."""

from __future__ import annotations

import os
import sys

import uwgate
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings


def spawner_command(settings: Settings, fd: int) -> list[str]:
    """The words that start a spawner whose ``Start`` is in the memory file ``fd``.

    Raises:
        ConfigError: the virtual environment has no Python.
    """
    assert uwgate.__file__ is not None
    script = os.path.join(
        os.path.dirname(os.path.abspath(uwgate.__file__)), "workers", "bootstrap.py"
    )
    return [python_of(settings.application.virtualenv), script, str(fd)]


def python_of(virtualenv: str | None) -> str:
    """The interpreter of a virtual environment; None means our own.

    Raises:
        ConfigError: there is none.
    """
    if virtualenv is None:
        return sys.executable
    if not os.path.isdir(virtualenv):
        raise ConfigError(f"virtualenv = {virtualenv}: no such directory")
    python = os.path.join(os.path.abspath(virtualenv), "bin", "python")
    if not os.access(python, os.X_OK):
        raise ConfigError(f"virtualenv = {virtualenv}: no interpreter at {python}")
    return python
