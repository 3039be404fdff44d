"""The process that looks after the caches of an instance.

It opens their files before anybody else does, puts into them what the options name, removes what
is over, follows the changes of other instances, and gives the places of dead readers free. All
others use the files by themselves: nobody waits for this process, and when it is killed they go on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable

import trio

from uwgate.caching import datagrams
from uwgate.caching.cache import LocalCache
from uwgate.caching.caches import SHARED_MODE, shared_caches
from uwgate.caching.datagrams import MAX_DATAGRAM, DatagramError
from uwgate.caching.preload import import_store, preload
from uwgate.caching.sealing import Opener
from uwgate.caching.store import StoreError
from uwgate.caching.verification import verify
from uwgate.conf.errors import ConfigError
from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.counters import Counters

log = logging.getLogger("uwgate.cache")

KIND = "cache"
ROLE = "cache-udp"  # sockets for changes; the endpoint is the name of the cache
READERS_PERIOD = 5.0  # seconds between two looks for dead readers
TICK = 1.0  # seconds
BURST = 64  # datagrams of one socket until others get their turn
ERROR_PAUSE = 0.1  # seconds
REMOVALS = 20  # times to try
REMOVAL_PAUSE = 0.1  # seconds


class Receiver:
    """Follows the changes that come in on one socket."""

    def __init__(
        self, sock: socket.socket, cache: LocalCache, opener: Opener | None, counters: Counters
    ) -> None:
        self._sock = sock
        self._cache = cache
        self._opener = opener
        self._counters = counters
        sock.setblocking(False)

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                for _ in range(BURST):
                    # One byte more than may be, so that what is too long shows.
                    self.take(*self._sock.recvfrom(MAX_DATAGRAM + 1))
                await trio.lowlevel.checkpoint()
            except BlockingIOError:
                continue
            except OSError as error:
                log.error("cache %s: cannot receive: %s", self._cache.spec.name, error.strerror)
                await trio.sleep(ERROR_PAUSE)

    def take(self, datagram: bytes, sender: object) -> None:
        """Follow one datagram, or count why not."""
        name = self._cache.spec.name
        try:
            if self._opener is not None:
                datagram = self._opener.open(datagram, time.time())
            change = datagrams.decode(datagram)
            if self._cache.apply(change):
                self._count(accepted=True)
                return
            reason = "does not fit"
        except DatagramError as error:
            reason = str(error)
        except StoreError as error:
            reason = "store not usable"
            log.error("%s", error)
        self._count(accepted=False)
        self._counters.refuse(
            f"cache {name}: {reason}",
            "cache %s: a datagram of %s is refused: %s",
            name,
            sender,
            reason,
            level=logging.WARNING,
        )

    def _count(self, *, accepted: bool) -> None:
        with contextlib.suppress(StoreError):
            self._cache.store.note(lambda tally: tally.count_change(accepted=accepted))


class CacheProcess:
    """See the module.

    Raises:
        ConfigError: a store cannot be used, or something cannot be put into a cache.
    """

    def __init__(self, start: Start) -> None:
        assert start.cache_folder is not None
        self._options = start.settings.cache
        self._counters = Counters(log)
        self._folder = start.cache_folder
        caches = shared_caches(start)
        assert caches is not None
        self.caches = caches
        shared = start.settings.has_several_users
        for cache in self.caches.local.values():
            _open(cache)
            if shared:
                _share(cache)
        self._preload(start)
        self._receivers = [self._receiver(one) for one in start.listeners if one.role == ROLE]

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Look after the caches until cancelled."""
        task_status.started()
        async with trio.open_nursery() as tasks:
            for receiver in self._receivers:
                tasks.start_soon(receiver.run)
            for cache in self.caches.local.values():
                period = self._options.cache_expire_freq
                tasks.start_soon(self._every, period, cache, self._sweep)
                tasks.start_soon(self._every, READERS_PERIOD, cache, self._forget_dead)
                if cache.spec.store and cache.spec.store_sync:
                    tasks.start_soon(self._every, cache.spec.store_sync, cache, _sync)
            while True:
                self._counters.tick(trio.current_time())
                await trio.sleep(TICK)

    def drain(self, idle: float) -> None:
        """There is nothing that would have to end."""

    async def drained(self) -> None:
        """When the files are on the disk."""
        for cache in self.caches.local.values():
            if cache.spec.store:
                try:
                    await trio.to_thread.run_sync(_sync, cache)
                except StoreError as error:
                    log.error("%s", error)

    def renew(self, name: str, material: bytes) -> None:
        """There is no TLS here."""

    def _preload(self, start: Start) -> None:
        """Once in a generation: what the application has changed since is not to be lost."""
        mark = os.path.join(self._folder, f"preloaded-{start.generation}")
        if os.path.exists(mark):
            return
        preload(self.caches, self._options, is_first=start.is_first)
        os.close(os.open(mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def _receiver(self, listener: Listener) -> Receiver:
        cache = self.caches.local[listener.endpoint]
        options = self._options
        opener = None
        if options.cache_udp_key is None:
            log.warning(
                "cache %s: whoever can send to %s can change it: give a cache-udp-key",
                cache.spec.name,
                listener.name,
            )
        else:
            opener = Opener(
                options.cache_udp_key.encode(),
                cache.spec.name,
                skew=options.cache_udp_skew,
                since=time.time() - 1.0,  # datagrams have waited for us
            )
        return Receiver(socket.socket(fileno=os.dup(listener.fd)), cache, opener, self._counters)

    async def _every(
        self, period: float, cache: LocalCache, work: Callable[[LocalCache], None]
    ) -> None:
        while True:
            await trio.sleep(period)
            try:
                await trio.to_thread.run_sync(work, cache)
            except StoreError as error:
                self._counters.refuse("store", "%s", error, level=logging.ERROR)

    def _sweep(self, cache: LocalCache) -> None:
        removed = cache.store.sweep()
        if removed and self._options.cache_report_freed_items:
            log.info('freed %d items for cache "%s"', removed, cache.spec.name)

    def _forget_dead(self, cache: LocalCache) -> None:
        dead = cache.store.forget_dead()
        if dead:
            log.info("cache %s: %d readers have died", cache.spec.name, dead)


def _open(cache: LocalCache) -> None:
    """Open a cache, and its file if it has one.

    Raises:
        ConfigError: that is not possible.
    """
    spec, path = cache.spec, cache.store.path
    try:
        if spec.store and os.path.exists(path) and os.path.getsize(path):
            if import_store(path, cache):
                return
            problem = verify(path)
            if problem is not None and not spec.store_delete:
                raise ConfigError(
                    f"cache {spec.name}: {path} is no sound store: {problem}; remove it, or let "
                    "store_delete=1 do that"
                )
            if problem is not None:
                log.warning("cache %s: %s: %s: begun anew", spec.name, path, problem)
                os.unlink(path)
        cache.store.prepare()
    except (StoreError, OSError) as error:
        raise ConfigError(f"cache {spec.name}: {error}") from error


def _sync(cache: LocalCache) -> None:
    cache.store.sync()


def _share(cache: LocalCache) -> None:
    """Let processes of other users use the files: the way there has a secret name."""
    for path in cache.store.files:
        os.chmod(path, SHARED_MODE)


def main(fd: int) -> None:
    """Look after the caches; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    if not service.run(KIND, start, CacheProcess, None, None) and start.cache_folder is not None:
        # The master was killed: nobody else is left to do it.
        _remove(start.cache_folder)


def _remove(folder: str) -> None:
    """Remove the caches, though somebody may be making a file there at this moment."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(REMOVAL_PAUSE)
