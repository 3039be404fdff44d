"""The spawner: loads the application once, forks the workers, replaces those that die.

It runs no event loop and no thread, so that nothing but the application crosses a fork.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import io
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING

from uwgate.caching.library import ensure_library
from uwgate.conf import control
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.static import StaticOptions
from uwgate.conf.privileges import drop
from uwgate.conf.procname import process_title, set_title
from uwgate.conf.start import Start
from uwgate.workers import api as uwsgi_api
from uwgate.workers import log
from uwgate.workers.alarms import Alarms
from uwgate.workers.application import (
    LoadError,
    change_directory,
    load_applications,
    prepare_interpreter,
)
from uwgate.workers.children import Child
from uwgate.workers.log import say
from uwgate.workers.mounts import Mounts
from uwgate.workers.shared import Shared
from uwgate.workers.worker import EXIT_ENDED, EXIT_NO_APPLICATION, run_worker

if TYPE_CHECKING:
    from uwgate.workers.rules.policy import Compiled

DIRECT = ("uwsgi", "http-socket", "http11-socket")  # roles of listeners
EXIT_CONFIG = 1
STOP_GRACE = 1.0  # seconds between SIGTERM and SIGKILL
REPORT_LIMIT = 32768  # characters of a traceback; the pipe holds it without a reader
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
REPORT_READY = b"R"
REPORT_FAILED = b"F"


class Phase(enum.Enum):
    """What the spawner is doing with its workers."""

    RUN = "run"
    DRAIN = "drain"  # they finish their requests
    STOP = "stop"  # they end now


def main(fd: int) -> None:
    """Be the spawner whose ``Start`` is in the memory file ``fd``; does not return."""
    start = Start.from_memory_file(fd)
    spawner = Spawner(start)
    try:
        status = spawner.run()
    except (ConfigError, LoadError) as error:
        code = EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_NO_APPLICATION
        say(str(error))
        spawner.tell_failure(str(error), code)
        status = code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class Spawner:
    """The supervisor of one generation of workers."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._options = start.settings.workers
        self._control = socket.socket(fileno=start.control_fd)
        self._control.setblocking(False)
        listeners = (one.fd for one in start.listeners)
        metrics = -1 if start.metric_file is None else start.metric_file.fd
        for fd in (start.control_fd, start.life_fd, start.board_fd, metrics, *listeners):
            if fd is not None and fd >= 0:
                os.set_inheritable(fd, False)  # programs that the application runs get none
        self._phase = Phase.RUN
        self._kill_at: float | None = None  # monotonic; the time to lose patience
        self._announced = False  # ready was sent
        self._master = os.getppid()
        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._children = [Child(number + 1) for number in range(self._options.processes)]
        slots = max(1, self._options.processes * self._options.threads)
        self._shared = Shared(slots, start.scoreboard_fd, workers=self._options.processes)
        self._alarms = Alarms(start.settings.alarm)
        if start.scoreboard_fd >= 0:
            os.close(start.scoreboard_fd)
        self._mounts = Mounts(default_allowed=True)
        self._compiled: Compiled | None = None  # rules and files

    def run(self) -> int:
        """Load, fork, supervise; returns the exit status.

        Raises:
            ConfigError: an option cannot be followed.
            LoadError: the application cannot be loaded, and it is needed.
        """
        settings = self._start.settings
        log.configure(settings.log.log_date)
        set_title(process_title(settings.master, "spawner"))
        # Out of the terminal's process group: Ctrl-C is for the master, which asks us to drain.
        with contextlib.suppress(PermissionError):  # leader of a session of its own
            os.setpgid(0, 0)
        # As under uWSGI, what the application prints is part of the log, line by line.
        os.dup2(2, 1)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        self._prepare()
        self._api = uwsgi_api.install(self._start, self._master)
        self._compiled = self._compile()
        self._api.signals = self._shared.signals
        self._api.alarms = self._alarms
        if not self._is_lazy:
            self._mounts = self._load()
        self._handle_signals()
        gc.collect()
        gc.freeze()  # a collection in a worker would write to every page that it shares
        for child in self._children:
            self._fork(child)
        return self._supervise()

    def tell(self, kind: str, **fields: object) -> None:
        """Send a message to the master; a master that is gone is noticed elsewhere."""
        with contextlib.suppress(OSError):
            self._control.send(control.encode(kind, **fields))

    def tell_failure(self, reason: str, code: int) -> None:
        """Send ``failed``. The end of a traceback says more than its beginning."""
        while len(control.encode("failed", reason=reason, code=code)) > control.MAX_MESSAGE:
            reason = reason[len(reason) // 4 + 1 :]
        self.tell("failed", reason=reason, code=code)

    @property
    def _is_lazy(self) -> bool:
        options = self._start.settings.application
        return options.lazy_apps or options.lazy

    def _prepare(self) -> None:
        """Privileges, environment, directory, interpreter.

        Raises:
            ConfigError: one of them cannot be had.
        """
        settings = self._start.settings
        master = settings.master
        if settings.sockets.umask is not None:
            os.umask(settings.sockets.umask)
        if self._start.cache_folder is not None:
            # While we still can read whatever Python is installed where.
            ensure_library(self._start.lmdb_folder)
            from uwgate.caching import caches, service  # noqa: F401
        if self._has_rules:  # most have none, and do not pay for them
            from uwgate.workers.rules import policy  # noqa: F401  as above
        drop(master.uid, master.gid, master.add_gid, master.no_initgroups)
        application = settings.application
        for variable in application.env:
            name, equals, value = variable.partition("=")
            if not equals or not name:
                raise ConfigError(f"env = {variable}: not of the form NAME=value")
            os.environ[name] = value
        for name in application.unenv:
            os.environ.pop(name, None)
        change_directory("chdir", application.chdir)
        prepare_interpreter(application)

    def _load(self) -> Mounts:
        options = self._start.settings.application
        try:
            return load_applications(options, self._api)
        except LoadError as error:
            if options.need_app:
                raise
            say(str(error))
            say("*** no app loaded. every request will be answered 500 ***")
            return Mounts(default_allowed=True)

    @property
    def _has_rules(self) -> bool:
        """Whether workers get requests that have not been through the rules, if there are any."""
        settings = self._start.settings
        if not settings.rules and settings.static == StaticOptions():
            return False
        is_reached = any(one.role in DIRECT for one in self._start.listeners)
        return is_reached or settings.has_gateway("fastrouter")

    def _compile(self) -> Compiled | None:
        """The rules and static files of requests that workers get directly.

        Raises:
            ConfigError: the files that options name are not what they were.
        """
        if not self._has_rules:
            return None
        from uwgate.workers.rules.policy import compile_policy

        return compile_policy(self._start.settings)

    def _handle_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)
        if self._start.life_fd >= 0:
            self._poll.register(self._start.life_fd, select.POLLIN)
        if self._alarms.fileno() >= 0:
            self._poll.register(self._alarms.fileno(), select.POLLIN)

    def _fork(self, child: Child) -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        pid = os.fork()
        if not pid:
            os.close(read)
            self._be_worker(child.number, write)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
        os.close(write)
        again = child.started > 0
        child.begin(pid, read, time.monotonic())
        self._poll.register(read, select.POLLIN)
        if again:
            say(f"Respawned uWSGI worker {child.number} (new pid: {pid})")
        else:
            say(f"spawned uWSGI worker {child.number} (pid: {pid}, cores: {self._options.threads})")
        self.tell("worker", worker=child.number, pid=pid)

    def _be_worker(self, number: int, report_fd: int) -> None:
        """Run the worker in this new process; does not return."""
        status = EXIT_CONFIG
        try:
            signal.set_wakeup_fd(-1)
            for ending in ENDING_SIGNALS:  # until the worker is there to handle them
                signal.signal(ending, lambda *_: os._exit(EXIT_ENDED))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._control.close()
            for child in self._children:
                if child.report_fd >= 0:
                    os.close(child.report_fd)
            if self._is_lazy:
                self._mounts = self._load()

            def ready() -> None:
                os.write(report_fd, REPORT_READY)
                os.close(report_fd)

            status = run_worker(
                self._start, number, self._mounts, self._shared, self._api, self._compiled, ready
            )
        except (ConfigError, LoadError) as error:
            status = EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_NO_APPLICATION
            say(str(error))
            text = str(error)[-REPORT_LIMIT:].encode("utf-8", "replace")
            os.write(report_fd, REPORT_FAILED + bytes((status,)) + text)
        except BaseException:  # a bug of ours: the traceback is the report
            say(traceback.format_exc())
        finally:
            os._exit(status)

    def _supervise(self) -> int:
        while True:
            for fd, _events in self._poll.poll(self._patience()):
                if fd == self._wake_read:
                    self._take_signals()
                elif fd == self._control.fileno():
                    self._take_message()
                elif fd == self._start.life_fd:
                    self._master_gone()
                elif fd == self._alarms.fileno():
                    self._alarms.take()
                else:
                    self._take_report(fd)
            self._reap()
            self._alarms.expire(time.monotonic())
            failure = self._first_failure()
            if failure is not None:
                return failure
            if self._phase is Phase.RUN:
                self._keep_running()
            elif not any(child.pid for child in self._children):
                self._alarms.close()
                return 0
            elif self._kill_at is not None and time.monotonic() >= self._kill_at:
                say("mercy is over: killing the workers that still run")
                self._kill_at = None
                self._kill_all(signal.SIGKILL)

    def _patience(self) -> int:
        """Milliseconds until something is due; -1: nothing is."""
        now = time.monotonic()
        times = [one for one in (self._kill_at, self._alarms.due) if one is not None]
        if self._phase is Phase.RUN:
            times += [child.due for child in self._children if not child.pid]
            if self._options.max_worker_lifetime:
                times += [
                    child.started + self._lifetime(child)
                    for child in self._children
                    if child.pid and not child.recycled
                ]
        if not times:
            return -1
        return max(0, int((min(times) - now) * 1000) + 1)

    def _lifetime(self, child: Child) -> float:
        delta = self._options.max_worker_lifetime_delta * (child.number - 1)
        return self._options.max_worker_lifetime + delta

    def _keep_running(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if not child.pid:
                if now >= child.due:
                    self._fork(child)
            elif (
                self._options.max_worker_lifetime
                and not child.recycled
                and now - child.started >= self._lifetime(child)
            ):
                say(
                    f"worker {child.number} lifetime reached, it was running for "
                    f"{int(now - child.started)} second(s)"
                )
                child.recycled = True
                child.kill(signal.SIGHUP)
        if not self._announced and all(child.ready for child in self._children):
            self._announced = True
            self.tell("ready")

    def _take_signals(self) -> None:
        try:
            numbers = os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()

    def _take_message(self) -> None:
        try:
            packet = self._control.recv(control.MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._master_gone()
            return
        message = control.decode(packet)
        kind = message["type"]
        if kind == "drain":
            self._drain()
        elif kind == "stop":
            self._stop()
        elif kind == "pause":
            self._shared.pause.begin()
        elif kind == "resume":
            self._shared.pause.end()
        elif kind == "signal":
            self._shared.signals.throw(message["number"])
        elif kind == "alarm":
            self._alarms.trigger(message["name"], message["text"].encode("latin-1"))

    def _master_gone(self) -> None:
        for fd in (self._control.fileno(), self._start.life_fd):
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)
        self._drain()

    def _drain(self) -> None:
        if self._phase is Phase.RUN:
            self._phase = Phase.DRAIN
            self._kill_at = time.monotonic() + self._options.worker_reload_mercy
            self._kill_all(signal.SIGHUP)

    def _stop(self) -> None:
        if self._phase is not Phase.STOP:
            self._phase = Phase.STOP
            self._kill_at = time.monotonic() + STOP_GRACE
            self._kill_all(signal.SIGTERM)

    def _kill_all(self, number: signal.Signals) -> None:
        for child in self._children:
            child.kill(number)

    def _take_report(self, fd: int) -> None:
        child = next(one for one in self._children if one.report_fd == fd)
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        child.report += data
        if child.report[:1] == REPORT_READY:
            child.ready = True
        if not data or child.ready:
            self._close_report(child)

    def _close_report(self, child: Child) -> None:
        self._poll.unregister(child.report_fd)
        os.close(child.report_fd)
        child.report_fd = -1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = next((one for one in self._children if one.pid == pid), None)
            if child is None:
                self._alarms.ended(pid, status)  # if not, then
                continue  # the application started it while it was loaded
            if child.report_fd >= 0:
                self._take_report(child.report_fd)
                if child.report_fd >= 0:
                    self._close_report(child)
            if self._phase is Phase.RUN:
                say(child.describe_death(pid, status))
            for core in range(self._options.threads):
                self._shared.leave((child.number - 1) * self._options.threads + core)
            child.end(status, time.monotonic())
            self.tell("gone", worker=child.number, pid=pid, status=status)

    def _first_failure(self) -> int | None:
        """The status to end with, because a worker could not even start the first time."""
        if self._announced or self._phase is not Phase.RUN:
            return None
        for child in self._children:
            if child.report[:1] == REPORT_FAILED and not child.pid:
                code = child.report[1]
                self.tell_failure(child.report[2:].decode("utf-8", "replace"), code)
                for other in self._children:
                    other.kill(signal.SIGKILL)
                return code
        return None
