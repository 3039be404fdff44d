"""A story as a JSON document."""

from __future__ import annotations

from typing import TypedDict

from uwgate.explain.page import verdict_of
from uwgate.explain.story import Response, Story
from uwgate.routing.explain import Step, Tale
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
from uwgate.routing.wording import plain, show_question, show_reply

_KINDS: dict[type[object], str] = {
    Continue: "application",
    Answer: "answer",
    RawAnswer: "answer",
    Break: "break",
    Forward: "backend",
    ServeStatic: "file",
    ServeFile: "file",
}


class StepDocument(TypedDict):
    """One rule."""

    place: str
    rule: str
    fate: str
    why: str
    groups: list[str]
    changes: list[dict[str, str]]
    asked: list[dict[str, str]]
    result: str
    problem: str


class ResponseDocument(TypedDict):
    """The head of a response."""

    status: int
    reason: str
    headers: list[list[str]]


class Document(TypedDict):
    """All of a story. ``kind`` of the verdict is one of application, answer, break, backend,
    file; ``response`` is None if nobody can say."""

    request: dict[str, str]
    chains: list[dict[str, object]]
    kind: str
    verdict: str
    file_found: bool | None
    address: str | None
    response: ResponseDocument | None
    body: str
    transformations: list[str]
    assumed: ResponseDocument | None
    guesses: list[str]


def document_of(story: Story) -> Document:
    """The story as a value that JSON can hold."""
    verdict = story.verdict
    return {
        "request": {plain(k): plain(v) for k, v in story.transaction.variables.items()},
        "chains": [_chain(tale) for tale in story.tales],
        "kind": kind_of(verdict),
        "verdict": verdict_of(story),
        "file_found": story.found.is_there if story.found else None,
        "address": plain(verdict.address) if isinstance(verdict, Forward) else None,
        "response": _response(story.response),
        "body": plain(story.body),
        "transformations": [one.name for one in story.transaction.transformations],
        "assumed": _response(story.assumed),
        "guesses": story.guesses,
    }


def kind_of(verdict: Verdict) -> str:
    """What kind of end it is: application, answer, break, backend or file."""
    return _KINDS[type(verdict)]


def _chain(tale: Tale) -> dict[str, object]:
    return {
        "chain": tale.chain.name.lower(),
        "rules": [_step(step) for step in tale.steps],
        "kind": kind_of(tale.verdict) if tale.verdict else None,
    }


def _step(step: Step) -> StepDocument:
    return {
        "place": step.rule.place,
        "rule": step.rule.text,
        "fate": step.fate.value,
        "why": step.why,
        "groups": [plain(one) for one in step.groups],
        "changes": [
            {"what": one.what, "text": one.text, "name": one.name, "value": one.value}
            for one in step.changes
        ],
        "asked": [
            {"question": show_question(one.question), "reply": show_reply(one.reply)}
            for one in step.asked
        ],
        "result": step.result,
        "problem": step.problem,
    }


def _response(response: Response | None) -> ResponseDocument | None:
    if response is None:
        return None
    return {
        "status": response.status,
        "reason": plain(response.reason),
        "headers": [[plain(name), plain(value)] for name, value in response.headers],
    }
