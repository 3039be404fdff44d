"""A request on its way through the rules, around the exchange that answers it.

To whoever relays the request this is an exchange like any other. What rules say of the request
is done before anybody is asked; the head of the answer goes through the rules for responses,
its body through transformations, piece by piece, and the final rules run before the last piece
goes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from uwgate.conf.errors import BackendError, BackendTimeout, NoNodeError
from uwgate.files.request import Request as FileRequest
from uwgate.gateways.exchange import BodySource, Exchange, Reply, Request, UnansweredError
from uwgate.gateways.pages import error_parts
from uwgate.gateways.routed.body import Body, Read
from uwgate.gateways.routed.changes import for_backend, for_forward, take_over
from uwgate.gateways.routed.files import NoFileError, PlanReader, Sending
from uwgate.gateways.routed.head import BODILESS, MAX_HEAD, join_head, split_head
from uwgate.gateways.tunnel import Side
from uwgate.gateways.wire.lease import CHUNKED, LENGTH, TUNNEL
from uwgate.gateways.wire.response import ResponseError, parse_response
from uwgate.gateways.wire.uwsgi import decode_block
from uwgate.routing.conversation import Steps, settle
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
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.stream import Pipeline, has_header, replace_header

if TYPE_CHECKING:
    from uwgate.gateways.routed.policy import Policy

RULES = "rules"  # in the place of a backend's name
# Transformations that leave the bytes of a body alone.
_ALOOF = frozenset(
    ("flush", "fixcl", "forcecl", "offload", "tofile", "cachestore", "memcachedstore", "redisstore")
)


async def _nothing() -> tuple[bytes, bool]:
    return b"", True


class RoutedExchange:
    """One request. ``make`` makes the exchange that it would have without rules."""

    __slots__ = (
        "_body",
        "_deadline",
        "_finished",
        "_has_length",
        "_inner",
        "_make",
        "_no_body",
        "_policy",
        "_read",
        "_request",
        "_sending",
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
        self._sending: Sending | None = None  # of a file
        self._read: Read = _nothing  # the answer's body, as it comes
        self._body: Body | None = None  # the same, as it goes
        self._no_body = False  # the answer has none, whatever comes
        self._has_length = False  # it says how long it is
        self._finished = False  # the final rules have run
        self._deadline: float | None = None  # trio's clock; by a rule (harakiri)

    # The exchange

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        verdict = await self._run(self._talk.request())
        match verdict:
            case Continue():
                asked = for_backend(request, self._transaction)
                self._inner = self._make()
            case Forward():
                asked = for_forward(request, self._transaction, verdict)
                self._inner = self._policy.forwarding.exchange(verdict)
            case _:
                return await self._follow(verdict)
        try:
            with self._in_time():
                reply = await self._inner.begin(asked, source, nursery)
        except (BackendError, NoNodeError) as error:
            return await self._fail(error)
        take_over(request, asked)
        if reply.flags & TUNNEL:
            self._finished = True  # there is no answer whose end could be seen
            return reply
        self._read = self._inner.read
        status, reason, headers = split_head(reply.head)
        if asked.method == b"HEAD" != request.method:  # a length, and no body
            replace_header(headers, b"Content-Length", None)
        return await self._respond(status, reason, headers, reply.body, reply.last)

    async def read(self) -> tuple[bytes, bool]:
        assert self._body is not None
        with self._in_time():
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
        if self._sending is not None:
            self._sending.plan.close()
        if self._finished:
            return
        self._finished = True
        if self._body is not None:
            self._body.abandon()
        if self._talk.rules.final:
            settle(self._talk.finish(), lambda question: None)  # nobody waits for answers now
        self._perform()

    def _drop(self) -> None:
        """Give up the backend's answer."""
        if self._inner is not None:
            self._inner.end()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        if self._deadline is None:
            yield
            return
        try:
            with trio.fail_at(self._deadline):
                yield
        except trio.TooSlowError:
            raise BackendTimeout(RULES, "longer than its rule allows", sent=True) from None

    # What rules say

    async def _run(self, steps: Steps) -> Verdict:
        """Run a chain to its end, answering what it asks."""
        try:
            question = next(steps)
            while True:
                if isinstance(question, ServeStatic | ServeFile):
                    if await self._open(question) is None:
                        return question
                    question = steps.send(False)
                else:
                    question = steps.send(await self._policy.questions.answer(question))
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict
        finally:
            self._perform()

    def _perform(self) -> None:
        """Do what rules want done so far."""
        transaction = self._transaction
        if not transaction.effects:
            return
        effects: list[Effect] = []
        for effect in transaction.effects:
            if isinstance(effect, SetHarakiri):
                self._deadline = trio.current_time() + effect.seconds
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
        await self._run(self._talk.finish())
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
                return await self._send_file(verdict)
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
        transaction = self._transaction
        transaction.set_status(answer.status, answer.reason)
        transaction.headers = list(answer.headers)
        if answer.close:
            self._request.keep_alive = False
        return await self._emit(answer.body, last=True)

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

    async def _fail(self, error: BackendError | NoNodeError) -> Reply:
        """Nobody has answered: let the rules for errors make something of it, if there are any."""
        policy = self._policy
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
        variables = self._transaction.variables
        get = variables.get
        fields = {
            name[5:].replace(b"_", b"-").lower(): value
            for name, value in variables.items()
            if name.startswith(b"HTTP_")
        }
        request = FileRequest(
            get(b"REQUEST_METHOD", b""), get(b"PATH_INFO", b""), get(b"REQUEST_URI", b""), fields
        )
        try:
            sending = await self._policy.files.open(wanted, request, time.time())
        except NoFileError as error:
            return error
        if self._sending is not None:
            self._sending.plan.close()
        self._sending = sending
        return None

    async def _send_file(self, wanted: ServeStatic | ServeFile) -> Reply:
        # One that goes on without its file has been opened to see whether it is there.
        if not wanted.optional:
            error = await self._open(wanted)
            if error is not None:
                return await self._break(str(error), error.status)
        sending = self._sending
        assert sending is not None
        plan = sending.plan
        reader = self._read = PlanReader(plan).read
        body, last = b"", True
        if plan.pieces:
            try:
                body, last = await reader()
            except OSError as problem:
                return await self._break(f"{wanted.path!r}: {problem.strerror}", 503)
        if sending.by_kernel:
            self._transaction.transformations.clear()
        reason = sending.reason or reason_of(plan.status)
        return await self._respond(plan.status, reason, list(plan.fields), body, last)

    # The response

    async def _respond(
        self, status: int, reason: bytes, headers: list[Header], body: bytes, last: bool
    ) -> Reply:
        """Begin with an answer that the rules for responses have not seen yet."""
        transaction = self._transaction
        verdict = await self._run(self._talk.respond(status, reason, headers))
        if not isinstance(verdict, Continue):
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
        chunked = self._take_chunked()
        pipeline = None
        if transaction.transformations:
            if self._no_body:  # nobody knows how long it would be
                if any(one.name not in _ALOOF for one in transaction.transformations):
                    replace_header(transaction.headers, b"Content-Length", None)
            else:
                pipeline = Pipeline(transaction, self._policy.outside)
        self._body = Body(self._read, pipeline)
        with self._in_time():
            data, last = await self._body.begin(b"" if self._no_body else body, last)
        transaction.size = len(data)
        if last:
            data += await self._finish()
            if not self._no_body and has_header(transaction.headers, b"Content-Length"):
                replace_header(transaction.headers, b"Content-Length", b"%d" % len(data))
        headers = [] if transaction.headers_off else self._talk.head()
        flags, head = join_head(
            transaction.status, transaction.reason, headers, bodiless=self._no_body
        )
        if len(head) > MAX_HEAD:
            raise BackendError(RULES, f"a head of {len(head)} bytes, limit {MAX_HEAD}", sent=True)
        self._has_length = bool(flags & LENGTH)
        if chunked or (pipeline is not None and not last and not self._has_length):
            flags |= CHUNKED
        return Reply(flags, head, b"" if self._no_body else data, last)

    def _take_chunked(self) -> bool:
        """Whether rules want chunks. How the body is framed is not theirs to do."""
        transaction = self._transaction
        kept = [one for one in transaction.transformations if one.name != "chunked"]
        if len(kept) == len(transaction.transformations):
            return False
        transaction.transformations = kept
        if transaction.get(b"SERVER_PROTOCOL") == b"HTTP/1.0":
            return False
        replace_header(transaction.headers, b"Content-Length", None)
        return True
