"""A request's whole way through the rules: what each chain did, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from uwgate.explain.answers import Answers
from uwgate.explain.files import Files, Look
from uwgate.explain.request import Asked, Side, variables_of
from uwgate.explain.world import World
from uwgate.routing.conversation import Conversation, Steps
from uwgate.routing.explain import Asked as AskedOfWorld
from uwgate.routing.explain import Tale, told
from uwgate.routing.results import (
    Answer,
    Break,
    Continue,
    Forward,
    Reply,
    ServeFile,
    ServeStatic,
    Verdict,
)
from uwgate.routing.ruleset import RuleSet
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header, Transaction


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response: what the application is assumed to say, or what a client gets."""

    status: int = 200
    reason: bytes = b"OK"
    headers: tuple[Header, ...] = ()


@dataclass(slots=True)
class Story:
    """What happened to a request.

    ``verdict`` is what the rules of the request say. ``found`` is there if that is a file.
    ``response`` is the head that the client gets, None if nobody can say: a backend's or
    an application's, of which nothing was assumed and which no rule changed; or none at all
    (``Break``). ``guesses``: what was assumed of the world.
    """

    asked: Asked
    transaction: Transaction
    tales: list[Tale]
    verdict: Verdict
    found: Look | None = None
    response: Response | None = None
    body: bytes = b""
    assumed: Response | None = None
    guesses: list[str] = field(default_factory=list)

    @property
    def reaches_application(self) -> bool:
        """Whether the application is asked."""
        return isinstance(self.verdict, Continue)


def tell(
    rules: RuleSet,
    asked: Asked,
    *,
    side: Side | None = None,
    answers: Answers | None = None,
    files: Files | None = None,
    assumed: Response | None = None,
    now: float | None = None,
) -> Story:
    """Take a request through the rules.

    ``files``: the static files of the configuration. ``assumed``: what the application or
    backend answers; None: 200 without headers, which is only told where rules look at responses.

    Raises:
        ConfigError: the gateway would refuse the request.
    """
    world = World(answers or Answers(), files, now=now)
    transaction = Transaction(variables_of(asked, side or Side()), started=world.now())
    chains, tales = told(rules.rules)
    talk = replace(rules, rules=chains).converse(transaction, world)
    mapped = world.files.mapped(transaction.variables)  # before the rules, as uWSGI does it
    verdict = _take(talk.request(), world, tales)
    story = Story(asked, transaction, tales, verdict)
    if mapped is not None and isinstance(verdict, Continue):
        if mapped.is_there:
            story.verdict, story.found = ServeStatic(mapped.path), mapped
        else:
            world.guesses.append(f"no file is served: {mapped.reason}")
    _respond(story, talk, world, assumed, looks=bool(rules.rules.response or rules.rules.error))
    final = _take(talk.finish(), world, tales)
    del final  # the response is over
    story.guesses = world.guesses
    return story


def _take(steps: Steps, world: World, tales: Sequence[Tale]) -> Verdict:
    """Run to the verdict; a file that is there and asked for ends it."""
    reply: Reply = None
    try:
        question = next(steps)
        while True:
            reply = world.reply(question)
            if reply is True and isinstance(question, ServeStatic | ServeFile):
                steps.close()
                tales[-1].verdict = question
                tales[-1].steps[-1].asked.append(AskedOfWorld(question, reply))
                return question
            question = steps.send(reply)
    except StopIteration as end:
        verdict: Verdict = end.value
        return verdict


def _respond(
    story: Story, talk: Conversation, world: World, assumed: Response | None, *, looks: bool
) -> None:
    """Find out about the head that the client gets."""
    verdict = story.verdict
    match verdict:
        case Answer():
            _answered(story, talk, verdict)
            return
        case ServeStatic() | ServeFile():
            story.found = story.found or world.files.look(verdict)
            if not story.found.is_there:
                story.response = Response(404, reason_of(404))
                return
            assumed = _head_of(verdict, story.found, world)
        case Continue() | Forward(direct=False):
            pass
        case Forward() if assumed is None:
            return
        case Break(reason=str(), status=int(status)):
            story.response = Response(status, reason_of(status))
            return
        case _:
            if not isinstance(verdict, Forward):
                return
    if assumed is None and not looks:
        return
    story.assumed = assumed or Response()
    head = story.assumed
    later = _take(talk.respond(head.status, head.reason, list(head.headers)), world, story.tales)
    match later:
        case Answer():
            _answered(story, talk, later)
        case Continue():
            transaction = story.transaction
            story.response = Response(transaction.status, transaction.reason, tuple(talk.head()))
        case Break(reason=str(), status=int(status)):
            story.response = Response(status, reason_of(status))
        case _:
            story.response = None


def _answered(story: Story, talk: Conversation, answer: Answer) -> None:
    story.transaction.headers = list(answer.headers)
    story.response = Response(answer.status, answer.reason, tuple(talk.head()))
    story.body = answer.body


def _head_of(file: ServeStatic | ServeFile, found: Look, world: World) -> Response:
    kind = world.mime_type(file.path)
    length = (b"Content-Length", b"%d" % found.size)
    if isinstance(file, ServeStatic):
        return Response(headers=((b"Content-Type", kind), length) if kind else (length,))
    code, _, reason = file.status.partition(b" ")
    content_type = (file.mime and kind) or file.content_type
    headers = ((b"Content-Type", content_type), length) if file.with_headers else ()
    return Response(int(code), reason or reason_of(int(code)), headers)
