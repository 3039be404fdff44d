"""Tests of routing rules: what they do to a request, as ``uwgate explain`` sees it.

    from uwgate.testing import Rules

    rules = Rules.load("app.ini")

    def test_old_pages_have_moved():
        assert rules.get("/old").redirects_to("/new")

Nothing is started and nobody is asked; files are looked at. What rules would have to ask for
is said in ``answers``, as for ``uwgate explain --answer``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load
from uwgate.explain.answers import Answers, read_answers
from uwgate.explain.files import Files
from uwgate.explain.page import Page, verdict_of
from uwgate.explain.request import Asked, Side
from uwgate.explain.story import Response, Story, tell
from uwgate.routing.effects import Log
from uwgate.routing.explain import Fate
from uwgate.routing.headers import OPTIONS as HEADER_OPTIONS
from uwgate.routing.headers import compile_headers
from uwgate.routing.results import Answer, Break, Forward, ServeFile, ServeStatic
from uwgate.routing.rules import compile_rules
from uwgate.routing.ruleset import RuleSet, read_rule_set
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header
from uwgate.routing.view import bytes_of, text_of

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_REDIRECTS = range(300, 400)


class Circumstances(TypedDict, total=False):
    """What else is so. ``status`` and ``response_headers``: what the application answers, for
    rules of the response; without them 200 and no headers."""

    remote_address: str
    https: bool
    variables: Mapping[str, str]
    status: int
    response_headers: Headers


class Outcome:
    """What became of one request. It shows in failing assertions; ``print`` tells all of it."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def __repr__(self) -> str:
        asked = self._story.asked
        acted = [
            step.rule.place
            for tale in self._story.tales
            for step in tale.steps
            if step.fate is Fate.ACTED
        ]
        by = f", by {' '.join(acted)}" if acted else ", no rule acted"
        return f"<{asked.method} {asked.target}: {verdict_of(self._story)}{by}>"

    def __str__(self) -> str:
        return Page(colours=False).text(self._story)

    @property
    def reaches_application(self) -> bool:
        """Whether the application is asked; the response may still be changed by rules."""
        return self._story.reaches_application

    @property
    def status(self) -> int | None:
        """The status that the client gets; None if nobody can say."""
        response = self._story.response
        return None if response is None else response.status

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of the response as far as rules know them, in their order."""
        response = self._story.response
        return _texts(response.headers if response else ())

    @property
    def body(self) -> str:
        """The body, if a rule answers."""
        return text_of(self._story.body)

    @property
    def variables(self) -> dict[str, str]:
        """The request's variables as the rules leave them: what the application sees."""
        return dict(_texts(self._story.transaction.variables.items()))

    @property
    def path(self) -> str:
        """PATH_INFO as the rules leave it."""
        return self.variables["PATH_INFO"]

    @property
    def logged(self) -> list[str]:
        """What rules wrote to the log; problems of rules are in ``problems``."""
        return self._logged(problem=False)

    @property
    def problems(self) -> list[str]:
        """What rules could not do."""
        return self._logged(problem=True)

    @property
    def assumed(self) -> list[str]:
        """What nobody said, and what was assumed instead."""
        return list(self._story.guesses)

    @property
    def transformations(self) -> list[str]:
        """What the body goes through, such as ``gzip``."""
        return [one.name for one in self._story.transaction.transformations]

    def header(self, name: str) -> str | None:
        """A header of the response, the last of that name; None without it."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[-1] if found else None

    def answers(self, status: int, body: str | None = None) -> bool:
        """Whether a rule answers with this status (and body), and nobody else is asked."""
        verdict = self._story.verdict
        if isinstance(verdict, Break):
            return self.status == status and body in (None, "")
        return isinstance(verdict, Answer) and self.status == status and body in (None, self.body)

    def redirects_to(self, location: str, status: int | None = None) -> bool:
        """Whether the client is sent there; ``status`` None: by any redirect."""
        if self.status not in _REDIRECTS or self.header("Location") != location:
            return False
        return status in (None, self.status)

    def ends_without_answer(self) -> bool:
        """Whether the connection is closed without a word."""
        return isinstance(self._story.verdict, Break) and self._story.response is None

    def serves(self, path: str | os.PathLike[str]) -> bool:
        """Whether this file is sent; it has to be there."""
        verdict, found = self._story.verdict, self._story.found
        if not isinstance(verdict, ServeStatic | ServeFile) or found is None:
            return False
        return found.is_there and os.fsencode(path) in (verdict.path, found.path)

    def goes_to(self, address: str, protocol: str | None = None) -> bool:
        """Whether a backend gets the request; ``protocol`` is http, uwsgi, fcgi or scgi."""
        verdict = self._story.verdict
        if not isinstance(verdict, Forward) or text_of(verdict.address) != address:
            return False
        return protocol in (None, verdict.protocol.value)

    def _logged(self, *, problem: bool) -> list[str]:
        effects = self._story.transaction.effects
        return [
            text_of(one.text) for one in effects if isinstance(one, Log) and one.problem is problem
        ]


class Rules:
    """The rules of a configuration, ready to be asked."""

    def __init__(
        self, rules: RuleSet, answers: Answers | None = None, files: Files | None = None
    ) -> None:
        self._rules = rules
        self._answers = answers or Answers()
        self._files = files or Files()

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, answers: Iterable[str] = ()) -> Rules:
        """The rules of a configuration file, read as uwgate reads it.

        Raises:
            ConfigError: it cannot be used, or there are no rules in it.
        """
        settings = load([os.fspath(path)], dict(os.environ)).settings
        rules = read_rule_set(settings)
        if rules is None:
            raise ConfigError(f"{os.fspath(path)}: there are no routing rules in it")
        return cls(rules, read_answers(answers), Files(settings.static))

    @classmethod
    def read(cls, text: str, *, answers: Iterable[str] = ()) -> Rules:
        """Rules of a text with one ``option = value`` a line; places are lines of it.

        Raises:
            ConfigError: a rule cannot be used.
        """
        triples: list[tuple[str, str, object]] = []
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if not stripped or stripped[0] in "#;[":
                continue
            option, equals, value = stripped.partition("=")
            if not equals:
                raise ConfigError(f"line {number}: {stripped!r} is no option = value")
            triples.append((option.strip(), value.strip(), f"line {number}"))
        headers = compile_headers(one for one in triples if one[0] in HEADER_OPTIONS)
        rules = compile_rules(one for one in triples if one[0] not in HEADER_OPTIONS)
        return cls(RuleSet(rules, headers), read_answers(answers))

    def with_answers(self, *answers: str) -> Rules:
        """The same rules in a world of which more is known (``cache:pages/home=hello``).

        Raises:
            ConfigError: an answer cannot be understood.
        """
        more = read_answers(answers)
        both = replace(more, texts=self._answers.texts + more.texts)
        return Rules(self._rules, both, self._files)

    def ask(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        **circumstances: Unpack[Circumstances],
    ) -> Outcome:
        """What becomes of a request; ``target`` is a path, perhaps with a query, as sent.

        Raises:
            ConfigError: the gateway refuses such a request before any rule sees it.
        """
        given = circumstances
        side = Side(
            given.get("remote_address", "127.0.0.1"),
            given.get("https", False),
            tuple(given.get("variables", {}).items()),
        )
        answered = _pairs(given.get("response_headers", ()))
        assumed = None
        if "status" in given or answered:
            code = given.get("status", 200)
            encoded = tuple((bytes_of(name), bytes_of(value)) for name, value in answered)
            assumed = Response(code, reason_of(code), encoded)
        asked = Asked(method, target, _pairs(headers))
        return Outcome(
            tell(
                self._rules,
                asked,
                side=side,
                answers=self._answers,
                files=self._files,
                assumed=assumed,
            )
        )

    def get(
        self, target: str, headers: Headers = (), **circumstances: Unpack[Circumstances]
    ) -> Outcome:
        """``ask`` with GET."""
        return self.ask("GET", target, headers, **circumstances)

    def post(
        self, target: str, headers: Headers = (), **circumstances: Unpack[Circumstances]
    ) -> Outcome:
        """``ask`` with POST."""
        return self.ask("POST", target, headers, **circumstances)


def _pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple(headers.items() if isinstance(headers, Mapping) else headers)


def _texts(pairs: Iterable[Header]) -> tuple[tuple[str, str], ...]:
    return tuple((text_of(name), text_of(value)) for name, value in pairs)


__all__ = ["ConfigError", "Outcome", "Rules"]
