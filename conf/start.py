"""What a child process is given at its start, besides the descriptors themselves.

The master writes a ``Start`` into a memory file and passes its descriptor's number as
the child's only argument. Nothing of it changes later.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from typing import Any

from uwgate.conf.metric_file import MetricFile, Metrics
from uwgate.conf.metrics import read_metrics
from uwgate.conf.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listening socket that a child inherits.

    ``role`` says who serves it: ``http``, ``https`` and ``http-to-https`` (the gateway),
    ``fastrouter``, ``rawrouter`` (the processes of these names), ``sslrouter`` and
    ``sslrouter-passthrough`` (the sslrouter),
    ``lease`` (workers, for our own gateways), ``uwsgi``, ``http-socket``, ``http11-socket``
    (workers, for others), ``registry`` (the registry, for our own gateways) and
    ``http-subscription``, ``fastrouter-subscription`` ... (the registry; datagrams),
    ``http-stats``, ``fastrouter-stats`` ... (the registry), ``legion`` (the process of this
    name; datagrams), ``zergpool`` and ``zerg-server`` (the process that gives sockets away
    there) and ``zerg-socket`` (what it gives).
    ``name`` is the bound address as text (``127.0.0.1:8080``, ``/run/app.sock``).
    ``endpoint`` is for https and sslrouter the address as its option has it, which finds its
    certificates, for http-to-https the port to redirect to, empty for 443, and for zerg-socket
    the name of the place where it is given away.
    """

    fd: int
    role: str
    name: str
    endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Everything that a child needs to know.

    ``control_fd`` is a SOCK_SEQPACKET socket to the master (``uwgate.conf.control``).
    ``life_fd`` is the read end of a pipe whose write end only the master holds: it
    reaches end of file when the master is gone. ``lease_address`` is the abstract name
    (without the leading NUL) of the workers' lease socket, None without workers.
    ``registry_address`` is that of the registry, None without one. ``bound`` has role and name
    of every socket of this generation, also of those that are not for this child.
    ``secret`` is known to all gateways of the instance as long as its master lives.
    ``minute`` is the number of the last one whose commands were run, -1 if none was.
    ``instance`` counts processes of one kind from 1; ``generation`` counts reloads from 1.
    ``board_fd`` is the board of the legions (``uwgate.conf.board``), None without any.
    ``scoreboard_fd`` is the memory file of ``uwgate.workers.scoreboard``, -1 for whom has none.
    ``cache_folder`` is where the files of caches are, None without caches; ``lmdb_folder`` where
    uwgate has the library from that reads them.
    ``metric_file`` is where the values of metrics are, None without any.
    ``is_first``: the instance never had a process in this place, so nobody knows anything yet.
    """

    settings: Settings
    listeners: tuple[Listener, ...]
    control_fd: int
    life_fd: int
    lease_address: str | None
    instance: int
    generation: int
    registry_address: str | None = None
    minute: int = -1
    bound: tuple[tuple[str, str], ...] = ()
    secret: str = field(default="", repr=False)
    scoreboard_fd: int = -1
    board_fd: int | None = None
    is_first: bool = False
    cache_folder: str | None = None
    lmdb_folder: str | None = None
    metric_file: MetricFile | None = None

    def metrics(self) -> Metrics:
        """The instance's metrics, for this process."""
        return Metrics(read_metrics(self.settings.metrics.metric), self.metric_file)

    def to_memory_file(self) -> int:
        """Write the value to a new memory file; returns its descriptor, at offset 0."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["settings"] = self.settings.to_json()
        values["listeners"] = [dataclasses.asdict(one) for one in self.listeners]
        if self.metric_file is not None:
            values["metric_file"] = dataclasses.asdict(self.metric_file)
        fd = os.memfd_create("uwgate-start", 0)
        os.write(fd, json.dumps(values).encode())
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    @classmethod
    def from_memory_file(cls, fd: int) -> Start:
        """Read what ``to_memory_file`` wrote, and close ``fd``."""
        with os.fdopen(fd, "rb") as file:
            values: dict[str, Any] = json.loads(file.read())
        values["settings"] = Settings.from_json(values["settings"])
        values["bound"] = tuple((role, name) for role, name in values["bound"])
        values["listeners"] = tuple(Listener(**one) for one in values["listeners"])
        if (metrics := values["metric_file"]) is not None:
            values["metric_file"] = MetricFile(metrics["fd"], tuple(metrics["places"]))
        return cls(**values)
