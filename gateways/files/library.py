"""The files that a gateway process serves: which one a request is for, and what is answered.

What is in memory is looked at in the lane, at once. Everything else takes a thread: a disk, or a
network behind it, may take its time, and nobody else shall wait for it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import trio

from uwgate.conf.groups.static import StaticOptions
from uwgate.files import handover
from uwgate.files.answer import Answerer
from uwgate.files.disk import RealDisk
from uwgate.files.finder import Finder, Found, Refused
from uwgate.files.memory import MAX_FILE, Kept, Memory, Whole
from uwgate.files.plan import Extent, Plan, closing_on_error
from uwgate.files.request import Request as Asked
from uwgate.files.resident import (
    BrokenFileError,
    Read,
    bring_in,
    read_resident,
    read_waiting,
)
from uwgate.files.rules import read_rules
from uwgate.gateways.counters import Counters
from uwgate.gateways.exchange import Request
from uwgate.gateways.files.head import fields_of, whole_of
from uwgate.gateways.files.threads import run
from uwgate.gateways.request_log import Answered, RequestLog

THREADS = 8  # that wait for disks; more requests than these wait for one of them
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))

Reply = Whole | Plan
T = TypeVar("T")


class Library:
    """See the module. Whoever gets a Plan closes it.

    ``is_asked``: there are mappings, so that any request may be for a file. ``followed``: the
    fields by which applications name files that are sent for them.
    """

    def __init__(
        self,
        options: StaticOptions,
        counters: Counters,
        *,
        folder: str = "",
        clock: Callable[[], float] = time.time,
        log: RequestLog | None = None,
    ) -> None:
        """``folder``: what relative paths are below. ``clock`` gives seconds since the epoch.
        ``log``: where requests for files have a line, None: nowhere.

        Raises:
            ConfigError: an option cannot be used (any longer).
        """
        disk, cached = RealDisk(), RealDisk(cached=True)
        self.rules = rules = read_rules(options, disk, folder)
        self._counters = counters
        self._log = log
        self.requests = 0  # that were answered with a file, without any worker
        self._clock = clock
        self._finder = Finder(rules, disk)
        self._answerer = Answerer(rules, disk)
        self._quick_finder = Finder(rules, cached)
        self._quick_answerer = Answerer(rules, cached)
        self._memory = Memory(options.static_memory, disk)
        self._prefixes = tuple({mapping.prefix for mapping in rules.mappings})
        self.is_asked = bool(self._prefixes)
        followed = {handover.SENDFILE} if options.static_x_sendfile else set()
        self.followed = frozenset(followed | ({handover.REDIRECT} if rules.internal else set()))
        self._limiter = trio.CapacityLimiter(THREADS)

    # A request's own file

    def look(self, request: Request) -> Reply | None:
        """The answer to a request for a file, without waiting. None: it is for none.

        Raises:
            NotCachedError: ask ``find``.
            OSError: the machine cannot (``status_of``).
        """
        path = request.path
        if not path.startswith(self._prefixes) or request.method not in (b"GET", b"HEAD"):
            return None
        now = self._clock()
        kept = self._memory.get(path)
        if kept is not None:
            whole = self._memory.answer(kept, (request.method, request.wishes), int(now))
            return self._answer_kept(kept, request, now) if whole is None else whole
        asked = _asked(request)
        found = self._quick_finder.find(asked, now)
        if not isinstance(found, Found):
            return self._served(found)
        file = found.file
        with closing_on_error(file):
            if 0 < file.size <= MAX_FILE:
                body = read_resident(file.descriptor, 0, file.size)
                kept = self._memory.keep(path, found, body, now)
                if kept is not None:
                    file.close()
                    return self._answer_kept(kept, request, now)
        plan = self._quick_answerer.answer(found, asked, now)
        return _small(plan, request.method)

    async def find(self, request: Request) -> Reply | None:
        """The same in a thread.

        Raises:
            OSError: the machine cannot (``status_of``).
        """
        kept, reply = await self._in_thread(lambda: self._find(request))
        if kept is not None:
            found, body = kept
            self._memory.keep(request.path, found, body, self._clock())
        return self._served(reply)

    def _find(self, request: Request) -> tuple[tuple[Found, bytes] | None, Reply | Refused | None]:
        now = self._clock()
        asked = _asked(request)
        found = self._finder.find(asked, now)
        if not isinstance(found, Found):
            return None, found
        file = found.file
        kept = None
        with closing_on_error(file):
            if file.size <= MAX_FILE:
                shadow = replace(found, file=replace(file, descriptor=-1))
                kept = shadow, read_waiting(file.descriptor, 0, file.size)
        plan = self._answerer.answer(found, asked, now)
        return kept, _small(plan, request.method, read=read_waiting)

    def _answer_kept(self, kept: Kept, request: Request, now: float) -> Reply:
        plan = self._quick_answerer.answer(kept.found, _asked(request), now)
        reply = _small(plan, request.method, kept.body)
        if isinstance(reply, Whole):
            self._memory.add_answer(kept, (request.method, request.wishes), reply)
        return reply

    def _served(self, reply: Reply | Refused | None) -> Reply | None:
        """What is served; what is refused counts, and is as if it were not there."""
        if not isinstance(reply, Refused):
            return reply
        text = "%r: not served as a file: %s"
        self._counters.refuse("file-refused", text, reply.path[:200], reply.reason)
        return None

    def note(self, request: Request, reply: Reply, began: float | None = None) -> None:
        """Count and log that a request gets its file. ``began``: Unix time; None: just now.

        Of a large file the line is written when its bytes begin to go, and says how many go.
        """
        self.requests += 1
        if self._log is None:
            return
        if isinstance(reply, Whole):
            status, sent = int(reply.head[:3]), len(reply.body)
            fields, size = reply.head.count(b"\n") - 1, len(reply.head)
        else:
            status, sent, fields = reply.status, reply.length, len(reply.fields)
            size = sum(4 + len(name) + len(value) for name, value in reply.fields)
        now = time.time()
        began = now if began is None else began
        self._log.log_block(
            request.block,
            Answered(status, sent, fields, size, began, now - began, isinstance(reply, Plan)),
        )

    # Files that others name

    def names_file(self, head: bytes) -> bool:
        """Whether an application's answer (``head`` as in ``wire.lease``) is to be a file."""
        return handover.names_file(fields_of(head), self.followed)

    def look_named(self, request: Request, head: bytes) -> Reply | Refused:
        """The answer with the file that an application's answer names, without waiting.

        Raises:
            NotCachedError: ask ``find_named``.
            OSError: the machine cannot.
        """
        reply = self._hand_over(request, head, self._quick_finder, self._quick_answerer)
        return reply if isinstance(reply, Refused) else _small(reply, request.method)

    async def find_named(self, request: Request, head: bytes) -> Reply | Refused:
        """The same in a thread. Refused: the application is wrong, and the client gets a 500.

        Raises:
            OSError: the machine cannot.
        """

        def work() -> Reply | Refused:
            reply = self._hand_over(request, head, self._finder, self._answerer)
            return (
                reply
                if isinstance(reply, Refused)
                else _small(reply, request.method, read=read_waiting)
            )

        return await self._in_thread(work)

    def _hand_over(
        self, request: Request, head: bytes, finder: Finder, answerer: Answerer
    ) -> Plan | Refused:
        given = handover.Given(int(head[:3]), tuple(fields_of(head)))
        asked = _asked(request)
        return handover.hand_over(given, asked, finder, answerer, self._clock(), self.followed)

    async def serve_static(
        self, request: Request, path: bytes, root: bytes | None = None
    ) -> Reply | None:
        """The answer with a file that a routing rule names (``routing.results.ServeStatic``).

        None: there is none, or it is not to be served.

        Raises:
            OSError: the machine cannot.
        """

        def work() -> Reply | Refused | None:
            found = self._finder.find_by_rule(path, root)
            if not isinstance(found, Found):
                return found
            plan = self._answerer.answer(found, _asked(request), self._clock())
            return _small(plan, request.method, read=read_waiting)

        reply = await self._in_thread(work)
        return self._served(reply)

    async def serve_bytes(
        self,
        request: Request,
        path: bytes,
        *,
        status: int = 200,
        content_type: bytes | None = None,
        mime: bool = False,
        root: bytes | None = None,
    ) -> Reply | None:
        """The bytes of a file whatever is asked for (``routing.results.ServeFile``).

        ``content_type`` None: none is said. ``mime``: the file's own, if it is known. None: there
        is no such file.

        Raises:
            OSError: the machine cannot.
        """

        def work() -> Reply | Refused | None:
            found = self._finder.find_by_rule(path, root)
            if not isinstance(found, Found):
                return found
            file = found.file
            own = self.rules.types.type_of(file.path) if mime else None
            kind = own or content_type
            fields = ((b"Content-Type", kind),) if kind else ()
            length = (b"Content-Length", b"%d" % file.size)
            has_body = request.method != b"HEAD" and file.size
            pieces = (Extent(file.descriptor, 0, file.size),) if has_body else ()
            plan = Plan(status, (*fields, length), pieces, file)
            return _small(plan, request.method, read=read_waiting)

        reply = await self._in_thread(work)
        return self._served(reply)

    async def bring_in(self, descriptor: int, offset: int, count: int) -> None:
        """Have a part of a file read into memory, in a thread.

        Raises:
            BrokenFileError: it cannot be read.
        """
        try:
            # Cancelled, the thread goes on with a number that may be another file's by then: what
            # it reads is thrown away.
            await trio.to_thread.run_sync(
                bring_in, descriptor, offset, count, abandon_on_cancel=True, limiter=self._limiter
            )
        except OSError as error:
            raise BrokenFileError(error.errno, error.strerror) from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; if nobody waits for it any longer, its file is closed."""
        return await run(work, _close, self._limiter)


def _close(result: object) -> None:
    for one in result if isinstance(result, tuple) else (result,):
        if isinstance(one, Plan):
            one.close()


def status_of(error: OSError) -> int:
    """What a client gets when the machine cannot open or read a file."""
    return 503 if error.errno in EXHAUSTED else 500


def _asked(request: Request) -> Asked:
    return Asked(request.method, request.path, request.target, dict(request.wishes))


def _small(plan: Plan, method: bytes, kept: bytes = b"", read: Read = read_resident) -> Reply:
    """A plan, or what is sent of it if that is little; the plan is closed then."""
    with closing_on_error(plan):
        if plan.length > MAX_FILE:
            return plan
        whole = whole_of(plan, method, kept, read)
    plan.close()
    return whole
