"""The command lines of the gateways and their registry."""

from __future__ import annotations

import sys

from uwgate.conf.settings import Settings


def gateway_command(settings: Settings, fd: int) -> list[str]:
    """The words that start a gateway, or the keeper of several that speak TLS.

    The ``Start`` is in the memory file ``fd``.

    -P: the directory that we were started in may hold a ``trio.py`` or ``queue.py``.
    """
    name = "keeper" if settings.speaks_tls else "http"
    return [sys.executable, "-P", "-m", f"uwgate.gateways.{name}", str(fd)]


def registry_command(settings: Settings, fd: int) -> list[str]:
    """The words that start the registry whose ``Start`` is in the memory file ``fd``."""
    return [sys.executable, "-P", "-m", "uwgate.gateways.registry.process", str(fd)]


def rawrouter_command(settings: Settings, fd: int) -> list[str]:
    """The words that start a rawrouter."""
    return [sys.executable, "-P", "-m", "uwgate.gateways.rawrouter", str(fd)]


def sslrouter_command(settings: Settings, fd: int) -> list[str]:
    """The words that start an sslrouter, or the keeper of several that speak TLS."""
    if settings.terminates_tls:
        return [sys.executable, "-P", "-m", "uwgate.gateways.keeper", str(fd), "sslrouter"]
    return [sys.executable, "-P", "-m", "uwgate.gateways.sslrouter", str(fd)]


def fastrouter_command(settings: Settings, fd: int) -> list[str]:
    """The words that start a fastrouter."""
    return [sys.executable, "-P", "-m", "uwgate.gateways.fastrouter", str(fd)]


def zergpool_command(settings: Settings, fd: int) -> list[str]:
    """The words that start the process that gives sockets to zergs."""
    return [sys.executable, "-P", "-m", "uwgate.gateways.zerg", str(fd)]


def cache_command(settings: Settings, fd: int) -> list[str]:
    """The words that start the process that looks after the caches."""
    return [sys.executable, "-P", "-m", "uwgate.caching", str(fd)]
