"""Users and groups, before anything starts. Whether we are root is the kernel's word."""

from __future__ import annotations

import os
from typing import Any

import pytest

from uwgate import identity
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings


def settings_of(group: str, **fields: Any) -> Settings:
    values = Settings().to_json()
    values[group] |= fields
    return Settings.from_json(values)


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 1234)
    monkeypatch.setattr(os, "getgroups", lambda: [1234, 50])


@pytest.mark.parametrize(
    ("group", "field", "text"),
    [
        ("master", "uid", "uid: there is no user 'nobody-has-this'"),
        ("master", "gid", "gid: there is no group 'nobody-has-this'"),
        ("http_corerouter", "uid", "http-uid: there is no user 'nobody-has-this'"),
        ("http_corerouter", "gid", "http-gid: there is no group 'nobody-has-this'"),
        ("rawrouter_corerouter", "uid", "rawrouter-uid: there is no user 'nobody-has-this'"),
    ],
)
def test_an_unknown_name_is_an_error(group: str, field: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        identity.check(settings_of(group, **{field: "nobody-has-this"}))


def test_an_unknown_supplementary_group_is_an_error() -> None:
    with pytest.raises(ConfigError, match="add-gid: there is no group"):
        identity.check(settings_of("master", add_gid=["nobody-has-this"]))


@pytest.mark.usefixtures("as_root")
def test_root_may_become_anybody() -> None:
    identity.check(settings_of("master", uid="1000", gid="1000", add_gid=["2000"]))


@pytest.mark.usefixtures("as_user")
def test_others_may_only_name_themselves() -> None:
    identity.check(settings_of("master", uid="1234", gid="50"))
    with pytest.raises(ConfigError, match="uid = 1000: only root can become another user"):
        identity.check(settings_of("master", uid="1000"))
    with pytest.raises(ConfigError, match="gid = 1000: only root can join another group"):
        identity.check(settings_of("master", gid="1000"))


@pytest.mark.usefixtures("as_root")
def test_requests_with_the_power_of_root_are_noticed() -> None:
    assert identity.runs_as_root(Settings())
    assert identity.runs_as_root(settings_of("master", uid="0"))
    assert not identity.runs_as_root(settings_of("master", uid="1000"))


@pytest.mark.parametrize(
    ("text", "owner"), [("5", (5, -1)), ("5:6", (5, 6)), (":6", (-1, 6)), ("root:root", (0, 0))]
)
def test_an_owner_is_a_user_a_group_or_both(text: str, owner: tuple[int, int]) -> None:
    assert identity.find_owner(text, "chown-socket") == owner
