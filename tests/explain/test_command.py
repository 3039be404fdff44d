"""The command: a configuration, a request, and what would happen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uwgate.cli import main

CONFIG = """\
[uwsgi]
http = 127.0.0.1:0
route = ^/old redirect:/new
route-host = ^admin\\. break:403
route = ^/c/(.*) cache:key=$1,name=pages
route-if = equal:${HTTPS};on addvar:TAG=${ZONE}${REMOTE_ADDR}
route-if = equal:${TAG};x10.0.0.1 return:418
response-route-status = 404 addheader:X-Missing: 1
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "app.ini"
    path.write_text(CONFIG)
    return str(path)


def explain(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


def test_it_says_where_each_rule_stands(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, config, "/old")
    assert f"  {config}:3: route = ^/old redirect:/new\n" in text
    assert "=> redirected with 302 to /new\n" in text
    assert "\033" not in text


def test_headers_may_stand_in_the_request_or_behind_it(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = "=> answered with 403 Forbidden\n"
    assert verdict in explain(capsys, config, "GET / Host: admin.example")
    assert verdict in explain(capsys, config, "/", "Host: admin.example")


def test_an_answer_fills_the_cache(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "=> the request goes on" in explain(capsys, config, "/c/a")
    text = explain(capsys, config, "/c/a", "--answer", "cache:pages/a=hello")
    assert "=> answered with 200 OK\n" in text


def test_who_asks_and_how_can_be_said(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, config, "/", "--https", "--remote-addr", "10.0.0.1", "--var", "ZONE=x")
    assert "=> answered with 418 I'm a teapot\n" in text


def test_the_applications_answer_can_be_said(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explain(capsys, config, "/", "--status", "404", "--response-header", "X-App: 1")
    assert text.endswith(
        "   if the application answers 404, the client gets:\n"
        "   404 Not Found\n   X-App: 1\n   X-Missing: 1\n"
    )


def test_a_program_gets_json(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(explain(capsys, config, "/old", "--json"))
    assert document["verdict"] == "redirected with 302 to /new"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nope.ini", "/"], "nope.ini"),
        (["{config}", "what"], "is no request: expected something like 'GET /path Host:"),
        (["{config}", "/", "--answer", "cache"], "--answer cache: expected one of cache, "),
        (["{config}", "/", "--status", "99"], "--status 99: expected 200 to 999"),
        (["{config}", "/", "--var", "X"], "--var X: expected NAME=VALUE"),
        (["{config}", "/%zz"], "no rule sees this request, it is refused: broken percent escape"),
    ],
)
def test_a_mistake_is_told(
    config: str, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    assert main(["explain", *(word.format(config=config) for word in words)]) == 1
    assert problem in capsys.readouterr().err


def test_a_configuration_without_rules_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plain.ini"
    path.write_text("[uwsgi]\nhttp = 127.0.0.1:0\n")
    assert main(["explain", str(path), "/"]) == 1
    assert "there are no routing rules in it" in capsys.readouterr().err


def test_help_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["explain", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "uwgate explain shop.ini /old/42" in text
    assert "cache:[CACHE/]KEY=VALUE" in text


def test_bytes_that_are_no_text_are_shown_and_not_choked_on(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = "\udcff"
    text = explain(
        capsys,
        config,
        "/",
        f"X-A: {wild}",
        *("--remote-addr", wild, "--response-header", f"X-B: {wild}", "--var", f"A={wild}"),
    )
    assert r"   X-B: \xff" in text
