"""Matching in time proportional to the subject, whatever the pattern: all ways at once.

The tree becomes a program; its threads go through the subject side by side, in order of
preference, at most one per instruction (after Pike). Slower than backtracking where that goes
well, but there is nothing to go badly. Whether there is a match is as in PCRE, always; which
one it is, and its groups, too, but for repeats of what may be empty: PCRE ends those with an
empty round.
"""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.routing.regexp.rendering import NotRenderedError
from uwgate.routing.regexp.tree import (
    WORD,
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
)

MAX_PROGRAM = 5000  # instructions
MAX_WORK = 4_000_000  # instructions times bytes of one search: about a second


@dataclass(frozen=True, slots=True)
class _Byte:
    mask: int


@dataclass(frozen=True, slots=True)
class _Split:
    preferred: int
    other: int


@dataclass(frozen=True, slots=True)
class _Jump:
    target: int


@dataclass(frozen=True, slots=True)
class _Save:
    slot: int


@dataclass(frozen=True, slots=True)
class _Check:
    anchor: Anchor


@dataclass(frozen=True, slots=True)
class _Found:
    pass


_Instruction = _Byte | _Split | _Jump | _Save | _Check | _Found
_Slots = tuple[int, ...]


class Automaton:
    """A pattern that is matched in linear time. ``longest`` is its longest subject, in bytes."""

    def __init__(self, parsed: Parsed, *, anchored: bool) -> None:
        """Raises: NotRenderedError: it looks around, refers to groups, or is too big."""
        self._program: list[_Instruction] = []
        self._slots = 2 * (parsed.groups + 1)
        self._anchored = anchored
        self._emit(Group(parsed.node, 0))
        self._add(_Found())
        self.longest = MAX_WORK // len(self._program)

    def search(self, subject: bytes) -> list[bytes] | None:
        """The text of the match and of its groups (empty where one took no part), or None."""
        program = self._program
        threads: list[tuple[int, _Slots]] = []
        found: _Slots | None = None
        fresh = (-1,) * self._slots
        end = len(subject)
        for position in range(end + 1):
            if found is None and (position == 0 or not self._anchored):
                # Behind the others: who began earlier is preferred.
                seen = {pc for pc, _ in threads}
                self._follow(0, fresh, subject, position, threads, seen)
            if not threads:
                if found is not None or self._anchored:
                    break
                continue
            byte = subject[position] if position < end else -1
            following: list[tuple[int, _Slots]] = []
            reached: set[int] = set()
            for pc, slots in threads:
                instruction = program[pc]
                if isinstance(instruction, _Found):
                    found = slots
                    break  # whoever comes behind is less preferred
                assert isinstance(instruction, _Byte)
                if byte >= 0 and instruction.mask >> byte & 1:
                    self._follow(pc + 1, slots, subject, position + 1, following, reached)
            threads = following
        if found is None:
            return None
        return [
            subject[found[slot] : found[slot + 1]] if found[slot + 1] >= 0 else b""
            for slot in range(0, self._slots, 2)
        ]

    def _follow(
        self,
        pc: int,
        slots: _Slots,
        subject: bytes,
        position: int,
        threads: list[tuple[int, _Slots]],
        seen: set[int],
    ) -> None:
        """Add the threads that are reached from an instruction without taking a byte."""
        todo = [(pc, slots)]
        while todo:
            pc, slots = todo.pop()
            if pc in seen:
                continue
            seen.add(pc)
            instruction = self._program[pc]
            match instruction:
                case _Jump(target):
                    todo.append((target, slots))
                case _Split(preferred, other):
                    todo.append((other, slots))
                    todo.append((preferred, slots))
                case _Save(slot):
                    todo.append((pc + 1, (*slots[:slot], position, *slots[slot + 1 :])))
                case _Check(anchor):
                    if holds(anchor, subject, position):
                        todo.append((pc + 1, slots))
                case _:
                    threads.append((pc, slots))

    def _add(self, instruction: _Instruction) -> int:
        if len(self._program) >= MAX_PROGRAM:
            raise NotRenderedError(f"more than {MAX_PROGRAM} steps")
        self._program.append(instruction)
        return len(self._program) - 1

    def _emit(self, node: Node) -> None:
        match node:
            case Chars(mask):
                self._add(_Byte(mask))
            case Edge(anchor):
                self._add(_Check(anchor))
            case Sequence(items):
                for item in items:
                    self._emit(item)
            case Group(item, number):
                self._add(_Save(2 * number))
                self._emit(item)
                self._add(_Save(2 * number + 1))
            case Choice(branches):
                self._emit_choice(branches)
            case Repeat():
                self._emit_repeat(node)
            case Atomic():
                raise NotRenderedError("an atomic group")
            case Look():
                raise NotRenderedError("looking ahead or behind")
            case Reference():
                raise NotRenderedError("a reference to a group")

    def _emit_choice(self, branches: tuple[Node, ...]) -> None:
        ends: list[int] = []
        for branch in branches[:-1]:
            split = self._add(_Found())
            self._emit(branch)
            ends.append(self._add(_Found()))
            self._program[split] = _Split(split + 1, len(self._program))
        self._emit(branches[-1])
        for end in ends:
            self._program[end] = _Jump(len(self._program))

    def _emit_repeat(self, node: Repeat) -> None:
        if node.greed is Greed.POSSESSIVE:
            raise NotRenderedError("possessive repeats")
        lazy = node.greed is Greed.LAZY
        if node.maximum is None:
            self._emit_loop(node, lazy=lazy)
            return
        for _ in range(node.minimum):
            self._emit(node.item)
        splits: list[int] = []
        for _ in range(node.maximum - node.minimum):
            splits.append(self._add(_Found()))
            self._emit(node.item)
        for split in splits:
            self._program[split] = self._split(split + 1, lazy=lazy)

    def _emit_loop(self, node: Repeat, *, lazy: bool) -> None:
        """Decide behind the item whether it comes again: an empty one then ends the loop."""
        for _ in range(node.minimum - 1):
            self._emit(node.item)
        entry = self._add(_Found()) if node.minimum == 0 else None
        start = len(self._program)
        self._emit(node.item)
        again = self._add(_Found())
        self._program[again] = self._split(start, lazy=lazy)
        if entry is not None:
            self._program[entry] = self._split(start, lazy=lazy)

    def _split(self, into: int, *, lazy: bool) -> _Split:
        """Either ``into`` or on behind what is emitted so far."""
        end = len(self._program)
        return _Split(end, into) if lazy else _Split(into, end)


def holds(anchor: Anchor, subject: bytes, position: int) -> bool:
    """Whether a place of the subject is such a place."""
    end = len(subject)
    match anchor:
        case Anchor.START:
            return position == 0
        case Anchor.VERY_END:
            return position == end
        case Anchor.END:
            return position == end or (position == end - 1 and subject[position] == 10)
        case Anchor.LINE_START:
            return position == 0 or subject[position - 1] == 10
        case Anchor.LINE_END:
            return position == end or subject[position] == 10
        case Anchor.BOUNDARY | Anchor.NO_BOUNDARY:
            before = position > 0 and WORD >> subject[position - 1] & 1
            after = position < end and WORD >> subject[position] & 1
            return (bool(before) != bool(after)) is (anchor is Anchor.BOUNDARY)
