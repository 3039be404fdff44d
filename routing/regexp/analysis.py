"""What a pattern costs at worst where matching means trying, and what every match contains.

A backtracking matcher tries every way in which the repeats of a pattern can share the bytes
of the subject. A repeat whose bytes cannot begin what follows it has only one way to end; any
other one multiplies the number of tries by the length of the subject. Inside another repeat
that makes it exponential. The rules below never estimate too little.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, inf

from uwgate.routing.regexp.tree import (
    ALL,
    Anchor,
    Atomic,
    Chars,
    Choice,
    Edge,
    Greed,
    Group,
    Look,
    Node,
    Parsed,
    Reference,
    Repeat,
    Sequence,
    fold,
    mask_of,
)

MAX_PREFIXES = 16
MAX_MEMBERS = 4  # of a set that is spelled out: a letter of either case, not a digit
MAX_PREFIX = 64  # bytes


@dataclass(frozen=True, slots=True)
class Cost:
    """At most ``factor`` * n ** ``degree`` / ``degree``! tries for n bytes.

    ``ambiguous``: there is more than one way to match the same bytes.
    """

    factor: float = 1
    degree: float = 0
    ambiguous: bool = False

    def longest(self, tries: int) -> float:
        """The length of subject, in bytes, that costs so many tries at most."""
        if self.degree == inf:
            return 0
        if self.degree == 0:
            return inf if self.factor <= tries else 0
        degree = int(self.degree)
        return float((tries * factorial(degree) / self.factor) ** (1 / degree))


EXPONENTIAL = Cost(inf, inf, True)
MAX_FACTOR = 1e9


def cost_of(parsed: Parsed) -> Cost:
    """What a search costs."""
    cost = _cost(parsed.node, 0, Cost())
    if not is_anchored(parsed.node):
        cost = Cost(cost.factor, cost.degree + 1, cost.ambiguous)
    return cost


def is_anchored(node: Node) -> bool:
    """Whether a match can only begin where the subject does."""
    match node:
        case Edge(anchor):
            return anchor is Anchor.START
        case Sequence(items):
            for item in items:
                if is_anchored(item):
                    return True
                if not isinstance(item, Edge | Look):
                    return False
            return False
        case Choice(branches):
            return all(is_anchored(branch) for branch in branches)
        case Group(item) | Atomic(item):
            return is_anchored(item)
        case _:
            return False


def first(node: Node) -> tuple[int, bool]:
    """The bytes that it can begin with, and whether it can match no byte at all."""
    match node:
        case Chars(mask):
            return mask, False
        case Sequence(items):
            mask = 0
            for item in items:
                begin, nullable = first(item)
                mask |= begin
                if not nullable:
                    return mask, False
            return mask, True
        case Choice(branches):
            begins = [first(branch) for branch in branches]
            mask = 0
            for begin, _ in begins:
                mask |= begin
            return mask, any(nullable for _, nullable in begins)
        case Repeat(item, minimum):
            mask, nullable = first(item)
            return mask, nullable or minimum == 0
        case Group(item) | Atomic(item):
            return first(item)
        case Edge():
            return 0, True
        case Look() | Reference():
            return ALL, True


def _cost(node: Node, follow: int, rest: Cost) -> Cost:
    """What it costs to match the node and then ``rest``, which begins with ``follow``."""
    match node:
        case Chars() | Edge():
            return rest
        case Reference():
            return Cost(rest.factor, rest.degree + 1, rest.ambiguous)
        case Group(item):
            return _cost(item, follow, rest)
        case Sequence(items):
            for item in reversed(items):
                rest = _cost(item, follow, rest)
                begin, nullable = first(item)
                follow = begin | (follow if nullable else 0)
            return rest
        case Atomic(item) | Look(item):
            return _together(_cost(item, 0, Cost()), rest)
        case Choice(branches):
            return _choice(branches, follow, rest)
        case Repeat():
            return _repeat(node, follow, rest)


def _together(one: Cost, other: Cost) -> Cost:
    """Both, one after the other."""
    factor = one.factor + other.factor
    if factor > MAX_FACTOR:
        return EXPONENTIAL
    return Cost(
        factor,
        max(one.degree, other.degree),
        one.ambiguous or other.ambiguous,
    )


def _choice(branches: tuple[Node, ...], follow: int, rest: Cost) -> Cost:
    seen = 0
    overlap = False
    for branch in branches:
        begin, nullable = first(branch)
        if nullable:
            begin |= follow
        overlap = overlap or bool(seen & begin)
        seen |= begin
    return _either([_cost(branch, follow, rest) for branch in branches], overlap=overlap)


def _either(costs: list[Cost], *, overlap: bool) -> Cost:
    """One of several ways; without overlap all but one end at their first byte."""
    factor = (sum if overlap else max)(cost.factor for cost in costs)
    if factor > MAX_FACTOR:
        return EXPONENTIAL
    ambiguous = overlap or any(cost.ambiguous for cost in costs)
    return Cost(factor, max(cost.degree for cost in costs), ambiguous)


def _repeat(node: Repeat, follow: int, rest: Cost) -> Cost:
    begin, nullable = first(node.item)
    if node.greed is Greed.POSSESSIVE:
        inner = _repeat(Repeat(node.item, node.minimum, node.maximum, Greed.GREEDY), 0, Cost())
        return _together(inner, rest)
    if node.maximum == 1:
        if node.minimum == 1:
            return _cost(node.item, follow, rest)
        overlap = nullable or bool(begin & follow)
        return _either([_cost(node.item, follow, rest), rest], overlap=overlap)
    inner = _cost(node.item, follow | begin, Cost())
    fixed = node.minimum == node.maximum
    if fixed and not inner.ambiguous and not nullable and inner.degree == 0:
        return rest
    if nullable or inner.ambiguous:
        return EXPONENTIAL
    if begin & follow and not fixed:
        return Cost(rest.factor * inner.factor, max(inner.degree, 1) + rest.degree, True)
    return _together(Cost(inner.factor, max(inner.degree, 1)), rest)


def prefixes_of(node: Node) -> tuple[bytes, ...]:
    """Texts one of which every match begins with; one empty text if nothing is known."""
    return _prefixes(node)[0]


def _prefixes(node: Node) -> tuple[tuple[bytes, ...], bool]:
    """The texts, and whether they stand for all of the node."""
    match node:
        case Chars():
            if node.mask.bit_count() > MAX_MEMBERS or not node.mask:
                return (b"",), False
            return tuple(bytes([byte]) for byte in node.members()), True
        case Edge():
            return (b"",), True
        case Group(item) | Atomic(item):
            return _prefixes(item)
        case Sequence(items):
            return _joined(items)
        case Choice(branches):
            found: list[bytes] = []
            complete = True
            for branch in branches:
                texts, whole = _prefixes(branch)
                found += texts
                complete = complete and whole
            if len(found) > MAX_PREFIXES:
                return (b"",), False
            return tuple(dict.fromkeys(found)), complete
        case Repeat(item, minimum, maximum):
            if minimum == 0:
                return (b"",), False
            texts, whole = _prefixes(item)
            return texts, whole and minimum == maximum == 1
        case Look() | Reference():
            return (b"",), False


def _joined(items: tuple[Node, ...]) -> tuple[tuple[bytes, ...], bool]:
    texts: tuple[bytes, ...] = (b"",)
    for item in items:
        more, whole = _prefixes(item)
        if len(texts) * len(more) > MAX_PREFIXES:
            return texts, False
        texts = tuple(one + other for one in texts for other in more)
        if not whole:
            return texts, False
        if max(len(text) for text in texts) > MAX_PREFIX:
            return texts, False
    return texts, True


def literals_of(node: Node, *, folded: bool = False) -> tuple[bytes, ...]:
    """Texts at least one of which is in every match; nothing if none are known.

    ``folded``: the texts are in small letters, and so has to be what is searched for them.
    """
    best: tuple[bytes, ...] = ()
    run = b""
    for item in (*_flattened(node), None):
        byte = _byte_of(item, folded=folded) if isinstance(item, Chars) else None
        if byte is not None:
            run += byte
            continue
        best = _better(best, (run,))
        run = b""
        if isinstance(item, Choice):
            best = _better(best, _literals_of_branches(item, folded=folded))
        elif isinstance(item, Repeat) and item.minimum > 0:
            best = _better(best, literals_of(item.item, folded=folded))
    return best


def _better(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of which the shortest is longer."""
    return max(one, other, key=lambda texts: min(map(len, texts), default=0))


def _literals_of_branches(node: Choice, *, folded: bool) -> tuple[bytes, ...]:
    found = [literals_of(branch, folded=folded) for branch in node.branches]
    texts = tuple(dict.fromkeys(text for texts in found for text in texts))
    return texts if all(found) and all(texts) and len(texts) <= MAX_PREFIXES else ()


def _byte_of(node: Chars, *, folded: bool) -> bytes | None:
    """The one byte that it is; with ``folded``, also the small letter of a pair."""
    single = node.single
    if single is not None:
        return bytes([single]).lower() if folded else bytes([single])
    if folded and node.mask.bit_count() == 2:
        small = bytes([node.mask.bit_length() - 1])
        if node.mask == fold(mask_of(small)):
            return small
    return None


def _flattened(node: Node) -> list[Node]:
    """What stands one after the other; places between bytes are left out."""
    match node:
        case Edge() | Look():
            return []
        case Group(item) | Atomic(item):
            return _flattened(item)
        case Sequence(items):
            return [part for item in items for part in _flattened(item)]
        case _:
            return [node]
