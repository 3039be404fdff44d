"""Routing rules as options: their order, their places, their mistakes."""

from __future__ import annotations

import json

import pytest

from uwgate.conf.check import effective_ini
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.routing.ruleset import read_rule_set

from .conftest import Configure

MIXED = """[uwsgi]
route-host = ^a addvar:A=1
route = ^/b last:
del-header = Server
error-route-status = 404 redirect:/x
route_run = addvar:B=50%%
"""


def test_rules_keep_the_order_of_the_configuration(configure: Configure) -> None:
    settings = configure(MIXED).settings
    assert [(name, value) for name, value, _ in settings.rules] == [
        ("route-host", "^a addvar:A=1"),
        ("route", "^/b last:"),
        ("del-header", "Server"),
        ("error-route-status", "404 redirect:/x"),
        ("route-run", "addvar:B=50%"),
    ]


def test_a_rule_knows_its_file_and_line(configure: Configure) -> None:
    rule = configure(MIXED, "--final-route-run=log:x").settings.rules
    assert rule[0][2] == "command line"
    assert rule[2][2].endswith("app.ini:3")


def test_rules_reach_another_process_unchanged(configure: Configure) -> None:
    settings = configure(MIXED).settings
    sent = json.loads(json.dumps(settings.to_json()))
    assert Settings.from_json(sent) == settings


def test_the_effective_options_have_the_rules_in_the_same_order(configure: Configure) -> None:
    settings = configure(MIXED).settings
    again = configure(effective_ini(settings), name="again.ini").settings
    assert [rule[:2] for rule in again.rules] == [rule[:2] for rule in settings.rules]


def test_every_mistake_is_told_with_its_place(configure: Configure) -> None:
    text = "[uwsgi]\nroute = ^/(a last:\nadd-header = nonsense\nroute-run = brake:\n"
    with pytest.raises(ConfigError) as caught:
        configure(text)
    lines = str(caught.value).splitlines()
    assert sorted(line.partition(": ")[0].rpartition("/")[2] for line in lines) == [
        "app.ini:2",
        "app.ini:3",
        "app.ini:4",
    ]
    assert "did you mean 'break'?" in lines[-1]


def test_a_password_of_a_broken_rule_is_not_shown(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        configure("[uwsgi]\nroute = ^/(a basicauth:Area,joe:verysecret\n")
    assert "verysecret" not in str(caught.value)


def test_without_rules_there_is_nothing_to_run(configure: Configure) -> None:
    assert read_rule_set(configure("[uwsgi]\n").settings) is None


def test_headers_alone_are_rules_too(configure: Configure) -> None:
    rule_set = read_rule_set(configure("[uwsgi]\nadd-header = X-A: b\n").settings)
    assert rule_set is not None
    assert not rule_set.rules
    assert rule_set.headers.added == ((b"X-A", b"b"),)
