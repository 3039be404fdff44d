"""A story as text for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from uwgate.explain.story import Story
from uwgate.routing.explain import Fate, Step, Tale
from uwgate.routing.results import Answer, Forward, ServeFile, ServeStatic
from uwgate.routing.wording import plain, show, show_verdict
from uwgate.routing.workshop import ChainName

TITLES = {
    ChainName.REQUEST: "Rules of the request",
    ChainName.ERROR: "Rules of every status (error-route)",
    ChainName.RESPONSE: "Rules of the response",
    ChainName.FINAL: "Rules of the end (final-route)",
}
BOLD, DIM, GREEN, RED, CYAN = "1", "2", "32", "31", "36"
_FATES = {Fate.ACTED: GREEN, Fate.NO_MATCH: DIM, Fate.SKIPPED: DIM, Fate.NOT_REACHED: DIM}


class Page:
    """Writes a story; ``colours``: for a terminal that has them."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def text(self, story: Story) -> str:
        """The whole story, one line each, with a line's end behind the last."""
        return "\n".join(self._lines(story)) + "\n"

    def _lines(self, story: Story) -> Iterator[str]:
        asked = story.asked
        yield self._in(BOLD, f"{asked.method} {asked.target}")
        for name, value in asked.headers:
            yield f"    {name}: {value}"
        for tale in story.tales:
            yield ""
            yield self._in(BOLD, TITLES[tale.chain])
            yield from self._tale(tale)
        yield ""
        for line in story.guesses:
            yield f"assumed: {line}"
        yield self._in(BOLD, f"=> {verdict_of(story)}")
        yield from self._response(story)

    def _tale(self, tale: Tale) -> Iterator[str]:
        reached = [step for step in tale.steps if step.fate is not Fate.NOT_REACHED]
        for step in reached:
            yield from self._step(step)
        left = len(tale.steps) - len(reached)
        if left:
            rules = "rule" if left == 1 else "rules"
            yield self._in(DIM, f"  ({left} {rules} further down not reached)")

    def _step(self, step: Step) -> Iterator[str]:
        rule = step.rule
        colour = _FATES[step.fate]
        place = self._in(CYAN, f"{rule.place}:")
        if step.fate is Fate.SKIPPED:
            yield f"  {place} {self._in(DIM, f'{rule.text}  [skipped by goto]')}"
            return
        yield f"  {place} {self._in(colour, rule.text)}"
        for line in step.details():
            yield f"      {self._in(RED if line.startswith('problem') else '', line)}"

    def _response(self, story: Story) -> Iterator[str]:
        if story.assumed is not None and story.found is None:
            who = "the backend" if isinstance(story.verdict, Forward) else "the application"
            yield f"   if {who} answers {story.assumed.status}, the client gets:"
        if story.response is None:
            return
        yield f"   {story.response.status} {plain(story.response.reason)}".rstrip()
        for name, value in story.response.headers:
            yield f"   {plain(name)}: {plain(value)}"
        if story.body:
            yield f"   and {show(story.body)}"
        through = [one.name for one in story.transaction.transformations]
        if through:
            yield f"   the body goes through {', '.join(through)}"

    def _in(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colours and colour else text


def verdict_of(story: Story) -> str:
    """What becomes of the request, in one line."""
    verdict = story.verdict
    match verdict:
        case Answer(status, headers=headers):
            locations = [value for name, value in headers if name.lower() == b"location"]
            if locations and 300 <= status < 400:
                return f"redirected with {status} to {plain(locations[-1])}"
            return f"answered with {status} {plain(verdict.reason)}"
        case ServeStatic(path) | ServeFile(path):
            assert story.found is not None
            if story.found.is_there:
                return f"the file {plain(path)}, {story.found.size} bytes"
            return f"the file {plain(path)}, which cannot be served: {story.found.reason}"
        case _:
            return show_verdict(verdict)
