"""Rules are compiled once; every mistake is an error with its place."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.routing import (
    ErrorRouteOptions,
    FinalRouteOptions,
    ResponseRouteOptions,
    RouteOptions,
)
from uwgate.conf.option import options_of
from uwgate.conf.pair import Place
from uwgate.routing.rules import MAX_RULES, OPTIONS, compile_action, compile_rules

MISTAKES = [
    ("route", "^/a", "expected a test, a space and an action"),
    ("route", "^/a last", "the action 'last' has no ':' behind its name"),
    ("route", "^/( last:", "bad regular expression '^/(': a ( without its )"),
    ("route-run", "lst:", "unknown action 'lst'; did you mean 'last'?"),
    ("route-run", "qqqqqqqq:", "unknown action 'qqqqqqqq'"),
    ("route-run", "last:now", "takes no argument, got 'now'"),
    ("route-run", "symcall:f", "the action 'symcall' is not offered"),
    ("route-run", "goto:nowhere", "there is no such label"),
    ("route-run", "goto:7", "there is no rule 7"),
    ("route-run", "goto:0", "can only jump forward"),
    ("route-if", "equl:a;b last:", "unknown condition 'equl'; did you mean 'equal'?"),
    ("route-if", "equal last:", "the condition 'equal' has no ':' behind its name"),
    ("route-if", "equal:ab last:", "has no ';'"),
    ("route-if", "regexp:${A};( last:", "bad regular expression"),
    ("route-if", "ipv4in:${A};10.0.0.0/99 last:", "is no IPv4 network"),
    ("route-if", "ipv6in:${A};10.0.0.0/8 last:", "is no IPv6 network"),
    ("route-if", "incache:name=x last:", "the key 'key' is missing"),
    ("route-run", "addvar:TAG", "is no NAME=text"),
    ("route-run", "addvar:TAG=${cokie[a]}", "expected one of cookie, qs"),
    ("route-run", "addvar:TAG=${time[now]}", "expected one of unix, micros"),
    ("route-run", "addvar:TAG=${math[1+]}", "the expression ends too early"),
    ("route-run", "addheader:nothing", "is no header"),
    ("route-run", "break:40", "is no status"),
    ("route-run", "break:100", "is no status"),
    ("route-run", "return:", "is no status"),
    ("route-run", "signal:256", "is no number from 0 to 255"),
    ("route-run", "harakiri:0", "is no number from 1"),
    ("route-run", "alarm:name", "no space between the alarm's name and its message"),
    ("route-run", "logvar:name", "is no name=text"),
    ("route-run", "setmodifier1:x", "is no number from 0 to 255"),
    ("route-run", "uwsgi:/tmp/x", "expected address,modifier1,modifier2"),
    ("route-run", "http:", "expected address"),
    ("route-run", "static:", "expected the path of a file"),
    ("route-run", "file:status=200 OK", "the key 'filename' is missing"),
    ("route-run", "file:filename=/a,statos=1", "did you mean 'status'?"),
    ("route-run", "file:filename=/a,flag", "is no key=value"),
    ("route-run", "file:filename=/a,status=9", "is no status"),
    ("route-run", "cache:name=x", "the key 'key' is missing"),
    ("route-run", "cachestore:key=a,status=x", "is no number"),
    ("route-run", "hash:key=a,var=b,items=;", "there are no items"),
    ("route-run", "hash:key=a,var=b,items=c,algo=md5", "unknown algo 'md5'"),
    ("route-run", "expires:value=1", "expected either filename or unix"),
    ("route-run", "expires:unix=1,filename=a", "expected either filename or unix"),
    ("route-run", "basicauth:realm", "expected realm,user:password"),
    ("route-run", "ldapauth:realm", "expected realm,url="),
    ("route-run", "ldapauth:realm,url=a", "the key 'basedn' is missing"),
    ("route-run", "radius:realm=a", "the key 'server' is missing"),
    ("route-run", "rpc:", "expected function"),
    ("route-run", "rpcvar: f", "expected VAR function"),
    ("route-run", "rpc:f" + " a" * 256, "256 arguments, limit 255"),
    ("route-run", "redirect:", "expected where to"),
    ("route-run", "remheader:", "expected the name of a header"),
    ("route-run", "offload:x", "is no number"),
    ("route-run", "tofile:mode=1", "the key 'filename' is missing"),
    ("route-run", "metricinc:,1", "expected name[,number]"),
    ("route-run", "+:,1", "expected VAR"),
    ("route-label", "", "expected a name"),
    ("route-label", "\ud800", "no text"),
    ("route-run", "log:\ud800", "no text"),
    ("route-run", "cache:key=a,content_type=a\x01", "control characters"),
    ("route-run", "basicauth:a\nb,c:d", "control characters"),
    ("response-route-status", "4xx last:", "'4xx' is no status"),
    ("route-status", "404 last:", "is no option of routing"),
]


@pytest.mark.parametrize(("option", "value", "reason"), MISTAKES, ids=lambda text: text[:30])
def test_a_mistake_is_an_error_with_its_place(option: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules([(option, value, Place("a.ini", 7))])
    assert str(caught.value).startswith(f"a.ini:7: {option}")
    assert reason in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules([("route-run", "a:", "x:1"), ("error-route", "( b:", "x:2")])
    assert [line[:3] for line in str(caught.value).splitlines()] == ["x:1", "x:2"]


def test_a_label_of_another_chain_is_none() -> None:
    rules = [("route-run", "goto:a", "x:1"), ("error-route-label", "a", "x:2")]
    with pytest.raises(ConfigError, match="no such label"):
        compile_rules(rules)


def test_a_jump_back_is_found_before_any_request() -> None:
    rules = [("route-label", "again", "x:1"), ("route-run", "goto:again", "x:2")]
    with pytest.raises(ConfigError, match="can only jump forward"):
        compile_rules(rules)


def test_a_chain_has_a_greatest_number_of_rules() -> None:
    with pytest.raises(ConfigError, match=f"more than {MAX_RULES} rules"):
        compile_rules([("route-run", "last:", "x")] * (MAX_RULES + 1))


def test_chains_without_rules_are_false() -> None:
    rules = compile_rules([("final-route-run", "log:x", "x")])
    assert [bool(rules.request), bool(rules.final), bool(rules)] == [False, True, True]
    assert not compile_rules([])


def test_options_and_rules_know_the_same_names() -> None:
    classes = (RouteOptions, ResponseRouteOptions, ErrorRouteOptions, FinalRouteOptions)
    names = {one.name for group in classes for one in options_of(group, "routing").values()}
    assert names == set(OPTIONS)


def test_only_rules_in_python_are_of_our_own_making() -> None:
    found = options_of(FinalRouteOptions, "x").values()
    assert [one.name for one in found if one.ours] == ["final-route-python"]


def test_an_action_by_itself_is_checked_as_well() -> None:
    compile_action("addheader:X: y")
    with pytest.raises(ConfigError, match="did you mean 'addheader'"):
        compile_action("addheadr:X: y")


def test_bytes_that_are_no_text_survive() -> None:
    compile_rules([("route", "\udce9 last:", "x")])


def test_a_mistake_does_not_show_a_password() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules([("route-run", "radius:realm=a,secret=geheim", "x:1")])
    assert str(caught.value) == "x:1: route-run = radius:(hidden): the key 'server' is missing"


def test_a_coding_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install uwgate\[zstd\]"):
        compile_rules([("route-run", "zstd:", "x")])
