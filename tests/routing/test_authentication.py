"""Actions that want to know who the client is (spec/internal-routing.md section 6.6)."""

from __future__ import annotations

import base64

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.routing import libraries
from uwgate.routing.results import (
    Admitted,
    Answer,
    Authority,
    Break,
    CheckCredentials,
    CheckPassword,
    Continue,
    Failed,
)
from uwgate.routing.rules import compile_rules

from .acting import act


@pytest.fixture(autouse=True)
def _libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "is_installed", lambda module: True)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode("latin-1")).decode()


REFUSAL = Answer(
    401, b"Authorization Required", ((b"WWW-Authenticate", b'Basic realm="A"'),), b"Unauthorized"
)


@pytest.mark.parametrize("header", ["", "Basic", "Basic %%", "Bearer abc", basic("eve:bad")])
def test_wrong_or_no_credentials_are_refused(header: str) -> None:
    assert act("basicauth:A,eve:pw", HTTP_AUTHORIZATION=header).verdict == REFUSAL


def test_right_credentials_name_the_user() -> None:
    run = act("basicauth:A,eve:p:w", HTTP_AUTHORIZATION=basic("eve:p:w"))
    assert run.scope.transaction.get(b"REMOTE_USER") == b"eve"


def test_a_user_who_is_known_is_not_asked_again() -> None:
    assert act("basicauth:A,eve:pw", REMOTE_USER="bob").verdict == Continue()


@pytest.mark.parametrize(
    "action", ["basicauth:A,/etc/users", "ldapauth:A,url=ldap://x;basedn=dc=x"]
)
def test_nobody_asks_about_a_user_who_is_known(action: str) -> None:
    assert act(action, REMOTE_USER="bob").verdict == Continue()


@pytest.mark.parametrize(
    ("action", "header"),
    [
        ("basicauth:A,", basic("eve:pw")),
        ("basicauth:A,/etc/users", ""),
        ("basicauth:A,/etc/users", basic("nocolon")),
        ("basicauth:A,/etc/users", basic(":pw")),
    ],
)
def test_credentials_that_cannot_be_in_a_file_are_refused(action: str, header: str) -> None:
    assert act(action, HTTP_AUTHORIZATION=header).verdict == REFUSAL


def test_basicauth_next_goes_on_with_wrong_credentials_only() -> None:
    wrong = act("basicauth-next:A,eve:pw", HTTP_AUTHORIZATION=basic("eve:bad"))
    assert wrong.verdict == Continue()
    assert wrong.scope.transaction.get(b"REMOTE_USER") == b""
    assert act("basicauth-next:A,eve:pw").verdict == REFUSAL


def test_a_file_of_users_is_looked_into_outside() -> None:
    run = act("basicauth:A,/etc/users", HTTP_AUTHORIZATION=basic("eve:p:w"))
    assert run.question == CheckPassword(b"/etc/users", b"eve", b"p:w")
    run.resume(True)
    assert run.scope.transaction.get(b"REMOTE_USER") == b"eve"


def test_nobody_of_the_file_is_refused() -> None:
    run = act("basicauth:A,/etc/users", HTTP_AUTHORIZATION=basic("eve:pw"))
    run.resume(False)
    assert run.verdict == REFUSAL


def test_a_realm_cannot_end_its_quotation() -> None:
    answer = act('basicauth:a"b\\,eve:pw').verdict
    assert isinstance(answer, Answer)
    assert answer.headers == ((b"WWW-Authenticate", b'Basic realm="a\\"b\\\\"'),)


OTHERS = [
    ("ldapauth:A,url=ldap://x;basedn=dc=x", basic("eve:pw"), Authority.LDAP),
    ("radius:realm=A,server=127.0.0.1:1812,secret=s", basic("eve:pw"), Authority.RADIUS),
    ("spnego:HTTP@host", "Negotiate YII=", Authority.NEGOTIATE),
]


@pytest.mark.parametrize(("action", "header", "authority"), OTHERS)
def test_others_say_whether_credentials_are_good(
    action: str, header: str, authority: Authority
) -> None:
    run = act(action, HTTP_AUTHORIZATION=header)
    assert isinstance(run.question, CheckCredentials)
    assert run.question.authority is authority
    run.resume(b"eve")
    assert run.scope.transaction.get(b"REMOTE_USER") == b"eve"
    assert isinstance(act(action).verdict, Answer)


NEXT = [
    ("ldapauth-next:A,url=ldap://x;basedn=dc=x", basic("eve:pw")),
    ("radius-next:realm=A,server=127.0.0.1:1812,secret=s", basic("eve:pw")),
    ("spnego-next:HTTP@host", "Negotiate YII="),
]


@pytest.mark.parametrize(("action", "header"), NEXT)
def test_wrong_credentials_can_let_the_chain_go_on(action: str, header: str) -> None:
    run = act(action, HTTP_AUTHORIZATION=header)
    run.resume(None)
    assert run.verdict == Continue()
    assert run.scope.transaction.get(b"REMOTE_USER") == b""


@pytest.mark.parametrize(("action", "header", "authority"), OTHERS)
def test_nobody_comes_in_while_nobody_can_be_asked(
    action: str, header: str, authority: Authority
) -> None:
    run = act(action, HTTP_AUTHORIZATION=header)
    run.resume(Failed("it is down", 503))
    assert run.verdict == Break("it is down", 503)
    assert run.scope.transaction.get(b"REMOTE_USER") == b""


@pytest.mark.parametrize(("action", "header"), NEXT)
def test_the_chain_can_go_on_while_nobody_can_be_asked(action: str, header: str) -> None:
    run = act(action, HTTP_AUTHORIZATION=header)
    run.resume(Failed("it is down", 503))
    assert run.verdict == Continue()
    assert run.scope.transaction.get(b"REMOTE_USER") == b""
    assert "it is down" in repr(run.scope.transaction.effects)


@pytest.mark.parametrize("header", ["", "Negotiate", "Basic ZXZlOnB3"])
def test_who_brings_no_ticket_is_asked_for_one(header: str) -> None:
    headers = ((b"Content-Type", b"text/plain"), (b"WWW-Authenticate", b"Negotiate"))
    refusal = Answer(401, b"Authorization Required", headers, b"Unauthorized")
    assert act("spnego:HTTP@host", HTTP_AUTHORIZATION=header).verdict == refusal


def test_who_comes_in_by_a_ticket_is_told_who_we_are() -> None:
    run = act("spnego:HTTP@$1", path="x", HTTP_AUTHORIZATION="Negotiate YII=")
    assert run.question == CheckCredentials(Authority.NEGOTIATE, b"YII=", (("service", b"HTTP@x"),))
    run.resume(Admitted(b"eve@REALM", b"b3I="))
    assert run.scope.transaction.get(b"REMOTE_USER") == b"eve@REALM"
    assert run.scope.transaction.added == [(b"WWW-Authenticate", b"Negotiate b3I=")]


MISTAKES = [
    ("ldapauth:A,url=http://x;basedn=dc=x", "expected ldap://, ldaps:// or ldapi://"),
    ("ldapauth:A,url=ldap://x;basedn=dc=x;binddn=cn=x", "only of use together"),
    ("ldapauth:A,url=ldap://x;basedn=dc=x;binddn=cn=x;bindpw=", "only of use together"),
    ("ldapauth:A,url=ldap://x;basedn=dc=x;filter=a=b", "a filter in parentheses"),
    ("ldapauth:A,url=ldap://x;basedn=dc=x;attr=a)(b", "no name of an attribute"),
    ("ldapauth:A,url=ldap://x;basedn=dc=x;loglevel=x", "expected 0, 1 or 2"),
    ("radius:realm=A,server=host,secret=s", "expected host:port"),
    ("radius:realm=A,server=host:0,secret=s", "expected host:port"),
    ("radius:realm=A,server=host:99999,secret=s", "expected host:port"),
    ("radius:realm=A,server=host:1,secret=", "secret is empty"),
    ("radius:realm=A,server=host:1,secret=s,nas_port=4294967296", "a number of 32 bits"),
    ("radius:realm=A,server=host:1,secret=s,message_authenticator=no", "expected 'required'"),
    ("spnego:${nosuch[x]}", "nosuch"),
]


@pytest.mark.parametrize(("value", "expected"), MISTAKES)
def test_a_mistake_stops_the_start(value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules([("route-run", value, "x:1")])
    assert expected in str(caught.value)


def test_a_password_is_not_in_what_is_shown_of_a_question() -> None:
    run = act("basicauth:A,/etc/users", HTTP_AUTHORIZATION=basic("eve:secret"))
    assert "secret" not in repr(run.question)
