"""A gateway process that cannot start, as it finds out when it begins to serve; or that can."""

from __future__ import annotations

import sys

import trio

from uwgate.conf.errors import ConfigError
from uwgate.conf.start import Start
from uwgate.gateways import service


class Unwilling:
    """``http-server-header`` names when it finds out: before or after it has made itself, never."""

    def __init__(self, start: Start) -> None:
        self._moment = start.settings.http.http_server_header
        if start.settings.http.http_server_header == "before":
            raise ConfigError("this cannot be")

    async def serve(self, nursery: trio.Nursery, task_status: trio.TaskStatus[None]) -> None:
        nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        if self._moment == "never":
            task_status.started()
            await trio.sleep_forever()
        raise ConfigError("this cannot be")

    def drain(self, idle: float) -> None:
        """There is nothing that would have to end."""

    async def drained(self) -> None:
        """Nothing has to."""

    def renew(self, name: str, material: bytes) -> None:
        """There is no TLS here."""


if __name__ == "__main__":
    told = service.run("http", Start.from_memory_file(int(sys.argv[1])), Unwilling, None, None)
    sys.stdout.write("told\n" if told else "forsaken\n")
