"""Request lines in the log: uWSGI's, a readable one, or one of your own (spec section 22)."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from uwgate.conf.groups.log import LogOptions
from uwgate.conf.metric_file import Metrics

MAX_LINE = 4096  # bytes; of a longer line the parts that the client chose are left out
READABLE = (
    '%(addr) %(user) "%(method) %(uri) %(proto)" %(status) %(rsize) bytes, %(msecs) ms, '
    "worker %(wid)"
)
_VARIABLE = re.compile(r"%\(([^)]*)\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PAGE = resource.getpagesize()

_ctime = (0, "")


class Entry(NamedTuple):
    """What is known about one request when it is over. ``began`` is Unix time in seconds."""

    variables: Mapping[str, Any]
    block_size: int
    began: float
    seconds: float
    status: int
    sent: int
    header_count: int
    header_size: int
    sendfile: bool
    failed: bool
    application: int  # number of the application, -1: none
    application_requests: int
    total_requests: int
    core: int
    logvars: dict[str, bytes]


Part = Callable[[Entry], object]


def write(line: bytes) -> None:
    """Write a whole line; a log that cannot be written stops nobody."""
    with contextlib.suppress(OSError):
        os.write(2, line)


class AccessLog:
    """Writes one line per request, with one write to descriptor 2.

    ``pid`` and ``worker`` are those of the process that uses it. ``metrics`` are for
    ``%(metric.NAME)``, which is 0 if there is none of that name.
    """

    def __init__(
        self, options: LogOptions, pid: int, worker: int, metrics: Metrics | None = None
    ) -> None:
        self._options = options
        self._metrics = metrics or Metrics()
        self._pid = pid
        self._worker = worker
        self._all = options.log_requests
        self._some = bool(
            options.log_4xx
            or options.log_5xx
            or options.log_slow
            or options.log_zero
            or options.log_big
        )
        self._unit = "micros" if options.log_micros else "msecs"
        self._factor = 1_000_000 if options.log_micros else 1000
        self._format: list[str | Part] | None = None
        if options.log_format not in (None, "uwsgi"):
            text = READABLE if options.log_format == "readable" else options.log_format
            self._format = self._compile(text or "")

    @property
    def wanted(self) -> bool:
        """Whether any request can be logged; if not, none needs an ``Entry``."""
        return self._all or self._some

    def log(self, entry: Entry) -> None:
        """Write the line of a request, if the options want it."""
        if not self._all and not self._passes(entry):
            return
        if self._format is None:
            line = self._uwsgi_line(entry)
        else:
            parts = [
                part if isinstance(part, str) else _clean(str(part(entry))) or "-"
                for part in self._format
            ]
            line = "".join(parts)
        write((line + "\n").encode("latin-1", "backslashreplace"))

    def refused(self, peer: object, status: int, reason: str) -> None:
        """Write a line about a request that never became one."""
        if self._all or (self._options.log_4xx and 400 <= status < 500):
            address = peer[0] if isinstance(peer, tuple) else ""
            line = f"[pid: {self._pid}] {address} => {status} ({_clean(reason)})\n"
            write(line.encode("latin-1", "backslashreplace"))

    def _passes(self, entry: Entry) -> bool:
        options = self._options
        return bool(
            (options.log_zero and not entry.sent)
            or (options.log_slow and entry.seconds * 1000 >= options.log_slow)
            or (options.log_4xx and 400 <= entry.status < 500)
            or (options.log_5xx and 500 <= entry.status < 600)
            or (options.log_big and entry.sent >= options.log_big)
        )

    def _uwsgi_line(self, entry: Entry) -> str:
        get = entry.variables.get
        memory = ""
        if self._options.memory_report:
            vsz, rss = memory_usage()
            memory = (
                f"{{address space usage: {vsz} bytes/{vsz >> 20}MB}} "
                f"{{rss usage: {rss} bytes/{rss >> 20}MB}} "
            )
        client = (
            self._address(entry),
            get("REMOTE_USER", ""),
            get("REQUEST_METHOD", ""),
            get("REQUEST_URI", ""),
            get("SERVER_PROTOCOL", ""),
        )
        line = self._fill(entry, memory, client)
        if len(line) >= MAX_LINE:
            line = self._fill(entry, memory, ("0.0.0.0", "", "-", "-", "-"))
        return line if line.isprintable() else _clean(line)

    def _fill(self, entry: Entry, memory: str, client: tuple[str, str, str, str, str]) -> str:
        address, user, method, uri, protocol = client
        return (
            f"{memory}[pid: {self._pid}|app: {entry.application}|req: "
            f"{entry.application_requests}/{entry.total_requests}] {address} ({user}) "
            f"{{{2 * len(entry.variables)} vars in {entry.block_size} bytes}} "
            f"[{ctime(entry.began)}] {method} {uri} => generated {entry.sent} bytes in "
            f"{int(entry.seconds * self._factor)} {self._unit} "
            f"{'via sendfile() ' if entry.sendfile else ''}({protocol} {entry.status}) "
            f"{entry.header_count} headers in {entry.header_size} bytes "
            f"(1 switches on core {entry.core})"
        )

    def _address(self, entry: Entry) -> str:
        if self._options.log_x_forwarded_for:
            forwarded = entry.variables.get("HTTP_X_FORWARDED_FOR")
            if forwarded:
                return str(forwarded).partition(",")[0].strip()
        return str(entry.variables.get("REMOTE_ADDR", ""))

    def _compile(self, text: str) -> list[str | Part]:
        parts: list[str | Part] = []
        end = 0
        for match in _VARIABLE.finditer(text):
            parts.append(text[end : match.start()])
            parts.append(self._part(match[1]))
            end = match.end()
        parts.append(text[end:])
        return [part for part in parts if part != ""]

    def _part(self, name: str) -> Part:
        own: dict[str, Part] = {
            "pid": lambda entry: self._pid,
            "wid": lambda entry: self._worker,
            "addr": self._address,
        }
        known = own.get(name) or PARTS.get(name)
        if known is not None:
            return known
        kind, dot, rest = name.partition(".")
        if dot and kind == "var":
            return lambda entry: entry.variables.get(rest, "")
        if dot and kind == "metric":
            return lambda entry: self._metrics.get(rest) or 0
        return lambda entry: entry.logvars.get(name, b"").decode("latin-1")


def _variable(name: str) -> Part:
    return lambda entry: entry.variables.get(name, "")


def _host(entry: Entry) -> object:
    return entry.variables.get("HTTP_HOST") or entry.variables.get("SERVER_NAME", "")


PARTS: dict[str, Part] = {
    "uri": _variable("REQUEST_URI"),
    "method": _variable("REQUEST_METHOD"),
    "user": _variable("REMOTE_USER"),
    "host": _host,
    "proto": _variable("SERVER_PROTOCOL"),
    "uagent": _variable("HTTP_USER_AGENT"),
    "referer": _variable("HTTP_REFERER"),
    "cl": lambda entry: entry.variables.get("CONTENT_LENGTH") or 0,
    "status": lambda entry: entry.status,
    "rsize": lambda entry: entry.sent,
    "hsize": lambda entry: entry.header_size,
    "size": lambda entry: entry.sent + entry.header_size,
    "micros": lambda entry: int(entry.seconds * 1_000_000),
    "msecs": lambda entry: int(entry.seconds * 1000),
    "secs": lambda entry: f"{entry.seconds:.6f}",
    "time": lambda entry: int(entry.began),
    "tmsecs": lambda entry: int(entry.began * 1000),
    "tmicros": lambda entry: int(entry.began * 1_000_000),
    "ctime": lambda entry: ctime(entry.began),
    "ltime": lambda entry: _ltime(entry.began),
    "ftime": lambda entry: _ltime(entry.began),
    "epoch": lambda entry: int(time.time()),
    "core": lambda entry: entry.core,
    "switches": lambda entry: 1,
    "vars": lambda entry: 2 * len(entry.variables),
    "pktsize": lambda entry: entry.block_size,
    "modifier1": lambda entry: 0,
    "modifier2": lambda entry: 0,
    "headers": lambda entry: entry.header_count,
    "vsz": lambda entry: memory_usage()[0],
    "rss": lambda entry: memory_usage()[1],
    "vszM": lambda entry: memory_usage()[0] >> 20,
    "rssM": lambda entry: memory_usage()[1] >> 20,
    "werr": lambda entry: int(entry.failed),
    "rerr": lambda entry: 0,
    "ioerr": lambda entry: int(entry.failed),
}


def ctime(moment: float) -> str:
    """The 24 characters of ctime, in local time."""
    global _ctime
    second = int(moment)
    if _ctime[0] != second:
        _ctime = second, time.ctime(second)
    return _ctime[1]


def memory_usage() -> tuple[int, int]:
    """Address space and resident memory of this process, in bytes."""
    with open("/proc/self/statm") as statm:
        pages = statm.read().split()
    return int(pages[0]) * _PAGE, int(pages[1]) * _PAGE


def _ltime(moment: float) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(moment))


def _clean(text: str) -> str:
    """No client may write lines of its own into the log."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
