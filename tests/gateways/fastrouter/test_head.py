"""What is read of a packet: key, client, path, length."""

from __future__ import annotations

import pytest

from tests.gateways.fastrouter.instance import packet
from uwgate.conf.groups.fastrouter import FastrouterOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.settings import Settings
from uwgate.gateways.fastrouter.head import Head, HeadReader
from uwgate.gateways.wire.uwsgi import PacketError, encode_block

PLAIN = Settings()


def head(settings: Settings = PLAIN, /, **variables: str) -> Head:
    data = packet(**{"HTTP_HOST": "", **variables})
    return HeadReader(settings).read(data + b"behind", len(data))


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"SERVER_NAME": "s", "HTTP_HOST": "h", "UWSGI_FASTROUTER_KEY": "k"}, "k"),
        ({"UWSGI_FASTROUTER_KEY": "k", "HTTP_HOST": "h", "SERVER_NAME": "s"}, "k"),
        ({"SERVER_NAME": "s", "HTTP_HOST": "h:8080"}, "h:8080"),
        ({"HTTP_HOST": "h", "SERVER_NAME": "s"}, "h"),
        ({"SERVER_NAME": "s"}, "s"),
        ({"SERVER_NAME": "s", "HTTP_HOST": "", "UWSGI_FASTROUTER_KEY": ""}, "s"),
        ({}, ""),
        ({"HTTP_HOST": "h" * 300}, "h" * 255),
    ],
)
def test_the_key_is_the_first_that_there_is(variables: dict[str, str], key: str) -> None:
    assert head(**variables).key == key


def test_a_forced_key_is_the_key_of_everything() -> None:
    forced = Settings(fastrouter=FastrouterOptions(fastrouter_force_key="forced"))
    assert head(forced, UWSGI_FASTROUTER_KEY="k").key == "forced"


@pytest.mark.parametrize("value", [b"a.ex\xff\xfeple", b"a.ex\nmple", b"a.example"[:8] + b"\0"])
def test_a_key_that_is_no_text_is_no_key(value: bytes) -> None:
    data = packet().replace(b"a.example", value)
    assert HeadReader(PLAIN).read(data, len(data)).key == ""


def test_the_client_is_told() -> None:
    assert head(REMOTE_ADDR="2001:db8::1").client == b"2001:db8::1"


def test_the_path_is_told_where_it_matters() -> None:
    mounted = Settings(subscriptions=SubscriptionOptions(subscription_mountpoints=1))
    assert head(PATH_INFO="/shop/x").path == ""
    assert head(mounted, PATH_INFO="/shop/x").path == "/shop/x"


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, 0),
        ({"CONTENT_LENGTH": ""}, 0),
        ({"CONTENT_LENGTH": "0"}, 0),
        ({"CONTENT_LENGTH": "7"}, 4),
        ({"CONTENT_LENGTH": "2"}, 0),
        ({"CONTENT_LENGTH": "-1"}, None),
        ({"CONTENT_LENGTH": "1e3"}, None),
        ({"CONTENT_LENGTH": "9" * 20}, None),
        ({"CONTENT_LENGTH": "7", "HTTP_TRANSFER_ENCODING": "chunked"}, None),
        ({"HTTP_UPGRADE": "websocket"}, None),
        ({"HTTP_UPGRADE": ""}, 0),
    ],
)
def test_what_is_missing_of_the_body(variables: dict[str, str], missing: int | None) -> None:
    assert head(**variables).missing(3) == missing


def test_a_malformed_block_is_an_error() -> None:
    data = encode_block(b"\1\0K\2\0x")
    with pytest.raises(PacketError):
        HeadReader(PLAIN).read(data, len(data))
