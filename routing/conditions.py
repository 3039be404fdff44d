"""Conditions of ``route-if`` (spec/internal-routing.md section 5)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from uwgate.routing.keyval import read_pairs
from uwgate.routing.outside import FILE_TESTS, FileTest
from uwgate.routing.regexp.pattern import SubjectTooLongError
from uwgate.routing.template import Template
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import (
    Condition,
    ConditionKind,
    Filter,
    How,
    Mistake,
    Workshop,
    filter_of,
    show,
)

_SIGNED = re.compile(rb"[-+]?[0-9]{1,18}")


def _two(workshop: Workshop, text: bytes) -> tuple[Template, Template]:
    left, semicolon, right = text.partition(b";")
    if not semicolon:
        raise Mistake(f"{show(text)} has no ';' between what is to be compared")
    return workshop.operand(left), workshop.operand(right)


def _compare(
    how: How, compare: Callable[[bytes, bytes], bool]
) -> Callable[[Workshop, bytes], Condition]:
    def make(workshop: Workshop, text: bytes) -> Condition:
        left, right = _two(workshop, text)
        variable, constant = left.variable, right.constant
        read, other = left.reader, right.reader

        if constant is None:

            def check(scope: Scope) -> bool:
                return compare(read(scope), other(scope))
        else:

            def check(scope: Scope) -> bool:
                return compare(read(scope), constant)

        found: Filter | None = None
        if _is_plain(variable) and constant:
            assert variable is not None
            found = Filter((variable,), how, (constant,), exact=True)
        return Condition(check, (left, right), found)

    return make


def _is_plain(variable: bytes | None) -> bool:
    """Whether it is a variable of the request and no function."""
    return variable is not None and b"[" not in variable


def number(text: bytes) -> int:
    """The signed number that a text begins with, 0 without one."""
    match = _SIGNED.match(text)
    return int(match[0]) if match else 0


def _numbers(compare: Callable[[int, int], bool]) -> Callable[[Workshop, bytes], Condition]:
    def make(workshop: Workshop, text: bytes) -> Condition:
        left, right = _two(workshop, text)

        def check(scope: Scope) -> bool:
            return compare(number(left.expand(scope)), number(right.expand(scope)))

        return Condition(check, (left, right))

    return make


def _empty(workshop: Workshop, text: bytes) -> Condition:
    operand = workshop.operand(text)
    read = operand.reader
    return Condition(lambda scope: not read(scope), (operand,))


def _regexp(workshop: Workshop, text: bytes) -> Condition:
    left, semicolon, source = text.partition(b";")
    if not semicolon:
        raise Mistake(f"{show(text)} has no ';' before its regular expression")
    operand = workshop.operand(left)
    pattern = workshop.pattern(source)

    def check(scope: Scope) -> bool:
        try:
            groups = pattern.search(operand.expand(scope))
        except SubjectTooLongError as error:
            raise RuleError(str(error), 414) from error
        if groups is None:
            return False
        scope.groups = groups
        return True

    found: Filter | None = None
    if _is_plain(operand.variable):
        assert operand.variable is not None
        found = filter_of((operand.variable,), pattern)
    return Condition(check, (operand,), found)


def _file(test: FileTest) -> Callable[[Workshop, bytes], Condition]:
    def make(workshop: Workshop, text: bytes) -> Condition:
        path = workshop.operand(text)

        def check(scope: Scope) -> bool:
            name = path.expand(scope)
            return b"\0" not in name and scope.outside.check_file(name, test)

        return Condition(check, (path,))

    return make


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=4096)
def _network(text: bytes) -> _Network | None:
    """A network, or None if the text is none; bits behind its prefix do not matter."""
    try:
        return ipaddress.ip_network(text.decode("latin-1"), strict=False)
    except ValueError:
        return None


def _address(text: bytes) -> _Address | None:
    try:
        return ipaddress.ip_address(text.decode("latin-1"))
    except ValueError:
        return None


def _network_of(version: int) -> Callable[[Workshop, bytes], Condition]:
    def make(workshop: Workshop, text: bytes) -> Condition:
        left, right = _two(workshop, text)
        if right.constant is not None:
            constant = _network(right.constant)
            if constant is None or constant.version != version:
                raise Mistake(f"{show(right.constant)} is no IPv{version} network")

        def check(scope: Scope) -> bool:
            network = _network(right.expand(scope))
            address = _address(left.expand(scope))
            if version == 4 and isinstance(address, ipaddress.IPv6Address):
                address = address.ipv4_mapped
            if network is None or address is None or network.version != version:
                return False
            return address.version == version and address in network

        return Condition(check, (left, right))

    return make


def _lord(workshop: Workshop, text: bytes) -> Condition:
    legion = workshop.operand(text)
    return Condition(lambda scope: scope.outside.is_lord(legion.expand(scope)), (legion,))


def _in_cache(workshop: Workshop, text: bytes) -> Condition:
    pairs = read_pairs(text, ("key", "name"), required=("key",))
    key = workshop.operand(pairs["key"])
    name = pairs.get("name", b"")
    return Condition(lambda scope: scope.outside.in_cache(name, key.expand(scope)), (key,))


_TWO = "a;b"

CONDITIONS: tuple[ConditionKind, ...] = (
    ConditionKind(("exists",), "path", "there is such a file", _file(FILE_TESTS["exists"])),
    ConditionKind(("isfile",), "path", "it is a regular file", _file(FileTest.FILE)),
    ConditionKind(("isdir",), "path", "it is a directory", _file(FileTest.DIRECTORY)),
    ConditionKind(("islink",), "path", "it is a symbolic link", _file(FileTest.LINK)),
    ConditionKind(("isexec",), "path", "we may execute it", _file(FileTest.EXECUTABLE)),
    ConditionKind(
        ("equal", "isequal", "eq", "=="),
        _TWO,
        "both are the same",
        _compare(How.EQUAL, bytes.__eq__),
    ),
    ConditionKind(("startswith",), _TWO, "a begins with b", _compare(How.PREFIX, bytes.startswith)),
    ConditionKind(("endswith",), _TWO, "a ends with b", _compare(How.SUFFIX, bytes.endswith)),
    ConditionKind(
        ("contains", "contain"),
        _TWO,
        "b is somewhere in a and not empty",
        _compare(How.PART, lambda a, b: bool(b) and b in a),
    ),
    ConditionKind(
        ("regexp", "re"), "a;pattern", "the pattern is found in a; gives `$1`...", _regexp
    ),
    ConditionKind(("empty",), "a", "nothing is in it", _empty),
    ConditionKind(("ishigher", ">"), _TWO, "as numbers, a > b", _numbers(lambda a, b: a > b)),
    ConditionKind(("islower", "<"), _TWO, "as numbers, a < b", _numbers(lambda a, b: a < b)),
    ConditionKind(
        ("ishigherequal", ">="), _TWO, "as numbers, a >= b", _numbers(lambda a, b: a >= b)
    ),
    ConditionKind(
        ("islowerequal", "<="), _TWO, "as numbers, a <= b", _numbers(lambda a, b: a <= b)
    ),
    ConditionKind(
        ("ipv4in",), "address;network[/bits]", "the IPv4 address is in the network", _network_of(4)
    ),
    ConditionKind(
        ("ipv6in",), "address;network[/bits]", "the IPv6 address is in the network", _network_of(6)
    ),
    ConditionKind(("lord",), "legion", "this node is lord of the legion", _lord),
    ConditionKind(
        ("incache",), "key=...[,name=...]", "the cache has an item of that key", _in_cache
    ),
)
