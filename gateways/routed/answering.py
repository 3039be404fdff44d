"""What a client gets of a request that has rules, wherever the answer comes from.

Its head goes through the rules for responses, its body through transformations, piece by piece,
and the final rules run before the last piece goes out.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from uwgate.conf.errors import BackendError
from uwgate.gateways.exchange import Exchange, Reply, Request, UnansweredError
from uwgate.gateways.pages import error_parts
from uwgate.gateways.request_log import Answered
from uwgate.gateways.routed.body import Body, Read, changes_bytes, take_chunked
from uwgate.gateways.routed.course import Course
from uwgate.gateways.routed.deadline import Deadline
from uwgate.gateways.routed.files import FileAnswer, NoFileError
from uwgate.gateways.routed.head import BODILESS, MAX_HEAD, join_head, split_head
from uwgate.gateways.wire.lease import CHUNKED, LENGTH
from uwgate.gateways.wire.response import ResponseError, parse_response
from uwgate.routing.conversation import settle
from uwgate.routing.effects import CacheStore, Effect, LogVariable, SetHarakiri
from uwgate.routing.results import (
    Answer,
    Break,
    Continue,
    RawAnswer,
    ServeFile,
    ServeStatic,
    Verdict,
)
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.stream import Pipeline, has_header, replace_header

if TYPE_CHECKING:
    from uwgate.gateways.routed.policy import Policy

MAX_SKIPPED = 65536  # bytes of an answer that are read though nobody gets them


class WholeAnswer(NamedTuple):
    """What a client gets: flags and head as in ``wire.lease``, and the body."""

    flags: int
    head: bytes
    body: bytes


async def _nothing() -> tuple[bytes, bool]:
    return b"", True


class Answering:
    """One answer: the half of an exchange that gives it."""

    __slots__ = (
        "_answering",
        "_body",
        "_deadline",
        "_file",
        "_finished",
        "_has_length",
        "_head_size",
        "_inner",
        "_is_own",
        "_logvars",
        "_no_body",
        "_offered",
        "_policy",
        "_read",
        "_request",
        "_talk",
        "_transaction",
    )

    def __init__(self, policy: Policy, request: Request) -> None:
        self._policy = policy
        self._request = request
        self._transaction = Transaction(policy.variables.read(request.block), time.time())
        self._talk = policy.rule_set.converse(self._transaction, policy.outside)
        self._inner: Exchange | None = None  # of whoever was asked
        self._file: FileAnswer | None = None
        self._read: Read = _nothing  # the answer's body, as it comes
        self._body: Body | None = None  # the same, as it goes
        self._no_body = False  # the answer has none, whatever comes
        self._has_length = False  # it says how long it is
        self._finished = False  # the final rules have run
        self._is_own = False  # nobody else will log the request
        self._head_size: tuple[int, int] | None = None  # fields and bytes of the head that went
        self._offered = 0  # bytes of a file that the kernel may send
        self._logvars: dict[str, bytes] = {}
        self._deadline = Deadline()
        self._answering: Course | None = None  # the rules for the response, if they have begun

    async def read(self) -> tuple[bytes, bool]:
        assert self._body is not None
        with self._deadline.kept():
            data, last = await self._body.read()
        if self._no_body:
            data = b""
        self._transaction.size += len(data)
        if last:
            tail = await self._finish()
            if not self._has_length and not self._no_body:
                data += tail
        return data, last

    def end(self) -> None:
        self._conclude()
        self._log()

    def _log(self) -> None:
        """Write the request's line, once, unless a worker does, or nothing was sent."""
        transaction, log = self._transaction, self._policy.request_log
        if log is None or not self._is_own or self._head_size is None or not transaction.logged:
            return
        self._is_own = False
        sent = transaction.size or self._offered
        fields, size = self._head_size
        took = time.time() - transaction.started
        answered = Answered(
            transaction.status,
            sent,
            fields,
            size,
            transaction.started,
            took,
            sent > transaction.size,
        )
        log.log(transaction.variables, answered, self._logvars)

    def _conclude(self) -> None:
        self._drop()
        if self._file is not None:
            self._file.close()
        if self._finished:
            return
        self._finished = True
        if self._body is not None:
            self._body.abandon()
        if self._talk.rules.final:
            settle(self._talk.finish(), lambda question: None)  # nobody waits for answers now
        self._perform()

    async def _skip(self, last: bool) -> None:
        """Read what is left of an answer that nobody gets; if it is small, its worker is kept."""
        size = 0
        with suppress(BackendError):
            while not last and self._inner is not None and size < MAX_SKIPPED:
                data, last = await self._inner.read()
                size += len(data)

    def _drop(self) -> None:
        """Give up the backend's answer."""
        if self._inner is not None:
            self._inner.end()

    # What rules say

    async def _run(self, course: Course) -> Verdict:
        """Run a chain to its end, answering what it asks."""
        try:
            course.start()
            while (question := course.question) is not None:
                if isinstance(question, ServeStatic | ServeFile):
                    if await self._open(question) is None:
                        return question
                    course.answer(False)
                else:
                    course.answer(await self._policy.questions.answer(question))
        finally:
            self._perform()
        assert course.verdict is not None
        return course.verdict

    def _perform(self) -> None:
        """Do what rules want done so far."""
        transaction = self._transaction
        if not transaction.effects:
            return
        effects: list[Effect] = []
        for effect in transaction.effects:
            if isinstance(effect, SetHarakiri):
                self._deadline.set(effect.seconds)
            elif isinstance(effect, LogVariable):
                self._logvars[effect.name.decode("latin-1")] = effect.value
            else:
                effects.append(effect)
        transaction.effects.clear()
        self._policy.effects.perform(effects)

    async def _finish(self) -> bytes:
        """Run the final rules; what they send behind the response."""
        transaction = self._transaction
        if self._finished:
            return b""
        self._finished = True
        transaction.duration = time.time() - transaction.started
        # A copy for the cache is there when the client has its answer, and asks again.
        copies = [one for one in transaction.effects if isinstance(one, CacheStore)]
        for copy in copies:
            transaction.effects.remove(copy)
            await self._policy.effects.store(copy)
        await self._run(Course(self._talk.finish()))
        tail = bytes(transaction.body)
        transaction.body.clear()
        return tail

    async def _follow(self, verdict: Verdict) -> Reply:
        """The beginning of an answer that no application gives."""
        self._is_own = self._is_own or self._inner is None
        self._drop()
        match verdict:
            case Answer():
                return await self._answer(verdict)
            case ServeStatic() | ServeFile():
                return await self._send_wanted(verdict)
            case RawAnswer(data):
                return await self._answer_raw(data)
            case Break(reason=None):
                await self._finish()
                raise UnansweredError("by a rule")
            case Break(str(reason), status):
                return await self._break(reason, status or 500)
            case _:
                what = type(verdict).__name__
                return await self._break(f"{what}: the request was answered already", 500)

    async def _answer(self, answer: Answer) -> Reply:
        """Give a rule's answer, which has been through the rules for responses."""
        self._take(answer)
        return await self._emit(answer.body, last=True)

    def _take(self, answer: Answer) -> None:
        transaction, request = self._transaction, self._request
        transaction.set_status(answer.status, answer.reason)
        transaction.headers = list(answer.headers)
        if answer.close:
            request.keep_alive = False
        self._no_body = request.method == b"HEAD" or answer.status in BODILESS

    async def _answer_raw(self, data: bytes) -> Reply:
        """Give an answer that is in one piece, head and all."""
        head, mark, body = data.partition(b"\r\n\r\n")
        try:
            if not mark:
                raise ResponseError("a head without its end")
            parsed = parse_response(head, b"GET")
        except ResponseError as error:
            return await self._break(str(error), 500)
        return await self._respond(*split_head(parsed.head), body, last=True)

    async def _break(self, reason: str, status: int) -> Reply:
        """Answer in our own name. Nothing that rules have prepared goes with it."""
        counters = self._policy.counters
        counters.refuse(f"answer-{status}", "rules: %s: %d: %s", self._request, status, reason)
        transaction = self._transaction
        head, page = error_parts(status)
        code, phrase, transaction.headers = split_head(head)
        transaction.set_status(code, phrase)
        transaction.added.clear()
        transaction.transformations.clear()
        self._read = _nothing
        return await self._emit(page, last=True)

    # Files

    async def _open(self, wanted: ServeStatic | ServeFile) -> NoFileError | None:
        """Open a file. What is wrong with it is returned."""
        try:
            self._keep(await self._policy.files.open(wanted, self._request))
        except NoFileError as error:
            return error
        return None

    def _keep(self, file: FileAnswer) -> None:
        if self._file is not None:
            self._file.close()
        self._file = file

    async def _send_wanted(self, wanted: ServeStatic | ServeFile) -> Reply:
        # One that goes on without its file has been opened to see whether it is there.
        if not wanted.optional:
            error = await self._open(wanted)
            if error is not None:
                return await self._break(str(error), error.status)
        return await self._send_file()

    async def _send_file(self) -> Reply:
        file = self._file
        assert file is not None
        self._policy.library.requests += 1
        plan = file.plan
        self._read = _nothing if plan is None else self._policy.files.reader(plan).read
        if file.by_kernel:
            self._transaction.transformations.clear()
        return await self._respond(file.status, file.reason, file.headers, file.body, plan is None)

    # The response

    async def _respond(
        self, status: int, reason: bytes, headers: list[Header], body: bytes, last: bool
    ) -> Reply:
        """Begin with an answer that the rules for responses have not seen yet."""
        transaction = self._transaction
        course, self._answering = self._answering, None
        verdict = await self._run(course or Course(self._talk.respond(status, reason, headers)))
        if not isinstance(verdict, Continue):
            await self._skip(last)
            return await self._follow(verdict)
        if transaction.body:
            sent = bytes(transaction.body)
            transaction.body.clear()
            body = sent + body
            for place, (name, value) in enumerate(transaction.headers):
                if name.lower() == b"content-length" and value.isdigit():
                    transaction.headers[place] = (name, b"%d" % (int(value) + len(sent)))
        return await self._emit(body, last=last)

    async def _emit(self, body: bytes, *, last: bool) -> Reply:
        """The beginning of the answer as the client gets it."""
        transaction, request = self._transaction, self._request
        status = transaction.status
        self._no_body = request.method == b"HEAD" or status in BODILESS
        chunked = take_chunked(transaction)
        pipeline = None
        if status == 206 or self._policy.names_file(transaction.headers):
            transaction.transformations.clear()  # they would see a part, or another body
        if transaction.transformations:
            if not self._no_body:
                pipeline = Pipeline(transaction, self._policy.outside)
            elif changes_bytes(transaction):  # nobody knows how long it would be
                replace_header(transaction.headers, b"Content-Length", None)
        self._body = Body(self._read, pipeline, self._policy.questions.finishers)
        with self._deadline.kept():
            data, last = await self._body.begin(b"" if self._no_body else body, last)
        transaction.size = len(data)
        if last:
            data += await self._finish()
            if not self._no_body and has_header(transaction.headers, b"Content-Length"):
                replace_header(transaction.headers, b"Content-Length", b"%d" % len(data))
        flags, head = self._head()
        if len(head) > MAX_HEAD:
            self._drop()
            return await self._break(f"a head of {len(head)} bytes, limit {MAX_HEAD}", 500)
        self._head_size = head.count(b"\n") - 1, len(head)
        self._has_length = bool(flags & LENGTH)
        if chunked or (pipeline is not None and not last and not self._has_length):
            flags |= CHUNKED
        if self._no_body:
            return Reply(flags, head, b"", last)
        plan = None
        if not last and not data and pipeline is None and self._has_length and self._file:
            plan = self._file.plan
            self._offered = 0 if plan is None else plan.length
            await self._finish()  # nobody will read its end
        return Reply(flags, head, data, last, plan)

    def _head(self) -> tuple[int, bytes]:
        """Flags and head of the answer as it is now."""
        transaction = self._transaction
        headers = [] if transaction.headers_off else self._talk.head()
        return join_head(transaction.status, transaction.reason, headers, bodiless=self._no_body)
