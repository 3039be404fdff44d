"""Values of the options about zergs."""

from __future__ import annotations

import pytest

from uwgate.conf.address import AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.conf.writefifo import parse_write_fifo
from uwgate.conf.zergs import parse_pool, parse_server

from .conftest import Configure


def test_the_first_colon_ends_the_path_of_a_pool() -> None:
    pool = parse_pool("/run/pool:127.0.0.1:3031,/run/app.sock,[::1]:80")
    assert pool.path == "/run/pool"
    assert pool.addresses == ("127.0.0.1:3031", "/run/app.sock", "[::1]:80")


@pytest.mark.parametrize("text", ["/run/pool", "/run/pool:", ":127.0.0.1:80", "/p::80,", "p:a:b"])
def test_a_pool_without_path_or_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_pool(text)


def test_more_addresses_than_can_be_passed_are_refused() -> None:
    text = ",".join(f"/run/{number}" for number in range(254))
    with pytest.raises(ConfigError, match="254 addresses, at most 253"):
        parse_pool(f"/run/pool:{text}")


def test_a_server_may_have_an_abstract_name() -> None:
    assert parse_server("@pool").kind is AddressKind.ABSTRACT


@pytest.mark.parametrize("text", ["127.0.0.1:80", ":80", "=0", "fd://3"])
def test_a_server_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="UNIX sockets"):
        parse_server(text)


def test_both_spellings_of_a_pool_are_known(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nzerg-pool = a.sock::80\nzergpool = b.sock::81\n")
    assert loaded.settings.zerg.zergpool == ("a.sock::80", "b.sock::81")


def test_gateways_have_zerg_servers_of_their_own(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nzerg = a\nhttp-zerg = b\nfastrouter-zerg = c\n")
    assert loaded.settings.zergs == (("zerg", "a"), ("http-zerg", "b"), ("fastrouter-zerg", "c"))
    assert loaded.settings.has_gateway("fastrouter")


def test_a_hook_writes_into_a_fifo() -> None:
    assert parse_write_fifo("writefifo:/run/a 1p") == ("/run/a", "1p")


@pytest.mark.parametrize("text", ["exec:rm -rf /", "writefifo:/run/a", "writefifo: x"])
def test_other_hooks_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="writefifo:PATH TEXT"):
        parse_write_fifo(text)
