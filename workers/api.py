"""The module ``uwsgi`` that applications import (spec/workers.md section 31)."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uwgate
from uwgate.conf.access_log import memory_usage
from uwgate.conf.board import Lords
from uwgate.conf.procname import set_title
from uwgate.gateways.wire.websocket import Opcode
from uwgate.workers.alarms import AlarmCalls
from uwgate.workers.cache_calls import CacheCalls
from uwgate.workers.chunks import read_chunk, read_chunk_now
from uwgate.workers.log import say
from uwgate.workers.metric_calls import MetricCalls
from uwgate.workers.rpc_calls import RpcCalls
from uwgate.workers.signals import Handler, Signals
from uwgate.workers.slot import Slot, current
from uwgate.workers.websocket import WebSocket, WebSocketClosed, open_websocket

if TYPE_CHECKING:
    from uwgate.conf.start import Start
    from uwgate.workers.worker import Worker

# Names of uWSGI's module that have no meaning here yet: asking for one says so.
NOT_OFFERED = frozenset(
    """
    add_cron add_file_monitor add_ms_timer add_rb_timer add_timer add_var async_connect
    async_sleep cl
    close connect embedded_data extract farm_get_msg farm_msg get_queue
    i_am_the_spooler in_farm is_connected is_locked listen_queue lock
    log_this_request logsize mule_get_msg mule_id mule_msg mule_msg_hook offload parsefile
    queue_get queue_last queue_pop queue_pull queue_pull_slot queue_push queue_set queue_size
    queue_slot recv route send
    send_to_spooler sendfile set_spooler_frequency set_user_harakiri set_warning_message
    sharedarea_dec32 sharedarea_dec64 sharedarea_inc32 sharedarea_inc64 sharedarea_memoryview
    sharedarea_object sharedarea_read sharedarea_read16 sharedarea_read32 sharedarea_read64
    sharedarea_read8 sharedarea_rlock sharedarea_unlock sharedarea_wlock sharedarea_write
    sharedarea_write16 sharedarea_write32 sharedarea_write64 sharedarea_write8
    signal_received signal_wait snmp_decr_counter32 snmp_decr_counter64
    snmp_incr_counter32 snmp_incr_counter64 snmp_set_community snmp_set_counter32
    snmp_set_counter64 snmp_set_gauge spool spooler_get_task spooler_jobs spooler_pid
    spooler_pids spoolers start_response unlock
    websocket_send_binary_from_sharedarea websocket_send_from_sharedarea
    """.split()  # noqa: SIM905  a list of a hundred strings is harder to read
)


class NotOfferedError(AttributeError):
    """uWSGI has it, uwgate does not yet."""


class Api(AlarmCalls, CacheCalls, MetricCalls, RpcCalls, types.ModuleType):
    """The module: constants as attributes, the rest as methods.

    ``applications``, ``post_fork_hook`` and ``atexit`` may be assigned by the application.
    Outside workers ``worker_id()`` is 0.
    """

    SPOOL_OK = -2
    SPOOL_RETRY = -1
    SPOOL_IGNORE = 0

    def __init__(self, start: Start, master: int) -> None:
        super().__init__("uwsgi", "Functions and values of the server that runs this application.")
        settings = start.settings
        self.version = uwgate.__version__.encode()
        self.version_info = (*(int(part) for part in uwgate.__version__.split(".")), 0, b"")
        self.hostname = socket.gethostname().encode()
        self.numproc = settings.workers.processes
        self.cores = settings.workers.threads
        self.has_threads = settings.workers.threads > 1
        self.buffer_size = settings.workers.buffer_size
        self.opt: dict[str, Any] = {
            key: True if value is None else value.encode("utf-8", "surrogateescape")
            for key, value in settings.pairs
        }
        self.magic_table: dict[str, str] = dict(getattr(settings, "magic", None) or {})
        self.sockets = [one.fd for one in start.listeners if one.role not in ("http", "lease")]
        self.started_on = int(time.time())
        self.is_a_reload = start.generation > 1
        self.loop = b""
        self.unbit = False
        self.applications: Any = None
        self.post_fork_hook: Callable[[], object] | None = None
        self.atexit: Callable[[], object] | None = None
        self.slots: list[Slot] = []
        self._worker: Worker | None = None
        self._legions = Lords(start.board_fd)
        self.signals: Signals | None = None
        self._master = master
        self.metrics = start.metrics()
        self.use_caches(start)
        self.use_functions(settings)

    def __getattr__(self, name: str) -> Any:
        if name == "env":
            slot = getattr(current, "slot", None)
            if slot is not None and slot.environ is not None:
                return slot.environ
            raise AttributeError("uwsgi.env exists only while a request runs")
        if name in NOT_OFFERED:
            raise NotOfferedError(f"uwsgi.{name} is not offered yet by uwgate {uwgate.__version__}")
        raise AttributeError(f"module 'uwsgi' has no attribute {name!r}")

    def enter_worker(self, worker: Worker) -> None:
        """This process is a worker now."""
        self._worker = worker

    def call_hook(self, name: str) -> None:
        """Call what the application assigned to a hook; a failure is logged."""
        hook = self.__dict__.get(name)
        if hook is not None:
            try:
                hook()
            except Exception as error:  # the application's: the worker goes on
                say(f"uwsgi.{name}: {type(error).__name__}: {error}")

    def worker_id(self) -> int:
        """The number of this worker, from 1; 0 before the fork."""
        return 0 if self._worker is None else self._worker.number

    def masterpid(self) -> int:
        """The process that takes SIGHUP and SIGTERM for the instance."""
        return self._master

    def request_id(self) -> int:
        """How many requests this slot has begun."""
        slot = getattr(current, "slot", None)
        return 0 if slot is None else slot.requests

    def total_requests(self) -> int:
        """Requests of all workers."""
        return 0 if self._worker is None else self._worker.total_requests()

    def log(self, text: str | bytes) -> bool:
        """Write a line into the log."""
        say(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
        return True

    def set_logvar(self, key: str | bytes, value: str | bytes) -> None:
        """Give ``%(key)`` of log-format a value, for this request."""
        name = key.decode("latin-1") if isinstance(key, bytes) else key
        _slot().logvars[name] = value.encode() if isinstance(value, str) else value

    def get_logvar(self, key: str | bytes) -> bytes | None:
        """What ``set_logvar`` set in this request."""
        name = key.decode("latin-1") if isinstance(key, bytes) else key
        return _slot().logvars.get(name)

    def disconnect(self) -> None:
        """Close the client's connection; the request goes on."""
        session = _slot().session
        if session is not None:
            session.broken = True
            session.sock.shutdown(socket.SHUT_RDWR)

    def connection_fd(self) -> int:
        """The descriptor of the connection that this request came on; -1 without one."""
        session = _slot().session
        return -1 if session is None else session.fd

    def websocket_handshake(
        self,
        key: str | bytes | None = None,
        origin: str | bytes | None = None,
        proto: str | bytes | None = None,
    ) -> None:
        """Make a WebSocket of this request; what is not given is taken from it.

        Raises:
            OSError: it does not ask for one, or has been answered already.
        """
        slot = _slot()
        slot.websocket = open_websocket(slot, key, origin, proto)

    def websocket_recv(self) -> bytes:
        """Wait for the next message.

        Raises:
            OSError: the WebSocket has ended.
        """
        return _websocket().receive()

    def websocket_recv_nb(self) -> bytes:
        """The next message; empty if there is none.

        Raises:
            OSError: the WebSocket has ended.
        """
        return _websocket().receive_now()

    def websocket_send(self, message: str | bytes) -> None:
        """Send a text.

        Raises:
            OSError: the WebSocket has ended.
        """
        _websocket().send(Opcode.TEXT, _bytes(message))

    def websocket_send_binary(self, message: str | bytes) -> None:
        """Send bytes.

        Raises:
            OSError: the WebSocket has ended.
        """
        _websocket().send(Opcode.BINARY, _bytes(message))

    def chunked_read(self, timeout: float = 0) -> bytes:
        """Some of a chunked request body, at least a byte; empty at its end.

        ``timeout``: seconds, 0: option chunked-input-timeout, below 0: for ever.

        Raises:
            OSError: nothing came in time, or the body breaks its framing.
        """
        return read_chunk(_slot(), timeout)

    def chunked_read_nb(self) -> bytes | None:
        """The same without waiting; None if nothing is there.

        Raises:
            OSError: the body breaks its framing.
        """
        return read_chunk_now(_slot())

    def wait_fd_read(self, fd: int, timeout: float = 0) -> None:
        """Let the next ``suspend`` return when ``fd`` is readable, or after ``timeout`` seconds."""
        _slot().waiting.add_reader(fd, timeout)

    def wait_fd_write(self, fd: int, timeout: float = 0) -> None:
        """Let the next ``suspend`` return when ``fd`` is writable, or after ``timeout`` seconds."""
        _slot().waiting.add_writer(fd, timeout)

    def suspend(self) -> bool:
        """Wait for what was asked for with ``wait_fd_*``; the slot stays busy meanwhile."""
        _slot().waiting.wait()
        return True

    green_schedule = suspend

    def ready_fd(self) -> int:
        """The descriptor that ended the last ``suspend``; -1: its time-out did."""
        return _slot().waiting.ready

    def i_am_the_lord(self, name: str | bytes) -> bool:
        """Whether this node is the lord of a legion, at this moment."""
        return self._legions.is_lord(_name(name))

    def legion_term(self, name: str | bytes) -> int:
        """The term of the lordship if this node is lord, else the highest it has heard of.

        Not in uWSGI. What must not be done twice carries it, and is refused below the highest
        term seen.
        """
        notice = self._legions.notice(_name(name))
        return 0 if notice is None else notice.standing.term

    def lord_scroll(self, name: str | bytes) -> bytes | None:
        """The scroll of a legion's lord; None if it has none, or if there is no such legion."""
        notice = self._legions.notice(_name(name))
        return None if notice is None else notice.scrolls.lord

    def scrolls(self, name: str | bytes) -> list[bytes] | None:
        """The scrolls of a legion's nodes, our own first; None if there is no such legion."""
        notice = self._legions.notice(_name(name))
        return None if notice is None else list(notice.scrolls.all)

    def register_signal(self, number: int, target: str, handler: Handler) -> bool:
        """Run ``handler(number)`` in a worker between two requests when this signal is raised.

        ``target``: empty, ``worker`` or ``worker0`` for the next one that has the time,
        ``workers`` for all, ``worker2`` for that one. Handlers of all workers are registered
        while the application is loaded.

        Raises:
            ValueError: there is no such signal or target.
        """
        self._signals().register(number, target, handler)
        return True

    def signal(self, number: int) -> None:
        """Raise a signal; the log says if nobody has registered it, or too many wait already.

        Raises:
            ValueError: there is no such signal.
        """
        self._signals().throw(number)

    def signal_registered(self, number: int) -> int | None:
        """The number of a signal that has a handler, else None."""
        return number if self._signals().is_registered(number) else None

    def _signals(self) -> Signals:
        if self.signals is None:
            raise ValueError("there are no workers")
        return self.signals

    def mem(self) -> tuple[int, int]:
        """Resident memory and address space of this process, in bytes."""
        vsz, rss = memory_usage()
        return rss, vsz

    def micros(self) -> int:
        """Unix time in microseconds."""
        return time.time_ns() // 1000

    def setprocname(self, name: str) -> None:
        """Change the title of this process."""
        set_title(name)

    def reload(self) -> bool:
        """Reload the whole instance gracefully."""
        os.kill(self._master, signal.SIGHUP)
        return True

    def stop(self) -> bool:
        """Stop the whole instance."""
        os.kill(self._master, signal.SIGTERM)
        return True

    def accepting(self, flag: int = 1) -> None:
        """Nothing: a worker accepts as soon as it is ready."""

    def ready(self) -> bool | None:
        """Whether this process serves requests."""
        return True if self._worker is not None else None

    def workers(self) -> tuple[dict[str, Any], ...]:
        """What is known here: this worker only."""
        worker = self._worker
        if worker is None:
            return ()
        vsz, rss = memory_usage()
        return (
            {
                "id": worker.number,
                "pid": os.getpid(),
                "requests": worker.requests,
                "delta_requests": worker.requests,
                "signals": 0,
                "exceptions": worker.exceptions,
                "status": b"busy",
                "rss": rss,
                "vsz": vsz,
                "running_time": 0,
                "last_spawn": int(time.time() - (time.monotonic() - worker.started)),
                "respawn_count": 0,
                "tx": 0,
                "avg_rt": 0,
                "apps": tuple(
                    {
                        "id": mounted.number,
                        "modifier1": 0,
                        "mountpoint": mounted.point.encode(),
                        "requests": mounted.requests,
                        "exceptions": 0,
                    }
                    for mounted in worker.mounts
                ),
            },
        )


def install(start: Start, master: int) -> Api:
    """Make ``import uwsgi`` work in this process."""
    api = Api(start, master)
    sys.modules["uwsgi"] = api
    return api


def _slot() -> Slot:
    slot: Slot | None = getattr(current, "slot", None)
    if slot is None:
        raise RuntimeError("there is no request in this thread")
    return slot


def _websocket() -> WebSocket:
    websocket = _slot().websocket
    if websocket is None:
        raise WebSocketClosed("no WebSocket has been opened with websocket_handshake()")
    return websocket


def _name(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)
