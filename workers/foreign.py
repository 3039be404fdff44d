"""Requests as a web server has packed them: what a worker makes of them, and what it refuses.

They come on a uwsgi socket (raw.py), or through our fastrouter (leases.py); spec/workers.md
section 15.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from uwgate.conf.groups.workers import WorkerOptions
from uwgate.gateways.wire.lease import LENGTH
from uwgate.gateways.wire.uwsgi import PacketError
from uwgate.workers.environ import DYNAMIC, Environ

if TYPE_CHECKING:
    from uwgate.workers.worker import Worker

SERVED = (0, 30)  # values of modifier1
# Head, flags and body of the answer to what ``is_forbidden``.
FORBIDDEN = (
    b"403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n",
    LENGTH,
    b"Forbidden",
)
BAD_REQUEST = (
    b"400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n",
    LENGTH,
    b"Bad Request",
)
_PROTOCOL = re.compile(r"[\x21-\x7e]{1,32}")


def check_size(size: int, options: WorkerOptions) -> None:
    """A block has at most ``buffer-size`` bytes.

    Raises:
        PacketError: it has more.
    """
    if size > options.buffer_size:
        raise PacketError(
            f"invalid request block size: {size} (max {options.buffer_size})"
            "...skip (raise buffer-size)"
        )


def adopt(environ: Environ, modifier1: int) -> None:
    """Make what an application may rely on of the variables that a web server has sent.

    Raises:
        PacketError: there is no REQUEST_METHOD.
    """
    if not environ.get("REQUEST_METHOD"):
        raise PacketError("uwsgi packet without REQUEST_METHOD")
    script = environ.setdefault("SCRIPT_NAME", "")
    if modifier1 == 30 and script and environ.get("PATH_INFO", "").startswith(script):
        environ["PATH_INFO"] = environ["PATH_INFO"][len(script) :]


def protocol_of(environ: Environ) -> bytes:
    """What begins the status line."""
    protocol = environ.get("SERVER_PROTOCOL", "")
    return protocol.encode() if _PROTOCOL.fullmatch(protocol) else b"HTTP/1.0"


def is_forbidden(environ: Environ, worker: Worker) -> bool:
    """Whether it would make us load code or change the process, and nobody has allowed that."""
    if worker.settings.application.allow_dynamic_apps:
        return False
    names = DYNAMIC & environ.keys()
    for name in names:
        worker.refuse_dynamic(name)
        return True
    return False
