"""Tickets, with a library that is made up (the real one: tests/e2e/test_authorities.py)."""

from __future__ import annotations

import base64
import sys
from types import ModuleType, SimpleNamespace

import pytest

from uwgate.experts.credentials import Denied, Unreachable
from uwgate.experts.negotiate import Negotiate
from uwgate.routing.results import Admitted

HOSTBASED = object()


class GSSError(Exception):
    """What the library raises."""


class Name:
    def __init__(self, name: str, kind: object) -> None:
        assert kind is HOSTBASED
        self.name = name


class Credentials:
    def __init__(self, *, name: Name, usage: str) -> None:
        assert usage == "accept"
        if name.name not in ("HTTP", "HTTP@here"):
            raise GSSError("no\nkey")


class SecurityContext:
    """Takes ``ticket NAME``; ``half`` wants another token."""

    def __init__(self, *, creds: Credentials, usage: str) -> None:
        assert isinstance(creds, Credentials)
        assert usage == "accept"
        self.complete = False
        self.initiator_name = ""

    def step(self, token: bytes) -> bytes | None:
        word, _, name = token.decode().partition(" ")
        if word not in ("ticket", "half", "shy"):
            raise GSSError("defective")
        self.initiator_name = name
        self.complete = word != "half"
        return None if word == "shy" else b"proof"


@pytest.fixture
def negotiate(monkeypatch: pytest.MonkeyPatch) -> Negotiate:
    module, exceptions = ModuleType("gssapi"), ModuleType("gssapi.exceptions")
    names = {
        "Name": Name,
        "NameType": SimpleNamespace(hostbased_service=HOSTBASED),
        "Credentials": Credentials,
        "SecurityContext": SecurityContext,
        "exceptions": exceptions,
    }
    for name, value in names.items():
        setattr(module, name, value)
    exceptions.GSSError = GSSError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gssapi", module)
    monkeypatch.setitem(sys.modules, "gssapi.exceptions", exceptions)
    return Negotiate()


def check(negotiate: Negotiate, text: str, service: bytes = b"HTTP@here") -> Admitted:
    return negotiate.check(base64.b64encode(text.encode()), {"service": service})


@pytest.mark.parametrize("service", [b"HTTP@here", b""])
def test_a_ticket_names_its_holder_and_is_answered(negotiate: Negotiate, service: bytes) -> None:
    found = check(negotiate, "ticket eve@REALM", service)
    assert found == Admitted(b"eve@REALM", base64.b64encode(b"proof"))


def test_there_may_be_nothing_to_answer(negotiate: Negotiate) -> None:
    assert check(negotiate, "shy eve@REALM") == Admitted(b"eve@REALM", b"")


@pytest.mark.parametrize("text", ["", "nonsense", "half eve@REALM"])
def test_what_is_no_whole_ticket_is_refused(negotiate: Negotiate, text: str) -> None:
    with pytest.raises(Denied):
        check(negotiate, text)


def test_what_is_no_base64_is_refused(negotiate: Negotiate) -> None:
    with pytest.raises(Denied):
        negotiate.check(b"%%", {"service": b""})


def test_a_service_without_a_key_is_our_fault(negotiate: Negotiate) -> None:
    with pytest.raises(Unreachable, match="HTTP@there: no key"):
        check(negotiate, "ticket eve@REALM", b"HTTP@there")
