"""HTTP requests as CGI variables (gateways/wire/cgi.py).

The vectors are those of spec/uwsgi-protocol.md section 9, measured on uWSGI 2.0.31; where
uwgate differs on purpose, the name of the test says so.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire import cgi
from uwgate.gateways.wire.cgi import (
    MAX_CACHED_NAMES,
    fields_of,
    key_of,
    pack,
    pack_fields,
    pack_length,
    remove_hop_by_hop,
    split_target,
)
from uwgate.gateways.wire.uwsgi import decode_block, encode_var


def path_of(target: bytes, method: bytes = b"GET") -> tuple[bytes, bytes]:
    path, query, _ = split_target(method, target)
    return path, query


def refusal(target: bytes, method: bytes = b"GET") -> int:
    with pytest.raises(ClientError) as caught:
        split_target(method, target)
    return caught.value.status


# Targets


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a/", b"/a/", b""),
        (b"/a//b", b"/a//b", b""),
        (b"//", b"//", b""),
        (b"///x", b"///x", b""),
        (b"/./", b"/", b""),
        (b"/.", b"/", b""),
        (b"/a/.", b"/a/", b""),
        (b"/a/./b", b"/a/b", b""),
        (b"/.b", b"/.b", b""),
        (b"/..b", b"/..b", b""),
        (b"/a/...", b"/a/...", b""),
        (b"/a%%41"[:2], b"/a", b""),
        (b"/a#x", b"/a", b""),
        (b"/a?", b"/a", b""),
        (b"/?x", b"/", b"x"),
        (b"/a/.?q", b"/a/", b"q"),
        (b"/../", b"/", b""),
        (b"/../x", b"/x", b""),
        (b"/a/..", b"/", b""),
        (b"/a/../", b"/", b""),
        (b"/a/b/..", b"/a/", b""),
        (b"/a/b/../", b"/a/", b""),
        (b"/a/b/../c", b"/a/c", b""),
        (b"/a/../../b", b"/b", b""),
        (b"/a/.b", b"/a/.b", b""),
        (b"/a/..b", b"/a/..b", b""),
        (b"/...", b"/...", b""),
        (b"/%41", b"/A", b""),
        (b"/%2F", b"//", b""),
        (b"/a+b", b"/a+b", b""),
        (b"/a#b?c", b"/a", b"c"),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a?b#c", b"/a", b"b#c"),
        (b"/a;p=1/b", b"/a;p=1/b", b""),
        (b"/caf%C3%A9", b"/caf\xc3\xa9", b""),
        (b"/caf%c3%a9", b"/caf\xc3\xa9", b""),
        (b"/a\\b", b"/a\\b", b""),
        (b"/a%20b/../c//d%2Fe?x=1&y=%20", b"/c//d/e", b"x=1&y=%20"),
        (b"/a?%zz%00", b"/a", b"%zz%00"),
        (b"/%2541", b"/%41", b""),
    ],
)
def test_a_target_is_split_as_uwsgi_does(target: bytes, path: bytes, query: bytes) -> None:
    assert path_of(target) == (path, query)


def test_going_above_the_root_ends_there_and_not_in_an_empty_path() -> None:
    assert path_of(b"/..") == (b"/", b"")
    assert path_of(b"/a/../..") == (b"/", b"")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/%2e%2e/x", b"/x"),
        (b"/a/%2e%2e/x", b"/x"),
        (b"/a/.%2e/b", b"/b"),
        (b"/a/%2E/b", b"/a/b"),
        (b"/a/..%2fb", b"/b"),
        (b"/a%2f..%2f..%2fb", b"/b"),
        (b"/a/b/%2e%2e", b"/a/"),
    ],
)
def test_encoded_dot_segments_are_resolved_where_uwsgi_keeps_them(
    target: bytes, path: bytes
) -> None:
    assert path_of(target) == (path, b"")


@pytest.mark.parametrize(
    "target", [b"/a%", b"/a%2", b"/a%zz", b"/a%%41", b"/a/%", b"/%4g", b"/%+1", b"/%u0041"]
)
def test_a_broken_escape_is_refused_where_uwsgi_guesses(target: bytes) -> None:
    assert refusal(target) == 400


def test_an_encoded_nul_is_refused_where_uwsgi_hands_it_on() -> None:
    assert refusal(b"/%00x") == 400


@pytest.mark.parametrize("target", [b"a", b"./x", b"../x", b".", b"..", b"%41", b"", b"?q", b"#"])
def test_a_target_that_is_no_path_is_refused_where_uwsgi_takes_it(target: bytes) -> None:
    assert refusal(target) == 400


@pytest.mark.parametrize(
    "target", [b"ftp://a/", b"http:/a", b"http:///a", b"a:80", b"javascript:x", b"//"[:0]]
)
def test_a_url_of_another_kind_is_refused(target: bytes) -> None:
    assert refusal(target) == 400


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://z.com/q?a", b"/q", b"a", b"z.com"),
        (b"HTTPS://z.com:8443/q", b"/q", b"", b"z.com:8443"),
        (b"http://z.com", b"/", b"", b"z.com"),
        (b"http://z.com?x", b"/", b"x", b"z.com"),
        (b"http://user:pw@z.com/", b"/", b"", b"z.com"),
        (b"http://[::1]:80/a/../b", b"/b", b"", b"[::1]:80"),
    ],
)
def test_the_absolute_form_is_taken_apart_where_uwsgi_takes_it_for_a_path(
    target: bytes, path: bytes, query: bytes, host: bytes
) -> None:
    assert split_target(b"GET", target) == (path, query, host)


@pytest.mark.parametrize(
    "target", [b"http://a,b/", b"http://a\\b/", b'http://"a"/', b"http://a:b/", b"http://a@/"]
)
def test_a_malformed_host_in_the_absolute_form_is_refused(target: bytes) -> None:
    assert refusal(target) == 400


def test_a_star_is_for_options_alone() -> None:
    assert path_of(b"*", b"OPTIONS") == (b"*", b"")
    assert refusal(b"*", b"GET") == 400


segments = st.sampled_from(
    [
        b"",
        b".",
        b"..",
        b"%2e",
        b"%2E%2e",
        b"a",
        b".a",
        b"...",
        b"%2f",
        b"a%20b",
        b"..%2f..",
        b"\\..",
    ]
)


@given(st.lists(segments, min_size=1, max_size=8))
def test_no_path_keeps_a_dot_segment(parts: list[bytes]) -> None:
    path, _ = path_of(b"/" + b"/".join(parts))
    assert path[:1] == b"/"
    assert not {b".", b".."} & set(path.split(b"/"))


plain = st.lists(st.sampled_from(b"abc-_~/ %?#\xc3\xa9+;="), max_size=20).map(bytes)


@given(plain)
def test_an_encoded_path_is_decoded_to_what_it_was(path: bytes) -> None:
    encoded = b"".join([b"%%%02X" % octet for octet in path])
    assert path_of(b"/" + encoded) == (b"/" + path, b"")


# Header names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"Host", b"HTTP_HOST"),
        (b"hOsT", b"HTTP_HOST"),
        (b"X-Foo", b"HTTP_X_FOO"),
        (b"Content-Type", b"CONTENT_TYPE"),
        (b"content-length", b"CONTENT_LENGTH"),
        (b"X!#$", b"HTTP_X!#$"),
        (b"X--Y", b"HTTP_X__Y"),
    ],
)
def test_a_name_becomes_a_key_as_in_uwsgi(name: bytes, key: bytes) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize("name", [b"X_Foo", b"Content_Length", b"_", b"Transfer_Encoding"])
def test_a_name_with_an_underscore_is_dropped_where_uwsgi_mixes_it_up(name: bytes) -> None:
    assert key_of(name) == b""


@pytest.mark.parametrize("name", [b"Proxy", b"proxy", b"PROXY"])
def test_proxy_is_dropped_where_uwsgi_sets_http_proxy(name: bytes) -> None:
    assert key_of(name) == b""


def test_the_cache_of_names_does_not_grow_without_end() -> None:
    for n in range(MAX_CACHED_NAMES + 10):
        key_of(b"X-Name-%d" % n)
        cgi.pack_key(b"HTTP_X_NAME_%d" % n)
    assert len(cgi._keys) == MAX_CACHED_NAMES
    assert len(cgi._packed) == MAX_CACHED_NAMES
    assert key_of(b"X-Name-Late") == b"HTTP_X_NAME_LATE"


# Fields


def test_repeated_fields_are_joined_at_the_place_of_the_first() -> None:
    headers = [(b"X-Foo", b"1"), (b"A", b""), (b"x-foo", b"3")]
    assert list(fields_of(headers).items()) == [(b"HTTP_X_FOO", b"1, 3"), (b"HTTP_A", b"")]


def test_cookies_are_joined_with_a_semicolon_where_uwsgi_takes_a_comma() -> None:
    headers = [(b"Cookie", b"a=1"), (b"Cookie", b"b=2")]
    assert fields_of(headers) == {b"HTTP_COOKIE": b"a=1; b=2"}


def test_a_dropped_name_does_not_hide_the_one_it_collides_with() -> None:
    headers = [(b"X_Foo", b"evil"), (b"X-Foo", b"good"), (b"x_foo", b"evil")]
    assert fields_of(headers) == {b"HTTP_X_FOO": b"good"}


@pytest.mark.parametrize(
    "name", [b"Host", b"Content-Length", b"Content-Type", b"Transfer-Encoding"]
)
def test_what_may_be_there_once_is_refused_twice(name: bytes) -> None:
    with pytest.raises(ClientError, match="more than one") as caught:
        fields_of([(name, b"a"), (name.lower(), b"a")])
    assert caught.value.status == 400


def test_hop_by_hop_fields_are_removed() -> None:
    names = [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"Expect",
    ]
    fields = fields_of([(name, b"x") for name in names] + [(b"Accept", b"*/*")])
    remove_hop_by_hop(fields)
    assert fields == {b"HTTP_ACCEPT": b"*/*"}


def test_fields_that_connection_names_are_removed() -> None:
    fields = fields_of(
        [(b"Connection", b"X-A,\tx-b , ,absent"), (b"X-A", b"1"), (b"X-B", b"2"), (b"X-C", b"3")]
    )
    remove_hop_by_hop(fields)
    assert fields == {b"HTTP_X_C": b"3"}


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Content-Length",
        b"Content-Type",
        b"Authorization",
        b"Cookie",
        b"Forwarded",
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Proto",
        b"X-Real-IP",
    ],
)
def test_connection_cannot_take_away_what_checks_rely_on(name: bytes) -> None:
    fields = fields_of([(b"Connection", name), (name, b"x")])
    remove_hop_by_hop(fields)
    assert fields == {key_of(name): b"x"}


# Packing


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=2000)))
def test_fields_are_packed_as_a_uwsgi_block(fields: dict[bytes, bytes]) -> None:
    assert list(decode_block(pack_fields(fields))) == list(fields.items())


@pytest.mark.parametrize("length", [0, 1, 255, 256, 1023, 1024, 65535])
def test_a_length_has_two_bytes_little_endian(length: int) -> None:
    assert pack_length(length) == length.to_bytes(2, "little")


def test_a_length_beyond_16_bits_is_431() -> None:
    with pytest.raises(ClientError) as caught:
        pack_length(65536)
    assert caught.value.status == 431


def test_constants_are_packed_like_any_variable() -> None:
    assert pack((("A", b"1"), ("B", b""))) == encode_var(b"A", b"1") + encode_var(b"B", b"")
