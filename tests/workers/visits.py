"""A worker's rules around an application, without processes: a request in, the response out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from tests.routing.mirror import application
from tests.routing.simulation import NOW, Response, variables
from uwgate.caching.caches import Caches
from uwgate.conf.groups.static import StaticOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.metric_file import Metrics
from uwgate.conf.settings import Settings
from uwgate.workers.alarms import Alarms
from uwgate.workers.body import EMPTY, Body
from uwgate.workers.environ import Environ
from uwgate.workers.harakiri import Harakiri
from uwgate.workers.rpc import Functions
from uwgate.workers.rules.policy import Policy, compile_policy
from uwgate.workers.rules.visit import Visit
from uwgate.workers.signals import Signals
from uwgate.workers.wsgi import Application
from uwgate.workers.wsgi import Response as Wsgi


class Sink:
    """A connection that remembers what is sent on it. ``breaks``: its peer is gone."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.head: bytes | None = None
        self.flags = 0
        self.pieces: list[bytes] = []
        self.bare = False
        self.last = False
        self.aborted = False
        self.hung_up = False
        self.closes = False
        self.files = 0  # pieces that the kernel would have copied

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        assert self.head is None
        self.head, self.flags = head, flags
        self.send_body(body, last)

    def begin_bare(self, body: bytes, last: bool) -> None:
        self.bare = True
        self.send_body(body, last)

    def send_body(self, body: bytes, last: bool) -> None:
        if self.breaks:
            raise BrokenPipeError
        assert not self.last
        self.last = last
        if body:
            self.pieces.append(body)

    def send_file(self, file: int, offset: int, count: int) -> int:
        self.files += 1
        data = os.pread(file, count, offset)
        self.send_body(data, False)
        return len(data)

    def abort(self) -> None:
        self.aborted = True

    def hang_up(self) -> None:
        self.hung_up = True

    def close_behind(self) -> None:
        self.closes = True

    @property
    def response(self) -> Response:
        """What the client gets."""
        body = b"".join(self.pieces)
        if self.head is None:
            return Response(None, (), body)
        first, *lines = self.head.removesuffix(b"\r\n").split(b"\r\n")
        pairs = (line.partition(b": ") for line in lines)
        return Response(first, tuple((name, value) for name, _, value in pairs), body)


@dataclass
class Ruled:
    """A worker with rules, as lines of a configuration, and static options."""

    lines: Iterable[str] = ()
    app: Application = application
    static: StaticOptions = field(default_factory=StaticOptions)
    caches: Caches | None = None
    alarms: Alarms | None = None
    signals: Signals | None = None
    metrics: Metrics = field(default_factory=Metrics)
    visit: Visit | Wsgi | None = None  # who knows what was sent
    response: Wsgi | None = None

    def __post_init__(self) -> None:
        pairs = (line.partition("=") for line in self.lines)
        rules = tuple(
            (key.strip(), value.strip(), f"rules:{number}")
            for number, (key, _, value) in enumerate(pairs, 1)
        )
        settings = Settings(rules=rules, static=self.static, workers=WorkerOptions())
        compiled = compile_policy(settings)
        assert compiled is not None
        self.functions = Functions()
        self.called = 0  # times that the application was
        api = SimpleNamespace(
            functions=self.functions,
            i_am_the_lord=lambda name: False,
            caches=self.caches,
            alarms=self.alarms,
            metrics=self.metrics,
        )
        worker = SimpleNamespace(
            settings=settings,
            number=1,
            api=api,
            harakiri=Harakiri(),
            listeners=[],
            shared=SimpleNamespace(signals=self.signals),
        )
        self.policy = Policy(compiled, cast("Any", worker))
        self.policy.world.now = lambda: float(NOW)  # type: ignore[method-assign]
        self.slot = SimpleNamespace(core=0, logvars={}, session=None)

    def ask(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        *,
        body: Body = EMPTY,
        sink: Sink | None = None,
        **more: str,
    ) -> Sink:
        """Ask once; ``more`` are variables."""
        sink = sink or Sink()
        environ: Environ = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in variables(target, headers or {}, method).items()
        } | more
        visit = self.policy.begin(cast("Any", self.slot), sink, environ, body)
        response = Wsgi(visit, head_only=method == "HEAD")
        if visit.enter(response):
            self.called += 1
            environ["wsgi.input"] = body
            response.run(self.app, environ)
        visit.leave(response)
        self.visit, self.response = visit.said(response), response
        return sink

    def get(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Response:
        """The response to a request."""
        return self.ask(target, headers, method).response
