"""A request's way through all chains, and what the client gets of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uwgate.explain.document import document_of
from uwgate.explain.page import Page, verdict_of
from uwgate.explain.request import Asked
from uwgate.explain.story import Response, Story, tell
from uwgate.routing.headers import compile_headers
from uwgate.routing.rules import compile_rules
from uwgate.routing.ruleset import RuleSet
from uwgate.testing import Rules


def story(*lines: str, path: str = "/", assumed: Response | None = None) -> Story:
    triples = [
        (name.strip(), value.strip(), f"a.ini:{number}")
        for number, line in enumerate(lines, 1)
        for name, _, value in [line.partition("=")]
    ]
    rules = compile_rules(one for one in triples if "route" in one[0])
    headers = compile_headers(one for one in triples if "route" not in one[0])
    return tell(RuleSet(rules, headers), Asked("GET", path), assumed=assumed, now=0.0)


def test_without_a_word_of_the_response_nobody_knows_it() -> None:
    told = story("route-run = addvar:A=b")
    assert told.reaches_application
    assert told.response is None


def test_the_response_is_what_the_application_says_and_rules_make_of_it() -> None:
    told = story(
        "add-header = X-Always: 1",
        "route-run = addheader:X-Late: 1",
        "response-route-status = 404 remheader:X-App",
        assumed=Response(404, b"Not Found", ((b"X-App", b"1"), (b"X-B", b"2"))),
    )
    assert told.response == Response(
        404, b"Not Found", ((b"X-B", b"2"), (b"X-Always", b"1"), (b"X-Late", b"1"))
    )


def test_the_error_chain_may_put_another_answer_in_its_place() -> None:
    told = story("error-route-status = 404 redirect:/gone", assumed=Response(404, b"Not Found"))
    assert told.response is not None
    assert told.response.status == 302
    assert told.body == b"Moved"
    assert told.reaches_application


def test_a_rule_that_fails_makes_an_error() -> None:
    told = story("route-run = +:NOPE")
    assert told.response == Response(500, b"Internal Server Error")
    assert verdict_of(told) == "the request ends, 500: there is no variable NOPE"


def test_a_request_may_end_without_answer() -> None:
    told = story("route-run = break:")
    assert told.response is None
    assert not told.reaches_application


def test_a_backend_is_not_asked() -> None:
    told = story("route-run = http:127.0.0.1:80")
    assert told.response is None
    assert verdict_of(told) == "handed to http 127.0.0.1:80"
    assert document_of(told)["address"] == "127.0.0.1:80"


def test_what_a_backend_says_may_be_assumed() -> None:
    told = story(
        "route-run = proxyhttp:127.0.0.1:80", "response-route-status = 502 redirect:/sorry"
    )
    assert "   if the backend answers 200, the client gets:" in page(told)


def test_a_file_is_found_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    rule = f"route = ^/(.*)$ static:{tmp_path}/$1"
    found = story(rule, path="/a.txt")
    assert verdict_of(found) == f"the file {tmp_path}/a.txt, 5 bytes"
    assert found.response == Response(
        200, b"OK", ((b"Content-Type", b"text/plain"), (b"Content-Length", b"5"))
    )
    missing = story(rule, path="/b.txt")
    assert verdict_of(missing) == (
        f"the file {tmp_path}/b.txt, which cannot be served: there is no such file"
    )
    assert missing.response == Response(404, b"Not Found")


def test_an_optional_file_ends_the_chain_only_if_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello")
    rules = (f"route = ^/(.*)$ static-next:{tmp_path}/$1", "route-run = return:418")
    assert verdict_of(story(*rules, path="/a")) == f"the file {tmp_path}/a, 5 bytes"
    assert verdict_of(story(*rules, path="/b")) == "answered with 418 I'm a teapot"


def test_a_file_is_sent_as_its_rule_says(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("hello")
    rule = f"route-run = file:filename={tmp_path}/a.css,status=201 Made,mime=1"
    told = story(rule)
    assert told.response == Response(
        201, b"Made", ((b"Content-Type", b"text/css"), (b"Content-Length", b"5"))
    )


def page(told: Story, *, colours: bool = False) -> str:
    return Page(colours=colours).text(told)


RULES = (
    "route = ^/a goto:end",
    "route-run = addvar:TAG=x",
    "route-label = end",
    r"route = ^/(\w+)$ break:403",
    "route-run = last:",
    "route-run = last:",
    "final-route-run = log:${uwsgi[status]}",
)


def test_the_page_says_what_every_rule_did() -> None:
    assert page(story(*RULES, path="/a")) == (
        r"""GET /a

Rules of the request
  a.ini:1: route = ^/a goto:end
      PATH_INFO is '/a', wanted '^/a': yes
      go to 'end', rule 2
  a.ini:2: route-run = addvar:TAG=x  [skipped by goto]
  a.ini:4: route = ^/(\w+)$ break:403
      PATH_INFO is '/a', wanted '^/(\w+)$': yes
      $0='/a', $1='a'
      answer 403 Forbidden, 0 bytes; Connection: close; Content-Type: text/plain
  (2 rules further down not reached)

Rules of the end (final-route)
  a.ini:7: final-route-run = log:${uwsgi[status]}
      log '403'
      then the next rule

=> answered with 403 Forbidden
   403 Forbidden
   Connection: close
   Content-Type: text/plain
"""
    )


def test_a_terminal_gets_colours_and_the_same_text() -> None:
    told = story(*RULES, path="/a")
    coloured = page(told, colours=True)
    plain = coloured
    for number in ("0", "1", "2", "31", "32", "36"):
        plain = plain.replace(f"\033[{number}m", "")
    assert coloured != plain
    assert plain == page(told)


def test_the_document_has_every_rule_and_fits_into_json() -> None:
    document = json.loads(json.dumps(document_of(story(*RULES, path="/a"))))
    request, final = document["chains"]
    assert [rule["fate"] for rule in request["rules"]] == [
        "yes",
        "skipped",
        "yes",
        "not reached",
        "not reached",
    ]
    assert request["rules"][2]["groups"] == ["/a", "a"]
    assert final["chain"] == "final"
    assert (document["kind"], document["response"]["status"]) == ("answer", 403)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("route-run = last:", "application"),
        ("route-run = break:", "break"),
        ("route-run = uwsgi:/s,0,0", "backend"),
        ("route-run = static:/etc/hostname", "file"),
        ("route-run = return:404", "answer"),
    ],
)
def test_the_document_names_the_kind_of_the_end(rule: str, kind: str) -> None:
    assert document_of(story(rule))["kind"] == kind


def test_a_mapped_file_is_served_unless_a_rule_ends_the_request(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello")
    config = tmp_path / "a.ini"
    config.write_text(
        f"[uwsgi]\nhttp = 127.0.0.1:0\nstatic-map = /s={tmp_path}\n"
        "route-qs = no break:403\nroute-run = addheader:X-R: 1\n"
    )
    rules = Rules.load(config)
    assert rules.get("/s/a").serves(tmp_path / "a")
    assert rules.get("/s/a").header("X-R") == "1"
    assert rules.get("/s/a?no").answers(403)
    assert rules.get("/s/b").reaches_application
