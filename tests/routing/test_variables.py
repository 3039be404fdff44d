"""Functions of ${name[key]} (spec/internal-routing.md section 4.1)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.routing import arithmetic
from uwgate.routing.outside import Outside, Person
from uwgate.routing.template import read_template
from uwgate.routing.transaction import Scope, Transaction
from uwgate.routing.variables import UnknownVariableError, resolver


class World(Outside):
    person = Person(worker=3, pid=42)

    def now(self) -> float:
        return 784111777.25

    def listen_queue(self) -> int:
        return 5

    def metric(self, name: bytes) -> int | None:
        return 17 if name == b"worker.1.requests" else None

    def mime_type(self, name: bytes) -> bytes:
        return b"text/css" if name.endswith(b".css") else b""

    def place_of(self, address: bytes, field: bytes) -> bytes:
        return address + b"/" + field

    def attribute(self, path: bytes, name: bytes) -> bytes:
        return path + b"?" + name


def read(text: str, **variables: str) -> bytes:
    found = {name.encode(): value.encode("latin-1") for name, value in variables.items()}
    transaction = Transaction(found, started=1.5, status=404, size=9, duration=0.25)
    template = read_template(text.encode(), resolver, groups=True)
    return template.expand(Scope(transaction, World()))


COOKIES = "a=; a=2;  b = 3 ;b=4; c=d=e; =x"
CASES = [
    ("${cookie[a]}", {"HTTP_COOKIE": COOKIES}, b"2"),
    ("${cookie[b]}", {"HTTP_COOKIE": COOKIES}, b"4"),
    ("${cookie[c]}", {"HTTP_COOKIE": COOKIES}, b"d=e"),
    ("${cookie[zz]}", {"HTTP_COOKIE": COOKIES}, b""),
    ("${qs[x]}", {"QUERY_STRING": "x=&x=2&y=%20;z=1"}, b"2"),
    ("${qs[y]}", {"QUERY_STRING": "x=&x=2&y=%20;z=1"}, b"%20;z=1"),
    ("${qs[z]}", {"QUERY_STRING": "y=%20;z=1"}, b""),
    ("${mime[A]}", {"A": "/x.css"}, b"text/css"),
    ("${time[unix]}", {}, b"784111777"),
    ("${time[micros]}", {}, b"784111777250000"),
    ("${httptime[]}", {}, b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ("${httptime[60]}", {}, b"Sun, 06 Nov 1994 08:50:37 GMT"),
    ("${httptime[x]}", {}, b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ("${httptime[999999999999999999]}", {}, b"Fri, 31 Dec 9999 23:59:59 GMT"),
    ("${base64[A]}", {"A": "/a"}, b"L2E="),
    ("${hex[A]}", {"A": "/\xe9"}, b"2FE9"),
    ("${upper[A]}${lower[A]}", {"A": "aB\xe9"}, b"AB\xe9ab\xe9"),
    ("${metric[worker.1.requests]}", {}, b"17"),
    ("${metric[nope]}", {}, b"0"),
    ("${uwsgi[wid]} ${uwsgi[pid]} ${uwsgi[lq]}", {}, b"3 42 5"),
    ("${uwsgi[status]} ${uwsgi[rsize]}", {}, b"404 9"),
    ("${uwsgi[sor]} ${uwsgi[rtime]}", {}, b"1500000 250000"),
    ("${uwsgi[uuid]}", {}, b"00000000-0000-4000-8000-000000000000"),
    ("${geoip[city]}", {"REMOTE_ADDR": "::1"}, b"::1/city"),
    ("${xattr[A:user.x]}", {"A": "/f"}, b"/f?user.x"),
    ("${xattr2[A:B]}", {"A": "/f", "B": "user.y"}, b"/f?user.y"),
    ("${math[A+1]}", {"A": "41"}, b"42"),
    ("${math[A/0]}", {"A": "41"}, b""),
]


@pytest.mark.parametrize(("text", "variables", "value"), CASES, ids=[case[0] for case in CASES])
def test_a_function_has_its_value(text: str, variables: dict[str, str], value: bytes) -> None:
    assert read(text, **variables) == value


@pytest.mark.parametrize("text", ["${nope[a]}", "${time[x]}", "${geoip[x]}", "${math[1+]}"])
def test_a_function_or_key_that_does_not_exist_is_an_error(text: str) -> None:
    with pytest.raises(UnknownVariableError):
        read(text)


SUMS = [
    ("1+2*3", 7),
    ("(1+2)*3", 9),
    ("2^3^2", 512),
    ("-2^2", -4),
    ("7/2", 3),
    ("-7/2", -3),
    ("1 - - 1", 2),
    ("sqrt(16)+abs(-2)", 6),
    ("pi*100", 314),
    ("x", 0),
    ("n*2", 10),
    (".5+.5", 1),
]


@pytest.mark.parametrize(("text", "result"), SUMS)
def test_an_expression_has_its_result(text: str, result: int) -> None:
    assert read(f"${{math[{text}]}}", n="5 apples") == b"%d" % result


@pytest.mark.parametrize(
    "text", ["", "1+", "(1", "1)", "1 2", "a$", "1" * 600, "(" * 100 + "1" + ")" * 100]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(arithmetic.ArithmeticMistake):
        arithmetic.compiled(text.encode())


@given(st.text("0123456789+-*/^() .eabs", max_size=60).map(str.encode))
def test_an_expression_is_a_number_or_nothing(text: bytes) -> None:
    try:
        value = arithmetic.compiled(text)
    except arithmetic.ArithmeticMistake:
        return
    with contextlib.suppress(ArithmeticError, ValueError):
        b"%d" % value(lambda name: b"3")
