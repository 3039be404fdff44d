"""The programs below the master: how each of them is called."""

from __future__ import annotations

from uwgate.gateways.command import (
    cache_command,
    fastrouter_command,
    gateway_command,
    rawrouter_command,
    registry_command,
    sslrouter_command,
    zergpool_command,
)
from uwgate.generation import Commands
from uwgate.workers.command import spawner_command

COMMANDS = Commands(
    gateway=gateway_command,
    fastrouter=fastrouter_command,
    registry=registry_command,
    rawrouter=rawrouter_command,
    sslrouter=sslrouter_command,
    spawner=spawner_command,
    zergpool=zergpool_command,
    cache=cache_command,
)
