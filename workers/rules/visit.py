"""One request on its way through the rules, and its response on the way back.

A ``Visit`` stands between the application's ``wsgi.Response`` and the connection: it is the
``wsgi.Output`` of the one, and writes to the other. Everything happens in the slot's thread, and
every wait (of the connection, a backend, a question) has its end there.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from typing import TYPE_CHECKING

from uwgate.conf.errors import BackendError, ClientError
from uwgate.gateways.wire.lease import NAMES_FILE, NO_BODY
from uwgate.gateways.wire.response import ResponseError
from uwgate.routing.results import (
    Answer,
    Break,
    Continue,
    Forward,
    Protocol,
    RawAnswer,
    ServeFile,
    ServeStatic,
)
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header, Transaction
from uwgate.workers import rpc, rpc_server
from uwgate.workers.body import BodyError
from uwgate.workers.foreign import SERVED
from uwgate.workers.log import say
from uwgate.workers.rules import forwarding, sending, tunnel
from uwgate.workers.rules.effects import carry_out, keep_copies
from uwgate.workers.rules.head import read_head
from uwgate.workers.rules.outlet import Outlet, Way
from uwgate.workers.rules.questions import answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uwgate.files.finder import Found
    from uwgate.routing.conversation import Steps
    from uwgate.routing.results import Verdict
    from uwgate.workers.body import Body
    from uwgate.workers.environ import Environ
    from uwgate.workers.rules.policy import Policy
    from uwgate.workers.slot import Slot
    from uwgate.workers.wsgi import Response

PLAIN = (b"Content-Type", b"text/plain; charset=utf-8")


class Visit:
    """What the rules of a worker make of one request. Belongs to the slot that serves it."""

    def __init__(self, policy: Policy, slot: Slot, way: Way, environ: Environ, body: Body) -> None:
        self.policy = policy
        self.environ = environ
        self.body = body
        self.transaction = Transaction(
            {name.encode("latin-1"): value.encode("latin-1") for name, value in environ.items()},
            started=time.time(),
        )
        self.talk = policy.converse(self.transaction)
        self._slot = slot
        self._way = way
        self.found: Found | None = None  # the open file that a rule asked for
        self._finished = False
        self._muted = False  # the application speaks to nobody
        self.outlet = Outlet(
            way,
            self.talk,
            policy.heads,
            head_only=environ["REQUEST_METHOD"] == "HEAD",
            transformed=self._keep_copies,
            ending=self._end if policy.final_writes else None,
        )

    # What the access log says of the response.

    def said(self, response: Response) -> Visit:
        """Who knows what was sent."""
        return self

    @property
    def status(self) -> int:
        """The status that was sent; 500 if none was."""
        return self.transaction.status

    @property
    def sent(self) -> int:
        """Bytes of the body."""
        return self.outlet.sent

    @property
    def head_size(self) -> tuple[int, int]:
        """Fields, and bytes of status and fields."""
        return self.outlet.head_size

    @property
    def sendfile(self) -> bool:
        """Whether the kernel copied the body."""
        return self.outlet.sendfile

    @property
    def logged(self) -> bool:
        """Whether the request is to have a line in the log."""
        return self.transaction.logged

    @property
    def scheme(self) -> str | None:
        """``wsgi.url_scheme`` if rules set it."""
        if b"UWSGI_SCHEME" not in self.transaction.changed:
            return None
        return self.transaction.get(b"UWSGI_SCHEME").decode("latin-1")

    # The request.

    def enter(self, response: Response) -> bool:
        """Run the rules of the request; whether the application is to be called.

        Changes ``environ``. Raises nothing: what goes wrong is answered or logged.
        """
        try:
            return self._enter()
        except BodyError as error:  # the client does not send what a backend is to get
            say(f"rules: {error}")
            self._give_up(error.status)
        except OSError:  # the peer is gone
            response.failed = response.ended = True
        # The boundary for what runs before the application's own; a bug ends this request only.
        except Exception:
            say(f"rules: {traceback.format_exc().rstrip()}")
            self._give_up()
        return False

    def leave(self, response: Response) -> None:
        """The response is over: run the final rules."""
        if response.upgraded:
            self.transaction.set_status(101, reason_of(101))
        try:
            if not self._finished:
                self._end()
        except Exception:  # as in ``enter``: the response is over, and the worker goes on
            say(f"final rules: {traceback.format_exc().rstrip()}")
        finally:
            self.policy.harakiri.end(self._slot.core)
            self.outlet.forget()

    def _enter(self) -> bool:
        transaction = self.transaction
        verdict = self.talk.begin()
        if verdict is None:
            verdict = self._settle(self.talk.request())
        else:
            self._do()
        if transaction.changed:
            self._adopt_changes()
        if not isinstance(verdict, Continue):
            self._carry_out(verdict)
            return False
        if tunnel.wants_connection(self._slot.session):  # no rule gives it one
            self.fail(405)
            return False
        modifier = transaction.modifier1
        if modifier == rpc.MODIFIER and transaction.modifier2 == rpc_server.WEB:
            head, _, body = rpc_server.answer_web(self.policy.functions, self.environ)
            self._relay(int(head[:3]), head, (body,))
            return False
        if modifier is not None and modifier not in SERVED:
            say(f"-- unavailable modifier requested: {modifier} --")
            self.hang_up()
            return False
        return not sending.send_mapped(self)

    def _adopt_changes(self) -> None:
        variables = self.transaction.variables
        # How long the body is, is not theirs to change.
        for name in self.transaction.changed - {b"CONTENT_LENGTH"}:
            self.environ[name.decode("latin-1")] = variables[name].decode("latin-1")

    def _settle(self, steps: Steps) -> Verdict:
        """Run rules to their verdict, answering what they ask, and do what they want done."""
        try:
            question = next(steps)
            while True:
                if isinstance(question, ServeStatic | ServeFile):
                    if sending.is_there(self, question):
                        steps.close()
                        return question
                    question = steps.send(False)
                else:
                    self._do()  # a question may take long, and a limit may have been set
                    question = steps.send(answer(question, self.policy))
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict
        finally:
            self._do()

    def _keep_copies(self) -> None:
        keep_copies(self.transaction.effects, self._slot, self.policy)

    def _do(self) -> None:
        if self.transaction.effects:
            carry_out(self.transaction.effects, self._slot, self.policy)

    # What becomes of it instead of the application's response.

    def _carry_out(self, verdict: Verdict) -> None:
        """Answer as a verdict says.

        Raises:
            OSError: the peer is gone.
        """
        match verdict:
            case Answer():
                self.send_answer(verdict)
            case Break(reason=None) | Continue():
                self.hang_up()
            case Break(_, status):
                if status is None:
                    self.hang_up()
                else:
                    self.send_page(status)
            case ServeStatic() | ServeFile():
                sending.send_named(self, verdict)
            case Forward():
                self._forward(verdict)
            case RawAnswer(data):
                self._send_raw(data)

    def send_answer(self, given: Answer) -> None:
        """Send an answer whose head is settled.

        Raises:
            OSError: the peer is gone.
        """
        transaction = self.transaction
        transaction.headers = list(given.headers)
        transaction.set_status(given.status, given.reason)
        if given.close:
            self._way.close_behind()
        self.outlet.start()
        self.outlet.feed(given.body, last=True)

    def send_page(self, status: int) -> None:
        """Send a small page of our own, past the rules.

        Raises:
            OSError: the peer is gone.
        """
        self.transaction.transformations.clear()
        self.transaction.body.clear()
        reason = reason_of(status)
        self.send_answer(Answer(status, reason, (PLAIN,), reason))

    def fail(self, status: int) -> None:
        """Answer that something did not work; rules may say it otherwise.

        Raises:
            OSError: the peer is gone.
        """
        reason = reason_of(status)
        if self.accept(status, reason, [PLAIN]):
            self.outlet.start()
            self.outlet.feed(reason, last=True)

    def hang_up(self) -> None:
        """Close the connection without any answer."""
        self._way.hang_up()
        self.outlet.ended = True

    def may_tunnel(self) -> bool:
        """Whether the client's connection can become a WebSocket's."""
        session = self._slot.session
        return session is not None and session.may_tunnel()

    def accept(self, status: int, reason: bytes, headers: list[Header]) -> bool:
        """Show the head of a response to the rules; whether its body is to follow.

        If not, something else has been answered.

        Raises:
            OSError: the peer is gone.
        """
        verdict = self._settle(self.talk.respond(status, reason, headers))
        if isinstance(verdict, Continue):
            return True
        self._muted = True
        if isinstance(verdict, Forward):
            say("rules: a response cannot be handed to a backend")
            verdict = Break("not for a response", 500)
        self._carry_out(verdict)
        return False

    def _forward(self, wanted: Forward) -> None:
        if wanted.protocol is Protocol.CONNECT:
            tunnel.connect(self, self._slot.session, wanted.address.decode("latin-1"))
            return
        limit = self.policy.worker.settings.workers.limit_post
        if limit and self.body.length > limit:
            self.fail(413)
            return
        try:
            with forwarding.ask(wanted, self) as found:
                if found.status == 101:
                    tunnel.upgrade(self, self._slot.session, found)
                    return
                self._relay(found.status, found.head, found.pieces())
        except (BackendError, ClientError) as error:
            say(f"rules: {error}")
            if self.outlet.started:
                self.outlet.abort()
            else:
                self.fail(error.status)

    def _send_raw(self, data: bytes) -> None:
        try:
            found = forwarding.read_whole(data, self.transaction.get(b"REQUEST_METHOD"))
        except ResponseError as error:
            say(f"rules: a function's response: {error}")
            self.fail(502)
            return
        self._relay(found.status, found.head, found.pieces())

    def _relay(self, status: int, head: bytes, pieces: Iterable[bytes]) -> None:
        """Send a backend's response."""
        _, reason, headers = read_head(head)
        if not self.accept(status, reason, headers):
            return
        self.outlet.start()
        for piece in pieces:
            self.outlet.feed(piece, last=False)
        self.outlet.feed(b"", last=True)

    def _give_up(self, status: int = 500) -> None:
        """Nothing that was tried has worked. Raises nothing."""
        if self.outlet.started:
            self.outlet.abort()
            return
        with contextlib.suppress(OSError):
            self.send_page(status)

    def _end(self) -> bytes:
        """Run the final rules; what they send."""
        transaction = self.transaction
        self._finished = True
        transaction.size = self.outlet.sent
        transaction.duration = time.time() - transaction.started
        self._settle(self.talk.finish())
        data = bytes(transaction.body)
        transaction.body.clear()
        if data and self.outlet.ended:
            say(f"final rules: {len(data)} bytes are not sent: the response is over")
        return data

    # wsgi.Output: what the application's response says.

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        try:
            self._begin(head, flags, body, last)
        except OSError:
            raise
        except Exception:  # as in ``enter``
            say(f"rules: {traceback.format_exc().rstrip()}")
            self._muted = True
            self._give_up()

    def _begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        status, reason, headers = read_head(head)
        if flags & NAMES_FILE and sending.hand_over(self, status, headers):
            self._muted = True
            return
        if not self.accept(status, reason, headers):
            return
        self.outlet.start()
        self.outlet.feed(b"" if flags & NO_BODY else body, last=last)

    def send_body(self, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        if not self._muted:
            self.outlet.feed(body, last=last)

    def send_file(self, file: int, offset: int, count: int) -> int:
        """See ``wsgi.Output``."""
        return count if self._muted else self.outlet.feed_file(file, offset, count)

    def abort(self) -> None:
        """See ``wsgi.Output``."""
        if not self._muted:
            self.outlet.abort()
