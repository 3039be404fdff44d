"""Binding: addresses, who has them already, what a reload keeps."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.sockets import Sockets, bind_all, systemd_descriptors
from uwgate.wanted import wanted

Bind = Callable[..., Sockets]


def settings_of(**groups: dict[str, Any]) -> Settings:
    values = Settings().to_json()
    for group, fields in groups.items():
        values[group] |= fields
    return Settings.from_json(values)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def bind(notes: list[str]) -> Iterator[Bind]:
    """Bind sockets that are closed after the test; ``http=`` and the fields of sockets."""
    opened: list[Sockets] = []

    def bind_them(
        *,
        http: tuple[str, ...] = (),
        http_to: tuple[str, ...] = (),
        processes: int = 1,
        previous: Sockets | None = None,
        systemd: tuple[int, ...] = (),
        chdir: str | None = None,
        master: dict[str, str] | None = None,
        fastrouter: dict[str, tuple[str, ...]] | None = None,
        **fields: Any,
    ) -> Sockets:
        settings = settings_of(
            http={"http": http},
            http_corerouter={"to": http_to},
            sockets=fields,
            workers={"processes": processes},
            application={"chdir": chdir},
            master=master or {},
            fastrouter=fastrouter or {},
        )
        sockets = bind_all(settings, notes.append, systemd=systemd, previous=previous)
        opened.append(sockets)
        return sockets

    yield bind_them
    for one in opened:
        one.close_and_vacuum()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def port_of(name: str) -> int:
    return int(name.rpartition(":")[2])


def connect(name: str) -> None:
    with socket.create_connection(("127.0.0.1", port_of(name)), timeout=60):
        pass


def test_each_option_has_its_role(bind: Bind) -> None:
    address = ("127.0.0.1:0",)
    sockets = bind(
        http=address,
        socket=address,
        uwsgi_socket=address,
        http_socket=address,
        http11_socket=address,
    )
    roles = [one.role for one in sockets.listeners]
    assert sorted(roles) == ["http", "http-socket", "http11-socket", "lease", "uwsgi", "uwsgi"]
    assert len({one.name for one in sockets.listeners}) == 6


@pytest.mark.parametrize(
    ("protocol", "role"),
    [("uwsgi", "uwsgi"), ("http", "http-socket"), ("http11", "http11-socket")],
)
def test_the_protocol_decides_what_socket_speaks(bind: Bind, protocol: str, role: str) -> None:
    sockets = bind(socket=("127.0.0.1:0",), protocol=protocol)
    assert [one.role for one in sockets.listeners] == [role]


def test_sockets_accept_without_blocking(bind: Bind) -> None:
    sockets = bind(http=("127.0.0.1:0",))
    (one,) = sockets.gateway_listeners
    connect(one.name)
    assert not os.get_blocking(one.fd)
    assert not os.get_inheritable(one.fd)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", ":0", "[::1]:0"])
def test_tcp_addresses_of_all_kinds_are_bound(bind: Bind, address: str) -> None:
    (one,) = bind(http_socket=(address,)).worker_listeners
    assert port_of(one.name) > 0


def test_an_unknown_host_name_is_named(bind: Bind) -> None:
    with pytest.raises(ConfigError, match=r"http: nobody\.invalid:80: the host name 'nobody"):
        bind(http=("nobody.invalid:80",))


def test_an_address_of_another_machine_is_explained(bind: Bind) -> None:
    with pytest.raises(ConfigError, match="this machine has no such address"):
        bind(http=("192.0.2.1:0",))


def test_freebind_takes_an_address_that_is_not_there_yet(bind: Bind) -> None:
    (one,) = bind(http_socket=("192.0.2.1:0",), freebind=True).worker_listeners
    assert one.name.startswith("192.0.2.1:")


def test_a_port_in_use_names_its_holder(bind: Bind, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"http: 127.0.0.1:{port} is in use by .*{os.getpid()}"):
        bind(http=(f"127.0.0.1:{port}",))


def test_after_an_error_nothing_stays_bound(
    bind: Bind, listener: socket.socket, tmp_path: Path
) -> None:
    path = tmp_path / "first.sock"
    with pytest.raises(ConfigError):
        bind(http=(str(path), f"127.0.0.1:{listener.getsockname()[1]}"))
    assert not path.exists()


def test_reuse_port_lets_two_share_a_port(bind: Bind) -> None:
    (first,) = bind(http_socket=("127.0.0.1:0",), reuse_port=True).worker_listeners
    (second,) = bind(http_socket=(first.name,), reuse_port=True).worker_listeners
    assert first.name == second.name


def test_the_same_address_twice_is_refused(bind: Bind) -> None:
    with pytest.raises(ConfigError, match="socket = @twice: http has this address already"):
        bind(http=("@twice",), socket=("@twice",))


def test_ipv4_and_ipv6_can_have_the_same_port(bind: Bind, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    sockets = bind(http=(f":{port}", f"[::]:{port}"))
    assert [one.name for one in sockets.gateway_listeners] == [f"0.0.0.0:{port}", f"[::]:{port}"]


def test_the_backlog_is_cut_to_what_the_kernel_allows(bind: Bind, notes: list[str]) -> None:
    bind(http_socket=("127.0.0.1:0",), listen=1_000_000_000)
    assert len(notes) == 1
    assert "listen = 1000000000: the kernel allows" in notes[0]


def test_a_unix_socket_gets_its_permissions(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    bind(socket=(str(path),), chmod_socket=0o660, chown_socket=f"{os.getuid()}:{os.getgid()}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_an_unknown_owner_is_named_and_leaves_no_socket(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with pytest.raises(ConfigError, match="chown-socket: there is no user 'nobody-has-this'"):
        bind(socket=(str(path),), chown_socket="nobody-has-this")
    assert not path.exists()


def test_a_unix_socket_that_nobody_listens_on_is_replaced(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "old.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    bind(socket=(str(path),))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_with_a_living_listener_is_left_alone(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ConfigError, match=r"other\.sock is in use: somebody listens there"):
            bind(socket=(str(path),))
    assert path.is_socket()


def test_a_directory_as_a_socket_is_refused(bind: Bind, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        bind(socket=(str(tmp_path),))


def test_a_file_as_a_socket_is_left_alone(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("data")
    with pytest.raises(ConfigError, match="is not a socket"):
        bind(socket=(str(path),))
    assert path.read_text() == "data"


def test_a_missing_directory_is_an_error(bind: Bind, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot make the socket: No such file"):
        bind(socket=(str(tmp_path / "missing" / "app.sock"),))


def test_abstract_sockets_leave_no_file(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    (one,) = bind(socket=(str(path),), abstract_socket=True).worker_listeners
    assert one.name == f"@{path}"
    assert not path.exists()


def test_an_abstract_name_in_use_is_an_error(bind: Bind) -> None:
    name = f"@uwgate-test-{os.getpid()}"
    bind(socket=(name,))
    with pytest.raises(ConfigError, match="in use"):
        bind(socket=(name,))


def test_an_inherited_descriptor_is_served(bind: Bind, listener: socket.socket) -> None:
    (one,) = bind(http_socket=(f"fd://{listener.fileno()}",)).worker_listeners
    assert port_of(one.name) == listener.getsockname()[1]
    connect(one.name)


def test_a_descriptor_that_is_not_open_is_an_error(bind: Bind) -> None:
    with pytest.raises(ConfigError, match="descriptor 999 is not open"):
        bind(http_socket=("fd://999",))


def test_a_descriptor_that_is_a_file_is_an_error(bind: Bind, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="not a socket"):
        bind(http_socket=(f"fd://{file.fileno()}",))


def test_a_descriptor_that_does_not_listen_is_an_error(bind: Bind) -> None:
    with socket.socket() as sock, pytest.raises(ConfigError, match="not a listening"):
        bind(http_socket=(f"fd://{sock.fileno()}",))


def test_a_shared_socket_is_used_by_number(bind: Bind) -> None:
    sockets = bind(shared_socket=("127.0.0.1:0", "127.0.0.1:0"), http=("=1",), socket=("=0",))
    ours = [one for one in sockets.listeners if one.role != "lease"]
    assert [one.role for one in ours] == ["http", "uwsgi"]
    assert ours[0].name != ours[1].name


def test_a_fastrouter_and_workers_may_accept_on_one_shared_socket(bind: Bind) -> None:
    sockets = bind(
        shared_socket=("127.0.0.1:0",), fastrouter={"fastrouter": ("=0",)}, socket=("=0",)
    )
    (router,), (worker,) = sockets.router_listeners("fastrouter"), sockets.of("uwsgi")
    assert (router.fd, router.name) == (worker.fd, worker.name)


def test_a_fastrouter_without_a_way_to_backends_is_noted(bind: Bind, notes: list[str]) -> None:
    bind(fastrouter={"fastrouter": ("127.0.0.1:0",)}, processes=0)
    assert any("fastrouter without fastrouter-to" in note for note in notes)


def test_a_shared_socket_that_does_not_exist_is_an_error(bind: Bind) -> None:
    with pytest.raises(ConfigError, match="http = =1: there are 1 shared-sockets, counted from 0"):
        bind(shared_socket=("127.0.0.1:0",), http=("=1",))


def test_sockets_of_systemd_join_with_the_default_protocol(
    bind: Bind, listener: socket.socket
) -> None:
    sockets = bind(systemd=(listener.fileno(),), protocol="http")
    assert [one.role for one in sockets.listeners] == ["http-socket"]


def test_an_explicit_option_wins_over_the_default_for_a_socket_of_systemd(
    bind: Bind, listener: socket.socket
) -> None:
    fd = listener.fileno()
    sockets = bind(systemd=(fd,), http=(f"fd://{fd}",), processes=0)
    assert [one.role for one in sockets.listeners] == ["http"]


def test_descriptors_of_systemd_are_for_the_named_process_only() -> None:
    mine = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
    assert systemd_descriptors(mine) == range(3, 5)
    assert systemd_descriptors(mine | {"LISTEN_PID": "1"}) == range(0)
    assert systemd_descriptors({}) == range(0)


def test_a_bad_number_of_descriptors_is_an_error() -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS = 'two'"):
        systemd_descriptors({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"})


def test_nothing_to_listen_on_is_an_error_that_says_what_to_give(bind: Bind) -> None:
    with pytest.raises(ConfigError, match="nothing to listen on: give http = :8080"):
        bind()


def test_only_our_own_gateways_need_a_lease_socket(bind: Bind) -> None:
    own = bind(http=("127.0.0.1:0",))
    assert own.lease_address
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + own.lease_address)
    assert bind(http=("127.0.0.1:0",), http_to=("127.0.0.1:9",)).lease_address is None
    assert bind(socket=("127.0.0.1:0",)).lease_address is None


def test_a_gateway_without_anybody_behind_it_is_noted(bind: Bind, notes: list[str]) -> None:
    assert bind(http=("127.0.0.1:0",), processes=0).lease_address is None
    assert notes == ["http without http-to and with processes = 0: every request gets 503"]


def test_a_reload_keeps_the_sockets_of_the_same_addresses(bind: Bind, tmp_path: Path) -> None:
    options = {"http": ("127.0.0.1:0", str(tmp_path / "a.sock")), "shared_socket": ("@s",)}
    before = bind(**options)
    after = bind(**options, previous=before)
    assert after.listeners == before.listeners
    assert after.lease_address == before.lease_address


def test_a_reload_adds_and_removes_addresses(bind: Bind, tmp_path: Path) -> None:
    kept, removed, added = (str(tmp_path / name) for name in ("kept", "removed", "added"))
    before = bind(socket=(kept, removed))
    after = bind(socket=(kept, added), previous=before)
    before.close_unless_in(after, remove_files=True)
    assert sorted(os.listdir(tmp_path)) == ["added", "kept"]
    assert [one.name for one in after.listeners] == [kept, added]


def test_a_reload_that_cannot_bind_keeps_the_old_sockets(bind: Bind, tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    before = bind(socket=(path,))
    with pytest.raises(ConfigError):
        bind(socket=(path, str(tmp_path)), previous=before)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_reload_makes_a_socket_file_again_that_was_removed(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    before = bind(socket=(str(path),))
    path.unlink()
    after = bind(socket=(str(path),), previous=before)
    before.close_unless_in(after, remove_files=True)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_vacuum_leaves_a_file_that_somebody_else_has_put_there(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    sockets = bind(socket=(str(path),))
    path.unlink()
    path.write_text("other")
    sockets.close_and_vacuum()
    assert path.read_text() == "other"


def test_accepted_connections_send_small_answers_at_once(bind: Bind) -> None:
    (one,) = bind(http_socket=("127.0.0.1:0",), so_keepalive=True).worker_listeners
    with socket.create_connection(("127.0.0.1", port_of(one.name)), timeout=60):
        accepting = socket.socket(fileno=os.dup(one.fd))
        with accepting, accepting.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_every_listening_option_is_asked_for() -> None:
    one = {"http_socket": ("a",), "http11_socket": ("b",), "uwsgi_socket": ("c",), "socket": ("d",)}
    tls = {"https": ("f,x,x",), "https2": ("addr=g,cert=x,key=x",), "http_to_https": ("h,443",)}
    settings = settings_of(sockets=one, http={"http": ("e",)}, https=tls)
    assert sorted(one.address for one in wanted(settings)) == list("abcdefgh")


def test_relative_sockets_are_made_in_the_directory_that_chdir_names(
    bind: Bind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path)
    bind(chdir="app", socket=("a.sock",), shared_socket=("shared.sock",))
    assert (tmp_path / "app" / "a.sock").is_socket()
    assert (tmp_path / "shared.sock").is_socket()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_sockets_belong_to_the_user_that_serves_them(bind: Bind, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.sock", tmp_path / "other.sock"
    bind(master={"uid": "1234", "gid": "1235"}, socket=(str(mine),))
    bind(master={"uid": "1234"}, socket=(str(other),), chown_socket=":1236")
    assert (mine.stat().st_uid, mine.stat().st_gid) == (1234, 1235)
    assert (other.stat().st_uid, other.stat().st_gid) == (0, 1236)


def test_a_path_too_long_for_a_socket_is_an_error(bind: Bind, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.raises(ConfigError, match="cannot make the socket: AF_UNIX path too long"):
        bind(chdir=str(deep), socket=("a.sock",))
