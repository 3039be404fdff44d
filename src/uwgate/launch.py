"""From a configuration to a running master, and what is cleaned up behind it.

Whatever can be wrong with addresses, names and files is found here, before any process is
started; then the daemon leaves its caller, and trio runs.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable, Mapping

import trio

from uwgate import attaching, exits, fifo, identity, log_file, pid_file
from uwgate.announcing.acknowledgements import Acknowledgements
from uwgate.announcing.plan import make_plan
from uwgate.cache_folder import CacheFolder
from uwgate.conf import logs
from uwgate.conf.errors import ConfigError
from uwgate.conf.metric_file import Ledger
from uwgate.conf.metrics import read_metrics
from uwgate.conf.settings import Settings
from uwgate.daemon import Caller, detach
from uwgate.generation import Commands
from uwgate.legion.legions import Legions, make_seat
from uwgate.log_file import LogFile
from uwgate.master import COMMAND_SIGNALS, Master
from uwgate.notify import Notifier
from uwgate.sockets import Sockets, bind_all, systemd_descriptors

log = logging.getLogger("uwgate.master")


def run(
    settings: Settings,
    commands: Commands,
    load: Callable[[], Settings],
    environ: Mapping[str, str],
) -> int:
    """Run the master until it stops; returns the exit code.

    ``load`` reads the configuration again, for a reload. With ``daemonize`` this returns in
    the daemon only; the calling process exits when the start has succeeded or failed.

    Raises:
        ConfigError: the configuration cannot be used here; nothing was started.
    """
    logs.configure(settings.log)
    identity.check(settings)
    if settings.sockets.umask is not None:
        os.umask(settings.sockets.umask)
    target = _log_path(settings)
    pid_paths = pid_file.paths(settings)
    systemd = systemd_descriptors(environ)
    sockets = _bind(settings, systemd)
    try:
        legions = Legions(make_seat(settings))
    except ConfigError:
        sockets.close_and_vacuum()
        raise
    caller = Caller(-1)
    caches = CacheFolder()
    metrics = Ledger()
    acknowledgements = Acknowledgements()
    try:
        plan = make_plan(settings, sockets, log.warning)
        caches.provide(settings)
        metrics.provide(read_metrics(settings.metrics.metric))
        acknowledgements.open(settings)
        for path in fifo.paths(settings):
            fifo.check_path(path)
        if target is not None:
            log_file.check_writable(target)
        for path in pid_paths:
            pid_file.check_writable(path)
        if settings.master.daemonize is not None:
            caller = detach()
        try:
            file = LogFile(target, settings)
            logs.configure(settings.log, file)
            signal.pthread_sigmask(signal.SIG_BLOCK, COMMAND_SIGNALS)
            for path in pid_paths:
                pid_file.write(path)
        except ConfigError as error:
            caller.release(exits.ERROR, f"{error}\n")
            raise
    except ConfigError:
        acknowledgements.close()
        sockets.close_and_vacuum()
        legions.close()
        caches.remove()
        metrics.close()
        raise
    if identity.runs_as_root(settings):
        log.warning("running as root: give uid and gid to handle requests with less power")
    _raise_descriptor_limit(settings.master.max_fd)
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)  # they were meant for this process alone
    master = Master(
        settings,
        sockets,
        commands,
        load,
        systemd=systemd,
        log_file=file,
        notifier=Notifier(environ),
        caller=caller,
        legions=legions,
        plan=plan,
        acknowledgements=acknowledgements,
        caches=caches,
        metrics=metrics,
    )
    return _run(master, settings, pid_paths, caller)


def _run(master: Master, settings: Settings, pid_paths: list[str], caller: Caller) -> int:
    try:
        return trio.run(master.run)
    except BaseException:
        log.critical("a bug in the master: everything is stopped", exc_info=True)
        return exits.ERROR
    finally:
        caller.release(exits.ERROR, "uwgate ended while it started; see its log\n")
        master.acknowledgements.close()
        master.sockets.close_unless_in(None, remove_files=settings.sockets.vacuum)
        master.legions.close()
        master.caches.remove()
        master.metrics.close()
        if settings.sockets.vacuum:
            for path in pid_paths:
                pid_file.remove(path)


# uWSGI opens logto, daemonize and pidfile before it changes the directory; logto2 and pidfile2
# afterwards.


def _log_path(settings: Settings) -> str | None:
    if settings.log.logto2 is not None:
        return os.path.join(settings.application.chdir or "", settings.log.logto2)
    return settings.master.daemonize or settings.log.logto


def _bind(settings: Settings, systemd: range) -> Sockets:
    gifts = attaching.attach(settings)
    try:
        return _bind_ours(settings, systemd, gifts)
    finally:
        attaching.dispose(gifts)


def _bind_ours(settings: Settings, systemd: range, gifts: attaching.Gifts) -> Sockets:
    # uWSGI's daemonize leaves the umask at 0, and set-ups rely on everybody being able to
    # connect to its UNIX sockets; files that the application writes are not opened up.
    if settings.master.daemonize is not None and settings.sockets.umask is None:
        previous = os.umask(0)
        try:
            return bind_all(settings, log.warning, systemd=systemd, gifts=gifts)
        finally:
            os.umask(previous)
    return bind_all(settings, log.warning, systemd=systemd, gifts=gifts)


def _raise_descriptor_limit(wanted: int) -> None:
    """Allow as many descriptors as possible, or ``wanted`` of them if it is not 0."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted or hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(hard, limit)))
    except (ValueError, OSError) as error:
        log.warning("max-fd = %d: the limit stays at %d (%s)", wanted, soft, error)
