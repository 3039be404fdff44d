"""Request lines of what a gateway answers by itself: files, and what rules say.

They are those of workers (``conf.access_log``), who log what is asked of them: each request has
one line, wherever it ends. As gateways have no applications, the line says app -1 and worker 0.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from uwgate.conf.access_log import AccessLog, Entry
from uwgate.conf.metric_file import Metrics
from uwgate.conf.settings import Settings
from uwgate.gateways.wire.uwsgi import decode_block


class Answered(NamedTuple):
    """An answer: ``sent`` bytes of a body, behind so many fields and bytes of a head.

    ``began`` is Unix time; ``by_kernel``: the body is the kernel's business.
    """

    status: int
    sent: int
    fields: int
    head_size: int
    began: float
    seconds: float
    by_kernel: bool = False


class RequestLog:
    """One for each gateway process. ``wanted``: the options want some lines, perhaps all."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._log = AccessLog(settings.log, os.getpid(), 0, metrics)
        self._count = 0
        self.wanted = self._log.wanted

    def log_block(self, block: bytes, answered: Answered) -> None:
        """Log a request by its uwsgi block."""
        self.log(dict(decode_block(block)), answered, {})

    def log(
        self,
        variables: Mapping[bytes, bytes],
        answered: Answered,
        logvars: dict[str, bytes],
    ) -> None:
        """Log a request by its variables; ``logvars`` are those of rules."""
        self._count += 1
        self._log.log(
            Entry(
                {
                    name.decode("latin-1"): value.decode("latin-1")
                    for name, value in variables.items()
                },
                sum(4 + len(name) + len(value) for name, value in variables.items()),
                answered.began,
                answered.seconds,
                answered.status,
                answered.sent,
                answered.fields,
                # uWSGI counts the protocol in front and the empty line behind.
                answered.head_size + len(variables.get(b"SERVER_PROTOCOL", b"")) + 3,
                answered.by_kernel,
                failed=False,
                application=-1,
                application_requests=-1,
                total_requests=self._count,
                core=0,
                logvars=logvars,
            )
        )
