"""X-Forwarded-* and Forwarded (gateways/wire/forwarded.py)."""

from __future__ import annotations

import pytest

from uwgate.gateways.wire.forwarded import FOR, FORWARDED, PROTO, SSL, added, scheme_of, take


def test_all_that_tell_of_a_client_are_taken_and_nothing_else() -> None:
    fields = {
        b"HTTP_HOST": b"a",
        b"HTTP_X_FORWARDED_FOR": b"1",
        b"HTTP_X_FORWARDED_HOST": b"2",
        b"HTTP_X_FORWARDED_PORT": b"3",
        b"HTTP_X_FORWARDED_PREFIX": b"4",
        b"HTTP_X_REAL_IP": b"5",
        b"HTTP_FORWARDED": b"6",
        b"HTTP_X_FORWARD": b"b",
        b"HTTP_X_REAL": b"c",
    }
    assert list(take(fields).values()) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert list(fields.values()) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [
        ({PROTO: b"https"}, b"https"),
        ({PROTO: b"HTTP"}, b"http"),
        ({PROTO: b"wss"}, b"https"),
        ({PROTO: b"https, http"}, b"https"),
        ({PROTO: b"javascript"}, None),
        ({PROTO: b""}, None),
        ({PROTO: b"gopher", SSL: b"on"}, b"https"),
        ({PROTO: b"http", SSL: b"on"}, b"http"),
        ({SSL: b"1"}, b"https"),
        ({SSL: b"off"}, None),
        ({}, None),
    ],
)
def test_the_scheme_is_what_the_first_proxy_saw(
    forwarded: dict[bytes, bytes], scheme: bytes | None
) -> None:
    assert scheme_of(forwarded) == scheme


def test_the_client_goes_behind_those_who_are_named() -> None:
    before = {FOR: b"192.0.2.1", PROTO: b"https", FORWARDED: b"for=192.0.2.1"}
    assert added(before, b"10.0.0.1", b"http") == {
        FOR: b"192.0.2.1, 10.0.0.1",
        PROTO: b"https",
        FORWARDED: b"for=192.0.2.1, for=10.0.0.1;proto=http",
    }
    assert before[FOR] == b"192.0.2.1"


@pytest.mark.parametrize(
    ("address", "text"), [(b"192.0.2.1", b"192.0.2.1"), (b"::1", b"::1"), (None, b"unknown")]
)
def test_where_nobody_is_named_the_client_is_the_first(address: bytes | None, text: bytes) -> None:
    assert added({}, address, b"https") == {FOR: text, PROTO: b"https"}


def test_an_ipv6_address_is_quoted_in_forwarded() -> None:
    assert added({FORWARDED: b"for=a"}, b"::1", b"http")[FORWARDED] == (
        b'for=a, for="[::1]";proto=http'
    )
