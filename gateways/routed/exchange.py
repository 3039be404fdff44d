"""A request on its way through the rules, around the exchange that answers it.

To whoever relays the request this is an exchange like any other. What rules say of the request
is done before anybody is asked; the head of the answer goes through the rules for responses,
its body through transformations, piece by piece, and the final rules run before the last piece
goes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import trio

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.gateways.exchange import BodySource, Exchange, Reply, Request, UnansweredError
from uwgate.gateways.pages import error_parts
from uwgate.gateways.routed.body import Body, Read, changes_bytes, take_chunked
from uwgate.gateways.routed.changes import for_backend, for_forward, take_over
from uwgate.gateways.routed.course import Course
from uwgate.gateways.routed.deadline import Deadline
from uwgate.gateways.routed.files import FileAnswer, NoFileError
from uwgate.gateways.routed.head import BODILESS, MAX_HEAD, join_head, split_head
from uwgate.gateways.routed.whole import Whole
from uwgate.gateways.tunnel import Side
from uwgate.gateways.wire.lease import CHUNKED, LENGTH, NO_BODY, TUNNEL
from uwgate.gateways.wire.response import ResponseError, parse_response
from uwgate.gateways.wire.uwsgi import decode_block
from uwgate.routing.conversation import settle
from uwgate.routing.effects import Effect, SetHarakiri
from uwgate.routing.results import (
    Answer,
    Break,
    Continue,
    Forward,
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


class RoutedExchange:
    """One request. ``make`` makes the exchange that it would have without rules."""

    __slots__ = (
        "_answering",
        "_asking",
        "_body",
        "_deadline",
        "_file",
        "_finished",
        "_has_length",
        "_inner",
        "_make",
        "_no_body",
        "_policy",
        "_read",
        "_request",
        "_talk",
        "_transaction",
    )

    def __init__(self, policy: Policy, request: Request, make: Callable[[], Exchange]) -> None:
        self._policy = policy
        self._request = request
        self._make = make
        self._transaction = Transaction(dict(decode_block(request.block)), started=time.time())
        self._talk = policy.rule_set.converse(self._transaction, policy.outside)
        self._inner: Exchange | None = None
        self._file: FileAnswer | None = None
        self._read: Read = _nothing  # the answer's body, as it comes
        self._body: Body | None = None  # the same, as it goes
        self._no_body = False  # the answer has none, whatever comes
        self._has_length = False  # it says how long it is
        self._finished = False  # the final rules have run
        self._deadline = Deadline()
        # The rules for the request, and those for its answer, where they have begun already.
        self._asking = Course(self._talk.request())
        self._answering: Course | None = None

    # In the lane, without waiting. What has to wait goes on in ``begin``, from where it stopped.

    def try_request(self) -> Request | WholeAnswer | None:
        """The request as a worker gets it, or the answer that rules give to it at once.

        None: rules want something else, or it takes time.
        """
        policy, transaction = self._policy, self._transaction
        if not policy.is_quick or (
            policy.files.are_mapped and not policy.files.is_none(self._request)
        ):
            return None
        verdict = self._start(self._asking)
        if self._deadline.at is not None:
            return None
        if isinstance(verdict, Answer):
            return None if transaction.transformations else self._whole(verdict)
        if not isinstance(verdict, Continue):
            return None
        try:
            return for_backend(self._request, transaction)
        except ClientError:
            return None  # ``begin`` finds that out again

    def try_answer(self, flags: int, head: bytes, body: bytes) -> WholeAnswer | None:
        """A worker's whole answer as the client gets it; None: it takes time."""
        if self._is_idle():
            return WholeAnswer(flags, head, body)
        self._inner = Whole(Reply(flags, head, body, last=True))
        transaction = self._transaction
        if transaction.transformations:
            return None
        self._answering = Course(self._talk.respond(*split_head(head)))
        verdict = self._start(self._answering)
        if not isinstance(verdict, Continue) or transaction.transformations or transaction.body:
            return None
        self._no_body = bool(flags & NO_BODY)
        flags, head = self._head()
        return WholeAnswer(flags, head, body) if len(head) <= MAX_HEAD else None

    def _start(self, course: Course) -> Verdict | None:
        """Run a chain as far as it goes without waiting."""
        verdict = course.start()
        while course.question is not None and self._policy.questions.is_quick(course.question):
            course.answer(self._policy.questions.answer_now(course.question))
            verdict = course.verdict
        self._perform()
        return verdict

    def _whole(self, answer: Answer) -> WholeAnswer | None:
        """A rule's answer as the client gets it; None: there is too much of it."""
        self._take(answer)
        body = answer.body
        headers = self._transaction.headers
        if not self._no_body and has_header(headers, b"Content-Length"):
            replace_header(headers, b"Content-Length", b"%d" % len(body))
        flags, head = self._head()
        if len(head) > MAX_HEAD:
            return None
        return WholeAnswer(flags, head, b"" if self._no_body else body)

    def resume(self, inner: Exchange) -> RoutedExchange:
        """Go on with a worker that has got what ``try_request`` gave."""
        self._inner = inner
        return self

    def _is_idle(self) -> bool:
        """Whether nothing of the answer is to be looked at."""
        transaction = self._transaction
        return not (
            self._policy.sees_answers
            or transaction.transformations
            or transaction.added
            or transaction.removed
            or transaction.body
            or transaction.headers_off
        )

    # The exchange

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        files = self._policy.files
        if files.are_mapped and self._inner is None:  # before any rule, as in uWSGI
            try:
                file = await files.find(request)
            except NoFileError as error:
                return await self._break(str(error), error.status)
            if file is not None:
                self._keep(file)
                return await self._send_file()
        verdict = await self._run(self._asking)
        match verdict:
            case Continue():
                asked = for_backend(request, self._transaction)
                if self._inner is None:
                    self._inner = self._make()
            case Forward():
                asked = for_forward(request, self._transaction, verdict)
                self._inner = self._policy.forwarding.exchange(verdict)
            case _:
                return await self._follow(verdict)
        try:
            with self._deadline.kept():
                reply = await self._inner.begin(asked, source, nursery)
        except (BackendError, NoNodeError) as error:
            return await self._fail(error, verdict)
        take_over(request, asked)
        if reply.flags & TUNNEL:
            self._finished = True  # there is no answer whose end could be seen
            return reply
        self._read = self._inner.read
        if self._is_idle() and asked.method == request.method:
            self._body = Body(self._read)
            self._finished = True  # there are no final rules
            return reply
        status, reason, headers = split_head(reply.head)
        if asked.method == b"HEAD" != request.method:  # a length, and no body
            replace_header(headers, b"Content-Length", None)
        return await self._respond(status, reason, headers, reply.body, reply.last)

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

    @property
    def side(self) -> Side:
        assert self._inner is not None
        return self._inner.side

    def end(self) -> None:
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
        await self._run(Course(self._talk.finish()))
        tail = bytes(transaction.body)
        transaction.body.clear()
        return tail

    async def _follow(self, verdict: Verdict) -> Reply:
        """The beginning of an answer that no application gives."""
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

    async def _fail(self, error: BackendError | NoNodeError, verdict: Verdict) -> Reply:
        """Nobody has answered: let the rules for errors make something of it, if there are any."""
        policy = self._policy
        if isinstance(error, NoNodeError) and isinstance(verdict, Forward):
            # There was only this one: it is at fault, and not that there is nobody.
            name = verdict.address.decode(errors="replace")
            error = BackendError(name, "no connection", sent=False)
        if not policy.sees_errors:
            raise error
        self._drop()
        policy.counters.refuse(
            f"answer-{error.status}", "rules: %s: %d: %s", self._request, error.status, error
        )
        retry_after = error.retry_after if isinstance(error, NoNodeError) else 1
        head, page = error_parts(error.status, retry_after)
        return await self._respond(*split_head(head), page, last=True)

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
        if self._policy.names_file(transaction.headers):
            transaction.transformations.clear()  # they would see the wrong body
        if transaction.transformations:
            if not self._no_body:
                pipeline = Pipeline(transaction, self._policy.outside)
            elif changes_bytes(transaction):  # nobody knows how long it would be
                replace_header(transaction.headers, b"Content-Length", None)
        self._body = Body(self._read, pipeline)
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
        self._has_length = bool(flags & LENGTH)
        if chunked or (pipeline is not None and not last and not self._has_length):
            flags |= CHUNKED
        if self._no_body:
            return Reply(flags, head, b"", last)
        plan = None
        if not last and not data and pipeline is None and self._has_length and self._file:
            plan = self._file.plan
            await self._finish()  # nobody will read its end
        return Reply(flags, head, data, last, plan)

    def _head(self) -> tuple[int, bytes]:
        """Flags and head of the answer as it is now."""
        transaction = self._transaction
        headers = [] if transaction.headers_off else self._talk.head()
        return join_head(transaction.status, transaction.reason, headers, bodiless=self._no_body)
