"""What an instance announces (announcing/plan.py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uwgate.announcing.plan import Plan, is_received_at, make_plan
from uwgate.conf.address import Address, AddressKind, parse_backend
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.sockets import Sockets, bind_all
from uwgate.subscriptions.spec import parse_server

SERVER = "127.0.0.1:4040"
Options = dict[str, dict[str, Any]]
MakePlan = Callable[..., Plan]


class Planner:
    """Binds what settings name, and makes the plan; keeps remarks and sockets."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.sockets = Sockets()

    def __call__(self, options: Options, *, order: tuple[str, ...] = ()) -> Plan:
        values = Settings().to_json()
        for group, fields in options.items():
            values[group] |= fields
        values["pairs"] = [(key, None) for key in order]
        settings = Settings.from_json(values)
        self.sockets = bind_all(settings, self.notes.append)
        return make_plan(settings, self.sockets, self.notes.append)

    def addresses(self, options: Options, *, order: tuple[str, ...] = ()) -> list[str]:
        return [one.pattern.packet.address for one in self(options, order=order).sources]

    def name(self, position: int) -> str:
        return self.sockets.listeners[position].name


@pytest.fixture
def planner() -> Any:
    one = Planner()
    yield one
    one.sockets.close_and_vacuum()


def test_the_first_socket_is_announced_with_its_real_port(planner: Planner) -> None:
    found = planner.addresses(
        {
            "sockets": {"socket": ["127.0.0.1:0", "127.0.0.1:0"]},
            "subscribe": {"subscribe_to": [f"{SERVER}:a"]},
        }
    )
    assert found == [planner.name(0)]
    assert not found[0].endswith(":0")


@pytest.mark.parametrize("first", ["socket", "uwsgi-socket"])
def test_the_first_socket_is_the_first_of_the_configuration(planner: Planner, first: str) -> None:
    other = {"socket": "uwsgi-socket", "uwsgi-socket": "socket"}[first]
    found = planner.addresses(
        {
            "sockets": {"socket": ["@socket"], "uwsgi_socket": ["@uwsgi-socket"]},
            "subscribe": {"subscribe_to": [f"{SERVER}:a"]},
        },
        order=("processes", first, other),
    )
    assert found == [f"@{first}"]


def test_a_socket_without_a_host_is_announced_without_one_as_by_uwsgi(planner: Planner) -> None:
    found = planner.addresses(
        {"sockets": {"socket": [":0"]}, "subscribe": {"subscribe_to": [f"{SERVER}:a"]}}
    )
    assert found == [planner.name(0).removeprefix("0.0.0.0")]


@pytest.mark.parametrize(
    ("address", "server", "is_odd"),
    [
        (":0", "10.0.0.1:4040", True),
        ("0.0.0.0:0", "gate:4040", True),
        ("[::]:0", "225.1.1.1:4040", True),
        (":0", "localhost:4040", False),
        (":0", "/run/gate", False),
        ("127.0.0.1:0", "10.0.0.1:4040", False),
    ],
)
def test_an_address_that_others_cannot_find_is_remarked_upon(
    planner: Planner, address: str, server: str, is_odd: bool
) -> None:
    options = {
        "sockets": {"socket": [address]},
        "subscribe": {"subscribe2": [f"server={server},key=a"]},
    }
    planner(options)
    assert bool(planner.notes) is is_odd
    assert all("finds itself" in note for note in planner.notes)


def test_proto_http_is_for_sockets_that_speak_http(planner: Planner) -> None:
    found = planner.addresses(
        {
            "sockets": {"socket": ["@uwsgi"], "http_socket": ["@http"]},
            "subscribe": {
                "subscribe2": [f"server={SERVER},key=a,proto=http", f"server={SERVER},key=a"]
            },
        }
    )
    assert found == ["@http", "@uwsgi"]


def test_a_socket_is_chosen_by_its_number_among_those_of_workers(planner: Planner) -> None:
    found = planner.addresses(
        {
            "http": {"http": ["@gateway"]},
            "sockets": {"socket": ["@b"], "http_socket": ["@a"]},
            "subscribe": {
                "subscribe2": [f"server={SERVER},key=a,socket={one},addr=x" for one in (0, 1)]
            },
        },
        order=("http", "http-socket", "socket"),
    )
    assert found == ["@a", "@b"]


def test_a_shared_socket_and_an_address_of_ones_own_are_announced_as_they_are(
    planner: Planner,
) -> None:
    found = planner.addresses(
        {
            "sockets": {"shared_socket": ["@shared"], "socket": ["@own"]},
            "subscribe": {"subscribe_to": [f"=0={SERVER}:a", f"10.9.9.9:1={SERVER}:a"]},
        }
    )
    assert found == ["@shared", "10.9.9.9:1"]


@pytest.mark.parametrize(
    ("sockets", "value", "why"),
    [
        ({"http_socket": ["@a"]}, f"server={SERVER},key=a", "add socket = ADDRESS:PORT"),
        ({"socket": ["@a"]}, f"server={SERVER},key=a,proto=http", "add http-socket = ADDRESS"),
        ({"socket": ["@a"]}, f"server={SERVER},key=a,socket=1", "there are 1 sockets of workers"),
    ],
)
def test_a_socket_that_is_not_there_is_an_error(
    planner: Planner, sockets: dict[str, Any], value: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        planner({"sockets": sockets, "subscribe": {"subscribe2": [value]}})
    assert str(error.value).startswith(f"subscribe2 = {value}: ")


def test_a_shared_socket_that_is_not_there_is_an_error(planner: Planner) -> None:
    with pytest.raises(ConfigError, match="there are 0 shared-sockets"):
        planner({"sockets": {"socket": ["@a"]}, "subscribe": {"subscribe_to": [f"=0={SERVER}:a"]}})


def test_acknowledgements_are_asked_for_at_an_absolute_path(
    planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options: Options = {
        "sockets": {"socket": ["@a"]},
        "subscribe": {"subscribe_to": [f"{SERVER}:a"], "notify_socket": "n.sock"},
    }
    (source,) = planner(options).sources
    assert source.pattern.packet.notify == f"{tmp_path}/n.sock"
    planner.sockets.close_and_vacuum()
    options["subscribe"]["subscription_notify_socket"] = "/run/m"
    (source,) = planner(options).sources
    assert source.pattern.packet.notify == "/run/m"


def test_paths_begin_where_the_instance_works(planner: Planner, tmp_path: Path) -> None:
    options: Options = {
        "application": {"chdir": str(tmp_path)},
        "sockets": {"socket": ["@a"]},
        "subscribe": {"subscribe2": ["server=gate.sock,key=a"]},
    }
    (source,) = planner(options).sources
    assert source.pattern.server == Address(kind=AddressKind.UNIX, path=str(tmp_path / "gate.sock"))


@pytest.mark.parametrize(
    ("listens", "told", "is_own"),
    [
        ("127.0.0.1:4040", "127.0.0.1:4040", True),
        (":4040", "127.0.0.1:4040", True),
        ("[::]:4040", "localhost:4040", True),
        (":4040", "10.0.0.1:4040", False),
        ("127.0.0.1:4040", "127.0.0.1:4041", False),
        ("10.0.0.1:4040", "127.0.0.1:4040", False),
        ("@gate", "@gate", True),
        ("@gate", "/gate", False),
    ],
)
def test_a_server_of_the_same_instance_is_recognized(listens: str, told: str, is_own: bool) -> None:
    own = parse_server("http-subscription-server", listens)
    assert is_received_at(parse_backend(told), own) is is_own


def test_the_source_knows_that_its_server_is_our_own(planner: Planner, tmp_path: Path) -> None:
    options: Options = {
        "sockets": {"socket": ["@a"]},
        "http": {"http": ["@gateway"]},
        "http_corerouter": {"subscription_server": [f"{tmp_path}/gate"]},
        "subscribe": {
            "subscribe2": [f"server={tmp_path}/gate,key=a", f"server={tmp_path}/other,key=a"]
        },
    }
    assert [one.is_own for one in planner(options).sources] == [True, False]


def test_unix_servers_are_told_whom_the_workers_run_as(planner: Planner) -> None:
    assert planner({"sockets": {"socket": ["@a"]}}).credentials == (os.getuid(), os.getgid())
    planner.sockets.close_and_vacuum()
    named = planner({"sockets": {"socket": ["@a"]}, "master": {"uid": "33", "gid": "34"}})
    assert named.credentials == (33, 34)
