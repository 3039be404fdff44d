"""What the log says at the start: who runs, what listens where."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import trio

from uwgate import __version__
from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.conf.settings import Settings
from uwgate.sockets import Sockets

SERVED_BY = {
    "http": "HTTP gateway",
    "https": "HTTPS gateway",
    "http-to-https": "HTTP gateway, redirects to HTTPS",
    "fastrouter": "fastrouter",
    "rawrouter": "rawrouter",
    "sslrouter": "sslrouter",
    "sslrouter-passthrough": "sslrouter, TLS passed through",
    "uwsgi": "workers, uwsgi packets",
    "http-socket": "workers, HTTP",
    "http11-socket": "workers, HTTP/1.1 with keep-alive",
    "http-subscription": "announcements for the HTTP gateway",
    "fastrouter-subscription": "announcements for the fastrouter",
    "zerg-server": "gives the workers' sockets to zergs",
    "zergpool": "gives sockets to zergs",
    "zerg-socket": "for zergs",
    "cache-udp": "changes of other instances' caches",
    "rawrouter-subscription": "announcements for the rawrouter",
    "sslrouter-subscription": "announcements for the sslrouter",
}


def lines(settings: Settings, sockets: Sockets) -> Iterator[str]:
    """The banner, line by line."""
    yield (
        f"*** Starting uwgate {__version__} (Python {platform.python_version()}, "
        f"trio {trio.__version__}, {platform.system()} {platform.machine()}) ***"
    )
    yield f"spawned uWSGI master process (pid: {os.getpid()})"
    for one in sockets.listeners:
        if one.role in SERVED_BY:
            yield f"listening on {one.name} ({SERVED_BY[one.role]}), fd {one.fd}"
    if sockets.gateway_listeners:
        core = settings.http_corerouter
        yield f"http-processes: {core.processes}, forwarding to {_backends(core)}"
    if sockets.worker_listeners:
        workers = settings.workers
        yield f"processes: {workers.processes}, threads in each: {workers.threads}"


def _backends(core: CorerouterOptions) -> str:
    """Where requests go, in the order of spec/gateways.md section 3."""
    if core.use_cache is not None:
        return f"what the cache {core.use_cache} says".replace("  ", " ")
    if core.use_pattern:
        return core.use_pattern
    if core.subscription_server:
        return "subscribed nodes"
    if core.use_base:
        return f"{core.use_base}..."
    if core.use_code_string:
        return f"what {core.use_code_string} says"
    if core.use_socket is not None:
        return f"our own socket {core.use_socket}"
    return ", ".join(core.to) or "our workers"
