"""``uwgate.testing``: what users write in their tests of rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwgate.testing import ConfigError, Rules

RULES = Rules.read(
    r"""
    [uwsgi]
    # comments are passed over
    route = ^/old$ redirect:/new
    route = ^/gone redirect-permanent:/
    route-host = ^admin\. goto:admin
    route = ^/close break:
    route = ^/broken +:NOPE
    route = ^/api http:127.0.0.1:3000
    route = ^/file/(.*) static:/etc/$1
    route = ^/c/(.*) cache:key=$1,name=pages
    route = ^/tag addvar:TAG=${HTTP_X_TAG}
    route = ^/rewrite rewrite:/written
    route-run = gzip:
    route-run = log:seen ${REMOTE_ADDR}
    route-run = last:
    route-label = admin
    route-if-not = equal:${HTTPS};on break:403 No
    response-route-status = 404 redirect:/not-found
    response-route-run = addheader:X-Rule: 1
    """
)


def test_a_redirect_is_seen() -> None:
    assert RULES.get("/old").redirects_to("/new")
    assert RULES.get("/old").redirects_to("/new", 302)
    assert RULES.get("/gone").redirects_to("/", 301)
    assert not RULES.get("/old").redirects_to("/new", 301)
    assert not RULES.get("/old").redirects_to("/other")
    assert not RULES.get("/").redirects_to("/new")


def test_an_answer_is_seen() -> None:
    outcome = RULES.get("/", {"Host": "admin.example"})
    assert outcome.answers(403)
    assert outcome.answers(403, "")
    assert not outcome.answers(404)
    assert not RULES.get("/").answers(200)


def test_a_failing_rule_answers_its_error() -> None:
    outcome = RULES.get("/broken")
    assert outcome.answers(500)
    assert outcome.problems == ["line 8: route = ^/broken +:NOPE: there is no variable NOPE"]


def test_circumstances_are_what_the_test_says() -> None:
    admin = {"Host": "admin.example"}
    assert RULES.get("/", admin, https=True).reaches_application
    assert RULES.get("/", remote_address="10.0.0.1").logged == ["seen 10.0.0.1"]
    assert RULES.get("/", variables={"HTTP_HOST": "admin.x"}).answers(403)


def test_what_the_application_sees_is_known() -> None:
    outcome = RULES.post("/tag?a=1", [("X-Tag", "blue")])
    assert outcome.reaches_application
    assert outcome.variables["TAG"] == "blue"
    assert outcome.variables["REQUEST_METHOD"] == "POST"
    assert RULES.get("/rewrite").path == "/written"


def test_the_response_is_what_rules_make_of_the_applications() -> None:
    outcome = RULES.ask("PUT", "/", status=201, response_headers={"X-App": "1"})
    assert outcome.status == 201
    assert outcome.headers == (("X-App", "1"), ("X-Rule", "1"))
    assert outcome.header("x-rule") == "1"
    assert outcome.header("x-none") is None
    assert outcome.transformations == ["gzip"]
    assert RULES.get("/", status=404).redirects_to("/not-found")


def test_a_backend_a_file_and_a_closed_connection_are_seen() -> None:
    assert RULES.get("/api").goes_to("127.0.0.1:3000")
    assert RULES.get("/api").goes_to("127.0.0.1:3000", "http")
    assert not RULES.get("/api").goes_to("127.0.0.1:3000", "uwsgi")
    assert not RULES.get("/").goes_to("127.0.0.1:3000")
    assert RULES.get("/file/passwd").serves(Path("/etc/passwd"))
    assert not RULES.get("/file/nope").serves("/etc/nope")
    assert not RULES.get("/").serves("/")
    assert RULES.get("/close").ends_without_answer()
    assert not RULES.get("/broken").ends_without_answer()


def test_the_world_is_what_the_test_says() -> None:
    assert RULES.get("/c/a").assumed
    known = RULES.with_answers("cache:pages/a=hello")
    assert known.get("/c/a").answers(200, "hello")
    assert not known.get("/c/a").assumed


def test_a_failing_assertion_shows_what_happened() -> None:
    assert repr(RULES.get("/old")) == ("<GET /old: redirected with 302 to /new, by line 4 line 20>")
    assert "PATH_INFO is '/old', wanted '^/old$': yes" in str(RULES.get("/old"))


def test_a_file_is_read_as_uwgate_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ini"
    path.write_text("[uwsgi]\nhttp = 127.0.0.1:0\nprefix = /x\nroute = ^%(prefix) return:403\n")
    assert Rules.load(path).get("/x").answers(403)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("route = ^/ nope:", "line 1: route = .*unknown action 'nope'"),
        ("http = :80", "line 1: http is no option of routing"),
        ("route", "line 1: 'route' is no option = value"),
    ],
)
def test_rules_that_cannot_be_used_are_errors(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Rules.read(text)


def test_a_configuration_without_rules_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.ini"
    path.write_text("[uwsgi]\nhttp = 127.0.0.1:0\n")
    with pytest.raises(ConfigError, match="no routing rules"):
        Rules.load(path)
