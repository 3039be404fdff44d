"""A regular expression of a rule: PCRE's syntax, and a bound on what a search costs.

Which matcher does a search is decided by what it may cost at worst (``analysis``):

- Python's ``re``, as long as the subject is short enough for the pattern (most patterns are
  linear: then any subject is);
- RE2, if the package google-re2 is installed (``pip install uwgate[re2]``);
- our own automaton otherwise.

A pattern that only ``re`` can match (references to groups, looking ahead and behind, atomic
groups) has a longest subject, and is refused at once if there is no safe length.
"""

from __future__ import annotations

import importlib
import re
import warnings
from functools import lru_cache
from typing import Protocol

from uwgate.routing.regexp.analysis import cost_of, is_anchored, literals_of, prefixes_of
from uwgate.routing.regexp.automaton import Automaton
from uwgate.routing.regexp.grammar import parse
from uwgate.routing.regexp.reading import PatternError
from uwgate.routing.regexp.rendering import PYTHON, RE2, NotRenderedError, render
from uwgate.routing.regexp.tree import Parsed

MAX_TRIES = 2_000_000  # of a backtracking search, if nothing better is there: some 20 ms
MAX_TRIES_WITH_LINEAR = 50_000
SHORTEST_LIMIT = 32  # bytes; a pattern that is not safe for so few is refused
MAX_SUBJECT = 0xFFFF  # bytes: what a variable can hold


class SubjectTooLongError(Exception):
    """A subject beyond the pattern's longest. ``limit`` is in bytes."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"a subject of {length} bytes, limit {limit} for this pattern")
        self.limit = limit


class _Linear(Protocol):
    def search(self, subject: bytes) -> list[bytes] | None: ...


class Pattern:
    """A compiled pattern.

    ``groups``: how many it has. ``prefixes``: one of them begins every subject that matches
    (None: not anchored, or not known). ``literals``: every subject that matches contains one
    of them (in small letters, if ``ignores_case``); nothing if none are known.
    ``limit``: the longest subject, None without limit. ``match_short`` is Python's own search,
    for subjects of up to ``short`` bytes only.
    """

    __slots__ = (
        "_linear",
        "groups",
        "ignores_case",
        "limit",
        "literals",
        "match_short",
        "prefixes",
        "short",
        "source",
    )

    def __init__(self, source: bytes, *, with_re2: bool = True) -> None:
        """Read a pattern.

        ``with_re2`` uses RE2 where it is installed.

        Raises:
            PatternError: broken, not understood, or without a bound.
        """
        parsed = parse(source)
        self.source = source
        self.groups = parsed.groups
        exact, folded = literals_of(parsed.node), literals_of(parsed.node, folded=True)
        self.ignores_case = _shortest(folded) > _shortest(exact)
        self.literals = folded if self.ignores_case else exact
        anchored = is_anchored(parsed.node)
        prefixes = prefixes_of(parsed.node) if anchored else (b"",)
        self.prefixes = prefixes if all(prefixes) else None
        self.match_short = _python(parsed, anchored=anchored)
        cost = cost_of(parsed)
        self._linear: _Linear | None = None
        self.limit: int | None = None
        if cost.longest(MAX_TRIES) >= MAX_SUBJECT:
            self.short = MAX_SUBJECT
            return
        try:
            automaton = Automaton(parsed, anchored=anchored)
        except NotRenderedError as error:
            self.short = int(min(cost.longest(MAX_TRIES), MAX_SUBJECT))
            self.limit = self.short
            if self.short < SHORTEST_LIMIT:
                raise PatternError(
                    f"may try without end, and cannot be bounded because of {error}; "
                    "make unambiguous what repeats, or leave that out",
                    0,
                ) from error
            return
        re2 = _re2(parsed, automaton) if with_re2 else None
        tries = MAX_TRIES if re2 is None else MAX_TRIES_WITH_LINEAR
        self.short = int(min(cost.longest(tries), MAX_SUBJECT))
        self._linear = re2 or automaton
        if re2 is None and automaton.longest < MAX_SUBJECT:
            self.limit = max(self.short, automaton.longest)

    def search(self, subject: bytes) -> tuple[bytes, ...] | None:
        """The text of the leftmost match and of its groups, or None.

        A group that took no part is empty.

        Raises:
            SubjectTooLongError: ``limit`` is exceeded.
        """
        if len(subject) <= self.short:
            match = self.match_short(subject)
            return None if match is None else (match[0], *match.groups(b""))
        if self._linear is not None and (self.limit is None or len(subject) <= self.limit):
            found = self._linear.search(subject)
            return None if found is None else tuple(found)
        raise SubjectTooLongError(len(subject), self.limit or MAX_SUBJECT)


def _shortest(texts: tuple[bytes, ...]) -> int:
    return min(map(len, texts), default=0)


@lru_cache(maxsize=4096)
def compiled(source: bytes) -> Pattern:
    """A pattern, made once.

    Raises:
        PatternError: see Pattern.
    """
    return Pattern(source)


class _PythonSearch(Protocol):
    def __call__(self, subject: bytes, /) -> re.Match[bytes] | None: ...


def _python(parsed: Parsed, *, anchored: bool) -> _PythonSearch:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = re.compile(render(parsed.node, PYTHON))
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error), 0) from error
    # An anchored pattern can only match at the start; search would try everywhere.
    return pattern.match if anchored else pattern.search


class _Re2Options(Protocol):
    encoding: object
    log_errors: bool


class _Re2Match(Protocol):
    def __getitem__(self, group: int) -> bytes: ...
    def groups(self, default: bytes) -> tuple[bytes, ...]: ...


class _Re2Pattern(Protocol):
    def search(self, subject: bytes) -> _Re2Match | None: ...


class _Re2:
    """A pattern of RE2.

    Its ``$`` knows no newline at the end: what has one is matched by our own automaton.
    """

    def __init__(self, pattern: _Re2Pattern, automaton: Automaton) -> None:
        self._pattern = pattern
        self._automaton = automaton

    def search(self, subject: bytes) -> list[bytes] | None:
        if subject.endswith(b"\n"):
            return self._automaton.search(subject)
        found = self._pattern.search(subject)
        return None if found is None else [found[0], *found.groups(b"")]


def _re2(parsed: Parsed, automaton: Automaton) -> _Linear | None:
    """RE2's form of the pattern; None if it is not installed or cannot say it."""
    try:
        library = importlib.import_module("re2")
    except ImportError:
        return None
    if not hasattr(library, "Options"):
        return None  # another package of that name
    options: _Re2Options = library.Options()
    options.encoding = library.Options.Encoding.LATIN1
    options.log_errors = False
    try:
        pattern: _Re2Pattern = library.compile(render(parsed.node, RE2), options)
    except (NotRenderedError, library.error):
        return None
    return _Re2(pattern, automaton)
