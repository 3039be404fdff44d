"""A request on its way through the rules, around the exchange that answers it.

To whoever relays the request this is an exchange like any other. What rules say of the request
is done before anybody is asked; what becomes of the answer stands in ``answering.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.gateways.exchange import BodySource, Exchange, Reply, Request
from uwgate.gateways.pages import error_parts
from uwgate.gateways.routed.answering import Answering, WholeAnswer
from uwgate.gateways.routed.body import Body
from uwgate.gateways.routed.changes import for_backend, for_forward, take_over
from uwgate.gateways.routed.course import Course
from uwgate.gateways.routed.files import NoFileError
from uwgate.gateways.routed.head import BODILESS, MAX_HEAD, split_head
from uwgate.gateways.routed.whole import Whole
from uwgate.gateways.tunnel import Side
from uwgate.gateways.wire.lease import NO_BODY, TUNNEL
from uwgate.routing.results import (
    Answer,
    Continue,
    Forward,
    Verdict,
)
from uwgate.routing.transformations.stream import replace_header

if TYPE_CHECKING:
    from uwgate.gateways.routed.policy import Policy


class RoutedExchange(Answering):
    """One request. ``make`` makes the exchange that it would have without rules."""

    __slots__ = ("_asking", "_make")

    def __init__(self, policy: Policy, request: Request, make: Callable[[], Exchange]) -> None:
        super().__init__(policy, request)
        self._make = make
        self._asking: Course | None = None  # the rules for the request, once they had to ask

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
        verdict = self._talk.begin()
        if verdict is None:
            self._asking = Course(self._talk.request())
            verdict = self._start(self._asking)
        elif transaction.effects:
            self._perform()
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
        if answer.close:
            self._request.keep_alive = False
        bodiless = self._request.method == b"HEAD" or answer.status in BODILESS
        headers, more = answer.headers, self._talk.more()
        if self._transaction.headers_off:
            headers = more = ()
        body = b"" if bodiless else answer.body
        size = None if bodiless else len(body)
        heads = self._policy.heads
        flags, head = heads.whole(answer.status, answer.reason, headers, more, size)
        if len(head) > MAX_HEAD:
            return None
        if self._policy.request_log is not None:
            self._transaction.set_status(answer.status, answer.reason)
            self._transaction.size = len(body)
            self._is_own = True
            self._head_size = head.count(b"\n") - 1, len(head)
            self._log()
        return WholeAnswer(flags, head, body)

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
                self._is_own = True
                self._keep(file)
                return await self._send_file()
        verdict = await self._run(self._asking or Course(self._talk.request()))
        match verdict:
            case Continue():
                asked = for_backend(request, self._transaction)
                if self._inner is None:
                    self._inner = self._make()
            case Forward():
                self._is_own = True
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

    @property
    def side(self) -> Side:
        assert self._inner is not None
        return self._inner.side

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
