"""A worker process: its signals, its slots, and when it ends."""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import uwgate
from uwgate.conf.access_log import AccessLog, memory_usage
from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import find_user
from uwgate.conf.procname import process_title, set_title
from uwgate.workers.application import DynamicApplications, change_directory
from uwgate.workers.environ import Environ, constants
from uwgate.workers.harakiri import Harakiri
from uwgate.workers.log import say
from uwgate.workers.proxies import Proxies
from uwgate.workers.requests import HeadReader
from uwgate.workers.shared import Shared
from uwgate.workers.slot import Slot
from uwgate.workers.wsgi import FileWrapper, Response

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings
    from uwgate.conf.start import Listener, Start
    from uwgate.workers.api import Api
    from uwgate.workers.mounts import Mounts
    from uwgate.workers.rules.policy import Compiled, Policy

EXIT_ENDED = 30  # the worker was told to end at once
EXIT_NO_APPLICATION = 22
MAX_REFUSALS = 32  # names of refused variables that are remembered, to be logged once


class Listening:
    """A listening socket that the worker's slots share."""

    def __init__(self, listener: Listener) -> None:
        self.role = listener.role
        self.name = listener.name
        self.sock = socket.socket(fileno=listener.fd)
        self.sock.setblocking(False)
        self.is_tcp = self.sock.family in (socket.AF_INET, socket.AF_INET6)


class Worker:
    """What the slots of one worker process share.

    ``number`` counts from 1. ``ending`` becomes True once and for all: then every slot
    finishes its request and returns. ``shared`` is the memory that all workers share.
    """

    def __init__(
        self,
        start: Start,
        number: int,
        mounts: Mounts,
        shared: Shared,
        api: Api,
        compiled: Compiled | None = None,
    ) -> None:
        self.settings: Settings = start.settings
        self.number = number
        self.mounts = mounts
        self.api = api
        self.ending = False
        self.mercy_ends = math.inf  # time.monotonic() at which requests that still run are killed
        self.requests = 0
        self.exceptions = 0
        self.started = time.monotonic()
        self.hostname = socket.gethostname()
        self.life_fd = start.life_fd
        self.stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        options = self.settings.workers
        self.cores = options.threads
        self.listeners = [Listening(one) for one in start.listeners if one.role != "http"]
        self.access_log = AccessLog(self.settings.log, os.getpid(), number, api.metrics)
        self.log_wanted = self.access_log.wanted
        self.heads = HeadReader(self.settings)
        application = self.settings.application
        wrapper: type[FileWrapper] | None = (
            PlainFileWrapper if options.disable_sendfile else FileWrapper
        )
        if application.wsgi_disable_file_wrapper:
            wrapper = None
        self.constants = constants(
            threads=options.threads,
            processes=options.processes,
            file_wrapper=wrapper,
            version=uwgate.__version__,
            hostname=self.hostname,
        )
        self.dynamic = (
            DynamicApplications(application.callable) if application.allow_dynamic_apps else None
        )
        self.proxies = Proxies(self.settings.edge)
        self.trusted_users = _trusted_users(self.settings)
        timeout = self.settings.http.http_timeout
        if timeout:
            timeout = max(timeout, self.settings.fastrouter.fastrouter_timeout)
        # Gateways have their own time-out and give up first; this one is for one that hangs.
        self.lease_timeout = 2 * timeout + options.socket_timeout if timeout else None
        self.harakiri = Harakiri()
        self.policy: Policy | None = None  # of requests that come here directly
        if compiled is not None:
            # Here, for most workers have no rules.
            from uwgate.workers.rules.policy import Policy

            self.policy = Policy(compiled, self)
        self.shared = shared
        answers = self.settings.cache.cache_remote
        self.caches = api.cache_server if answers else None  # answers commands of others
        self.first_slot = (number - 1) * options.threads  # its place in shared memory
        self._limit = 0
        if options.max_requests:
            self._limit = options.max_requests + (number - 1) * options.max_requests_delta
        self._watch_memory = bool(options.reload_on_rss or options.reload_on_as)
        self._refused: set[str] = set()

    def count(self, core: int) -> None:
        """A request begins on a slot."""
        self.shared.count(self.first_slot + core)
        self.requests += 1
        if self._limit and self.requests >= self._limit and self._may_recycle():
            self.end("max-requests")

    def total_requests(self) -> int:
        """Requests of all workers since the spawner started."""
        return self.shared.total()

    def after_request(self, response: Response) -> None:
        """A request is over: look whether the worker has to be replaced."""
        if response.error is not None:
            self.exceptions += 1
            if self.settings.application.reload_on_exception:
                self.end("an exception of the application")
        if self._watch_memory and self._may_recycle():
            options = self.settings.workers
            vsz, rss = memory_usage()
            if options.reload_on_rss and rss >= options.reload_on_rss << 20:
                self.end(f"{rss >> 20} MB of resident memory")
            elif options.reload_on_as and vsz >= options.reload_on_as << 20:
                self.end(f"{vsz >> 20} MB of address space")

    def end(self, reason: str) -> None:
        """Let every slot finish what it does, and then the process end."""
        if not self.ending:
            self.mercy_ends = time.monotonic() + self.settings.workers.worker_reload_mercy
            self.ending = True
            os.eventfd_write(self.stop_fd, 1)
            say(f"Gracefully ending worker {self.number} (pid: {os.getpid()}): {reason}")

    def refuse_dynamic(self, name: str) -> None:
        """Log, once per name, that a request tried to make us load something."""
        if name not in self._refused and len(self._refused) < MAX_REFUSALS:
            self._refused.add(name)
            say(f"request with {name} refused (403): allow-dynamic-apps is off")

    def peer_gone(self, variables: Environ) -> None:
        """Log that a client went away while it was being answered."""
        options = self.settings.workers
        if not options.ignore_write_errors and not options.ignore_sigpipe:
            method = variables.get("REQUEST_METHOD", "")
            uri = variables.get("REQUEST_URI", "")
            say(f"client went away during {method} {uri!r} ({variables.get('REMOTE_ADDR', '')})")

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until the end; ``ready`` is called when the worker accepts."""
        slots = [Slot(self, core) for core in range(self.cores)]
        self.api.slots = slots
        threads = [
            threading.Thread(
                target=self._run_slot,
                args=(slot,),
                name=f"uWSGIWorker{self.number}Core{slot.core}",
                daemon=True,
            )
            for slot in slots[1:]
        ]
        threading.current_thread().name = f"uWSGIWorker{self.number}Core0"
        for thread in threads:
            thread.start()
        ready()
        slots[0].run()
        deadline = time.monotonic() + self.settings.workers.worker_reload_mercy
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run_slot(self, slot: Slot) -> None:
        """A slot in a thread of its own. A bug there ends the worker, as in the main thread."""
        try:
            slot.run()
        except BaseException:
            say(traceback.format_exc())
            self.end("a slot crashed")

    def _may_recycle(self) -> bool:
        return time.monotonic() - self.started >= self.settings.workers.min_worker_lifetime


class PlainFileWrapper(FileWrapper):
    """A file wrapper that is never sent by the kernel."""


def run_worker(
    start: Start,
    number: int,
    mounts: Mounts,
    shared: Shared,
    api: Api,
    compiled: Compiled | None,
    ready: Callable[[], None],
) -> int:
    """Everything between fork and exit; returns the exit status.

    Raises:
        ConfigError: something that the options name does not work here.
    """
    settings = start.settings
    set_title(process_title(settings.master, f"worker {number}"))
    worker = Worker(start, number, mounts, shared, api, compiled)
    _handle_signals(worker)
    api.enter_worker(worker)
    change_directory("chdir2", settings.application.chdir2)
    api.call_hook("post_fork_hook")
    worker.run(ready)
    api.call_hook("atexit")
    sys.stdout.flush()
    sys.stderr.flush()
    return 0


def _handle_signals(worker: Worker) -> None:
    signal.signal(signal.SIGHUP, lambda *_: worker.end("SIGHUP"))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_ENDED))
    signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_ENDED))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, lambda *_: _say_statistics(worker))
    faulthandler.register(signal.SIGUSR2, file=2)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _say_statistics(worker: Worker) -> None:
    say(
        f"worker {worker.number} (pid: {os.getpid()}): {worker.requests} requests, "
        f"{worker.exceptions} exceptions, {memory_usage()[1]} bytes resident"
    )


def _trusted_users(settings: Settings) -> frozenset[int]:
    """Who may open leases: root, ourselves and the gateways."""
    users = {0, os.getuid()}
    with_leases = (settings.http_corerouter, settings.fastrouter_corerouter)
    for name in (*(one.uid for one in with_leases), settings.master.uid):
        if name is not None:
            try:
                users.add(find_user(name))
            except ConfigError:
                say(f"no leases for user {name}: there is none of that name")
    return frozenset(users)
