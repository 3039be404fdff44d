"""Which rules of a chain may match a request at all, found without looking at each.

Most rules want a variable to begin with, contain or be some text. For each variable those
texts stand in tables: one look-up per length of text, one search per text that may stand
anywhere. What is left are candidates; rules that want nothing of the kind always are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from uwgate.routing.workshop import Filter, How

_Table = tuple[tuple[int, Mapping[bytes, tuple[int, ...]]], ...]
_Parts = tuple[tuple[str, tuple[int, ...]], ...]


class _Variable:
    """The texts that rules want of one variable."""

    __slots__ = ("_equal", "_folded_parts", "_names", "_parts", "_prefixes", "_suffixes")

    def __init__(self, names: tuple[bytes, ...], wanted: Iterable[tuple[int, Filter]]) -> None:
        self._names = names
        texts: dict[How, dict[bytes, list[int]]] = {how: defaultdict(list) for how in How}
        for position, found in wanted:
            for text in found.texts:
                texts[found.how][text].append(~position if found.negated else position)
        self._equal = {text: tuple(at) for text, at in texts[How.EQUAL].items()}
        self._prefixes = _by_length(texts[How.PREFIX])
        self._suffixes = _by_length(texts[How.SUFFIX])
        # As str: looking for a part of a str takes a fifth of what it takes with bytes.
        self._parts = _as_letters(texts[How.PART])
        self._folded_parts = _as_letters(texts[How.FOLDED_PART])

    def find(self, variables: Mapping[bytes, bytes], found: list[int]) -> None:
        """Add the positions of the candidates, in no order and some of them twice.

        ``~position`` says that a rule is none, since it wants the contrary.
        """
        for name in self._names:
            if text := variables.get(name):
                break
        else:
            return  # no filter has an empty text
        if positions := self._equal.get(text):
            found += positions
        for length, table in self._prefixes:
            if positions := table.get(text[:length]):
                found += positions
        for length, table in self._suffixes:
            if positions := table.get(text[-length:]):
                found += positions
        if self._parts:
            _find_parts(text.decode("latin-1"), self._parts, found)
        if self._folded_parts:
            _find_parts(text.lower().decode("latin-1"), self._folded_parts, found)


def _as_letters(texts: Mapping[bytes, list[int]]) -> _Parts:
    return tuple((text.decode("latin-1"), tuple(at)) for text, at in texts.items())


def _find_parts(letters: str, parts: _Parts, found: list[int]) -> None:
    for part, positions in parts:
        if part in letters:
            found += positions


def _by_length(texts: Mapping[bytes, list[int]]) -> _Table:
    tables: dict[int, dict[bytes, tuple[int, ...]]] = defaultdict(dict)
    for text, positions in texts.items():
        tables[len(text)][text] = tuple(positions)
    return tuple(sorted(tables.items()))


class Index:
    """``names`` are the variables on which the candidates depend."""

    __slots__ = ("_always", "_variables", "names")

    def __init__(self, filters: Iterable[tuple[int, Filter | None]]) -> None:
        always: list[int] = []
        wanted: dict[tuple[bytes, ...], list[tuple[int, Filter]]] = defaultdict(list)
        for position, found in filters:
            if found is None or found.negated:
                always.append(position)
            if found is not None:
                wanted[found.names].append((position, found))
        self._always = always
        self._variables = tuple(_Variable(names, pairs) for names, pairs in wanted.items())
        self.names = frozenset(name for names in wanted for name in names)

    def candidates(self, variables: Mapping[bytes, bytes]) -> list[int]:
        """The positions of rules that may match, in order."""
        found: list[int] = []
        for variable in self._variables:
            variable.find(variables, found)
        if not found:
            return self._always
        if len(found) == 1 and not self._always and found[0] >= 0:
            return found
        excluded = {~position for position in found if position < 0}
        kept = {position for position in found if position >= 0}
        return sorted(kept.union(self._always) - excluded)
