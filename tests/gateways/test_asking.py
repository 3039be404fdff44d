"""What an HTTP request says about where it wants to go."""

from __future__ import annotations

import socket

import pytest

from uwgate.conf.address import parse_backend
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.asking import Asking, cookie
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.gateways.exchange import Request
from uwgate.gateways.peer import UNKNOWN, Peer
from uwgate.gateways.stickiness import Stickiness
from uwgate.subscriptions.node import Node


def peer(address: bytes = b"192.0.2.1", server_name: bytes = b"") -> Peer:
    made = Peer(b"", address, b"1", False, False, b"")
    made.server_name = server_name
    return made


def asked(
    fields: dict[bytes, bytes],
    host: bytes | None = None,
    target: bytes = b"/",
    client: Peer | None = None,
    **options: str,
) -> Asked:
    return Asking(HttpOptions(**options)).read(  # type: ignore[arg-type]  # the tests' names
        fields, host, target, target.partition(b"?")[0], client or peer()
    )


def test_a_host_in_the_target_goes_before_the_field() -> None:
    assert asked({b"HTTP_HOST": b"a:80"}, b"b:81").key == "b:81"
    assert asked({b"HTTP_HOST": b"A:80"}).key == "A:80"


def test_without_a_host_the_name_of_the_handshake_counts_and_then_our_own() -> None:
    named = peer(server_name=b"tls.example")
    assert asked({b"HTTP_HOST": b"a"}, client=named).key == "a"
    assert asked({b"HTTP_HOST": b""}, client=named).key == "tls.example"
    assert asked({}, client=named).key == "tls.example"
    assert asked({}).key == socket.gethostname()


def test_a_key_has_255_bytes() -> None:
    assert len(asked({b"HTTP_HOST": b"x" * 300}).key) == 255


def test_bytes_that_are_no_text_are_kept() -> None:
    assert asked({b"HTTP_HOST": b"\xff"}).key.encode(errors="surrogateescape") == b"\xff"


def test_who_has_no_address_has_none() -> None:
    assert asked({}).client == b"192.0.2.1"
    assert asked({}, client=peer(UNKNOWN)).client == b""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"", b""),
        (b"node=1", b"1"),
        (b"a=2; node=1; b=3", b"1"),
        (b"node=1; node=2", b"1"),
        (b"xnode=1;node=2", b"2"),
        (b"node", b""),
        (b" node = 1 ", b"1"),
        (b"node=a=b", b"a=b"),
        (b"Node=1", b""),
    ],
)
def test_a_cookie_is_found_among_others(line: bytes, value: bytes) -> None:
    assert cookie({b"HTTP_COOKIE": line}, b"node") == value


@pytest.mark.parametrize(
    ("how", "affinity"),
    [
        ("client", b""),
        ("path", b"/a/b"),
        ("cookie user", b"u"),
        ("cookie other", b""),
        ("header X-User", b"h"),
        ("header X-Other", b""),
    ],
)
def test_what_belongs_together_is_what_the_option_says(how: str, affinity: bytes) -> None:
    fields = {b"HTTP_COOKIE": b"user=u", b"HTTP_X_USER": b"h"}
    assert asked(fields, target=b"/a/b?c", http_hash=how).affinity == affinity


def test_the_sticky_cookie_is_read_only_if_there_is_one() -> None:
    fields = {b"HTTP_COOKIE": b"node=1"}
    assert asked(fields, http_sticky="node").sticky == "1"
    assert asked(fields).sticky == ""


# The cookie that is given


def request(sticky: str = "", *, secure: bool = False) -> Request:
    found = Request(b"GET", b"/", b"", 0, 1, True, False, secure=secure)
    found.asked = Asked("a", sticky=sticky)
    return found


def target(node: Node | None) -> Target:
    return Target(parse_backend(":1"), node=node)


NODE = Node(key="a", address=":1")


def line(secret: str | None, instance: str, *, secure: bool = False) -> bytes:
    options = HttpOptions(http_sticky="node", http_sticky_secret=secret)
    return Stickiness(options, instance).line(request(secure=secure), target(NODE))


def test_the_secret_of_the_options_goes_before_that_of_the_instance() -> None:
    given = "s" * 16
    assert line(None, "a" * 64) != line(None, "b" * 64)
    assert line(given, "a" * 64) == line(given, "b" * 64) != line(None, "a" * 64)


def test_the_cookie_is_for_tls_only_when_it_was_given_there() -> None:
    plain, secure = line(None, "a" * 64), line(None, "a" * 64, secure=True)
    assert secure == plain.replace(b"\r\n", b"; Secure\r\n")


def test_what_is_no_node_gives_no_cookie() -> None:
    stickiness = Stickiness(HttpOptions(http_sticky="node"), "a" * 64)
    assert stickiness.line(request(), target(None)) == b""
    assert stickiness.line(request(), None) == b""
    value = stickiness.cookies.value(NODE)
    assert stickiness.line(request(value), target(NODE)) == b""
