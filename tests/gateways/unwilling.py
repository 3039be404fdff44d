"""A gateway process that cannot start, as it finds out when it begins to serve."""

from __future__ import annotations

import sys

import trio

from uwgate.conf.errors import ConfigError
from uwgate.conf.start import Start
from uwgate.gateways import service


class Unwilling:
    """``http-server-header`` names when it finds out: before or after it has made itself."""

    def __init__(self, start: Start) -> None:
        if start.settings.http.http_server_header == "before":
            raise ConfigError("this cannot be")

    async def serve(self, nursery: trio.Nursery, task_status: trio.TaskStatus[None]) -> None:
        nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        raise ConfigError("this cannot be")

    def drain(self, idle: float) -> None:
        """It never comes to that."""

    async def drained(self) -> None:
        """Nor to that."""

    def renew(self, name: str, material: bytes) -> None:
        """Nor to that."""


if __name__ == "__main__":
    service.run("http", Start.from_memory_file(int(sys.argv[1])), Unwilling, None, None)
