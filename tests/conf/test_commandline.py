"""The command line: forms of options, abbreviations, bundles, mistakes."""

from __future__ import annotations

import pytest

from uwgate.conf.commandline import parse


def pairs(*arguments: str) -> list[tuple[str, str | None]]:
    line = parse(arguments)
    assert line.problems == []
    return [(pair.key, pair.value) for pair in line.pairs]


def problems(*arguments: str) -> str:
    return "\n".join(parse(arguments).problems)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--http", ":8080"], [("http", ":8080")]),
        (["--http=:8080"], [("http", ":8080")]),
        (["--env=A=B=C"], [("env", "A=B=C")]),
        (["-p", "4"], [("processes", "4")]),
        (["-p4"], [("processes", "4")]),
        (["-MiT"], [("master", None), ("single-interpreter", None), ("enable-threads", None)]),
        (["-Mp", "4"], [("master", None), ("processes", "4")]),
        (["-LC664"], [("disable-logging", None), ("chmod-socket", "664")]),
        (["-C", "-L"], [("chmod-socket", None), ("disable-logging", None)]),
        (["--wsgi_file", "a.py"], [("wsgi-file", "a.py")]),
        (["--wsgi-fi", "a.py"], [("wsgi-file", "a.py")]),
        (["--virtuale", "/v"], [("virtualenv", "/v")]),
        (["--http-keepalive"], [("http-keepalive", None)]),
        (["--http-keepalive=30"], [("http-keepalive", "30")]),
        (["--http-auto-chunked=0"], [("http-auto-chunked", "0")]),
        (["--need-app=false"], [("need-app", "false")]),
        (["--http-to", "-x"], [("http-to", "-x")]),
        (["--logto="], [("logto", "")]),
    ],
)
def test_an_option_may_be_written_like_this(
    arguments: list[str], expected: list[tuple[str, str | None]]
) -> None:
    assert pairs(*arguments) == expected


def test_positional_arguments_keep_their_order() -> None:
    line = parse(["a.ini", "--master", "b.ini", "--", "--c.ini", "-"])
    assert line.positionals == ["a.ini", "b.ini", "--c.ini", "-"]


def test_a_declared_option_is_known_behind_its_declaration() -> None:
    declaration = "--declare-option=hi=chdir=$1;set=x=1"
    assert pairs(declaration, "--hi", "/srv")[1] == ("hi", "/srv")


def test_a_declared_option_without_dollar_takes_no_value() -> None:
    assert pairs("--declare-option=hi=master=1", "--hi")[1] == ("hi", None)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("--vaccum", "there is no option --vaccum; did you mean --vacuum?"),
        ("--qqqqqq", "there is no option --qqqqqq"),
        ("--proc", "--proc could be --processes, --procname-prefix,"),
        ("--vacuum=false", "takes no value, 'false' was given; it is a switch"),
        ("--http", "--http needs a value"),
        ("-p", "-p needs a value"),
        ("-k", "there is no option -k"),
        ("-http", "long options have two dashes: --http"),
        ("-callable", "long options have two dashes: --callable"),
        ("-Mk", "there is no option -k"),
        ("--=x", "there is no option --"),
    ],
)
def test_a_mistake_is_named(argument: str, reason: str) -> None:
    assert reason in problems(argument)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(parse(["--vaccum", "--master", "--harakari"]).problems) == 2
