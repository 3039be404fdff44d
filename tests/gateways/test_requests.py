"""Reading heads (gateways/requests.py): one reader serves all connections of a gateway."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.instance import EDGE
from tests.gateways.peers import request
from uwgate.conf.errors import ClientError
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.counters import Counters
from uwgate.gateways.peer import Peer
from uwgate.gateways.requests import MAX_KNOWN, MAX_KNOWN_SIZE, ROOM, RequestReader
from uwgate.gateways.wire.uwsgi import MAX_BLOCK, decode_block

PEER = Peer(b"\x04\x00PEER\x01\x00p", b"203.0.113.7", b"1024", False, False, b"")
PROXY = dataclasses.replace(PEER, address=b"10.0.0.1", is_trusted=True)
PROBE = request(b"GET", b"/probe?1", b"X-Probe: yes")


def reader_of(limit_post: int = 0, **options: Any) -> RequestReader:
    edge = {key: options.pop(key) for key in options.keys() & EDGE}
    return RequestReader(HttpOptions(**options), limit_post, EdgeOptions(**edge), Counters())


def status_of(reader: RequestReader, head: bytes) -> int:
    with pytest.raises(ClientError) as caught:
        reader.read(head, PEER)
    return caught.value.status


def variables_of(reader: RequestReader, head: bytes) -> dict[bytes, bytes]:
    return dict(decode_block(reader.read(head, PEER).block))


def assert_reads_on(reader: RequestReader) -> None:
    """What another client sends next is read as if nothing had been before."""
    found = variables_of(reader, PROBE)
    assert found[b"REQUEST_URI"] == b"/probe?1"
    assert found[b"HTTP_X_PROBE"] == b"yes"
    assert found[b"HTTP_HOST"] == b"a.example"


# Requests that leave llhttp in the middle of something.
UNFINISHED = {
    "length": request(b"POST", b"/", b"Content-Length: 100"),
    "chunked": request(b"POST", b"/", b"Transfer-Encoding: chunked"),
    "close": request(b"GET", b"/", b"Connection: close"),
    "keep-alive, close": request(b"GET", b"/", b"Connection: keep-alive, close"),
    "proxy-connection": request(b"GET", b"/", b"Proxy-Connection: close"),
    "upgrade": request(b"GET", b"/", b"Connection: upgrade", b"Upgrade: x"),
    "upgrade, length": request(
        b"GET", b"/", b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 3"
    ),
    "http/1.0": request(b"GET", version=b"1.0"),
    "http/1.0, keep-alive": request(b"GET", b"/", b"Connection: keep-alive", version=b"1.0"),
    "http/1.0, both": request(
        b"GET", b"/", b"Connection: keep-alive", b"Proxy-Connection: close", version=b"1.0"
    ),
    "head": request(b"HEAD"),
}


@pytest.mark.parametrize("head", UNFINISHED.values(), ids=list(UNFINISHED))
def test_no_request_changes_how_the_next_one_is_read(head: bytes) -> None:
    reader = reader_of()
    reader.read(head, PEER)
    assert_reads_on(reader)


REFUSED = {
    "host": request(b"POST", b"/", b"Content-Length: 100", host=b"a b"),
    "two hosts": request(b"POST", b"/", b"Content-Length: 100", b"Host: b"),
    "expect": request(b"POST", b"/", b"Content-Length: 100", b"Expect: x"),
    "both framings": request(b"POST", b"/", b"Content-Length: 9", b"Transfer-Encoding: chunked"),
    "coding": request(b"POST", b"/", b"Transfer-Encoding: gzip"),
    "target": request(b"POST", b"/%zz", b"Content-Length: 100"),
    "star": request(b"POST", b"*", b"Content-Length: 100"),
    "too large": request(b"POST", b"/", b"Content-Length: 1001"),
    "preface": request(b"PRI", b"*"),
    "method": request(b"FOO"),
    "connect": request(b"CONNECT", b"a:1"),
    "close": request(b"GET", b"/", b"Connection: close", host=b""),
    "bare lf": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "url": request(b"GET", b"a"),
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=list(REFUSED))
def test_no_refused_request_changes_how_the_next_one_is_read(head: bytes) -> None:
    reader = reader_of(limit_post=1000)
    status_of(reader, head)
    assert_reads_on(reader)


lines = st.sampled_from(
    [
        b"Content-Length: 9",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: x",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: upgrade",
        b"Proxy-Connection: close",
        b"Upgrade: websocket",
        b"Host: b",
        b"Expect: 100-continue",
        b"Bad : x",
    ]
)


@given(
    st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"SOURCE"]),
    st.sampled_from([b"/", b"*", b"http://a/", b"a:1", b"/%00", b"/\xff"]),
    st.lists(lines, max_size=4),
    st.sampled_from([b"1.0", b"1.1"]),
)
def test_no_mix_of_fields_changes_how_the_next_one_is_read(
    method: bytes, target: bytes, fields: list[bytes], version: bytes
) -> None:
    reader = reader_of()
    with contextlib.suppress(ClientError):
        reader.read(request(method, target, *fields, version=version), PEER)
    assert_reads_on(reader)


@pytest.mark.parametrize("target", [b"/caf\xc3\xa9", b"/a?\xff", b"/#\x80"])
def test_octets_beyond_ascii_may_stand_in_a_target_whatever_was_before(target: bytes) -> None:
    reader = reader_of()
    assert variables_of(reader, request(b"GET", target))[b"REQUEST_URI"] == target
    assert variables_of(reader, request(b"GET", target))[b"REQUEST_URI"] == target


@pytest.mark.parametrize("target", [b"a", b"http://a b/", b"*", b"/%zz", b"http://a,b/"])
def test_a_target_is_refused_whatever_was_before(target: bytes) -> None:
    reader = reader_of()
    reader.read(request(b"GET", b"/"), PEER)
    assert status_of(reader, request(b"GET", target)) == 400


def test_the_host_of_one_target_is_not_that_of_the_next_request() -> None:
    reader = reader_of(http_server_name_as_http_host=True)
    first = variables_of(reader, request(b"GET", b"http://other/"))
    assert (first[b"HTTP_HOST"], first[b"SERVER_NAME"]) == (b"other", b"other")
    second = variables_of(reader, request(b"GET", b"/"))
    assert (second[b"HTTP_HOST"], second[b"SERVER_NAME"]) == (b"a.example", b"a.example")


def test_what_is_remembered_of_header_lines_has_a_limit() -> None:
    reader = reader_of()
    for n in range(MAX_KNOWN + 5):
        reader.read(request(b"GET", b"/", b"X: %d" % n), PEER)
    reader.read(request(b"GET", b"/", b"X: " + b"x" * MAX_KNOWN_SIZE), PEER)
    assert len(reader._known) <= MAX_KNOWN
    assert max(len(lines) for _, _, lines in reader._known) <= MAX_KNOWN_SIZE


@pytest.mark.parametrize("method", [b"FOO", b"get", b"GETT", b"X"])
def test_an_unknown_method_is_501(method: bytes) -> None:
    assert status_of(reader_of(), request(method)) == 501


@pytest.mark.parametrize("target", [b"*", b"/"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("line", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_the_beginning_of_http_2_is_501(target: bytes, version: bytes, line: bytes) -> None:
    # llhttp says nothing to it, and nothing of its header lines.
    assert status_of(reader_of(), request(b"PRI", target, line, version=version)) == 501


def test_connect_is_501() -> None:
    assert status_of(reader_of(), request(b"CONNECT", b"a.example:443")) == 501


@pytest.mark.parametrize(
    "method",
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND"],
)
def test_the_usual_methods_are_taken(method: bytes) -> None:
    assert variables_of(reader_of(), request(method))[b"REQUEST_METHOD"] == method


def test_a_body_of_limit_post_is_taken_and_one_byte_more_is_413() -> None:
    reader = reader_of(limit_post=10)
    assert reader.read(request(b"POST", b"/", b"Content-Length: 10"), PEER).length == 10
    assert status_of(reader, request(b"POST", b"/", b"Content-Length: 11")) == 413


def test_chunked_bodies_can_be_refused_with_411() -> None:
    reader = reader_of(http_chunked_input=False)
    assert status_of(reader, request(b"POST", b"/", b"Transfer-Encoding: chunked")) == 411


def test_a_chunked_body_has_no_length_and_its_coding_is_not_passed_on() -> None:
    reader = reader_of()
    read = reader.read(request(b"POST", b"/", b"Transfer-Encoding: chunked"), PEER)
    assert read.length is None
    assert b"HTTP_TRANSFER_ENCODING" not in dict(decode_block(read.block))


def test_limits_are_those_of_the_options() -> None:
    reader = reader_of(http_line_limit=256, http_header_limit=3)
    assert status_of(reader, request(b"GET", b"/" + b"x" * 256)) == 414
    assert status_of(reader, request(b"GET", b"/", b"X: " + b"x" * 256)) == 431
    assert status_of(reader, request(b"GET", b"/", b"A: 1", b"B: 1", b"C: 1")) == 431


def test_a_request_that_does_not_fit_into_a_packet_is_431() -> None:
    # The target goes in twice, the query three times: no head limit keeps that small enough.
    options = {"http_head_limit": 49152, "http_line_limit": 49152}
    fixed = len(reader_of(**options).read(request(b"GET", b"/?"), PEER).block)
    most = (MAX_BLOCK - ROOM - fixed) // 2
    reader = reader_of(**options)
    block = reader.read(request(b"GET", b"/?" + b"q" * most), PEER).block
    assert len(block) in (MAX_BLOCK - ROOM, MAX_BLOCK - ROOM - 1)
    assert status_of(reader, request(b"GET", b"/?" + b"q" * (most + 1))) == 431
    assert_reads_on(reader)


# Forwarded fields

SPOKEN = (
    b"X-Forwarded-For: 198.51.100.1",
    b"X-Forwarded-Proto: https",
    b"X-Real-IP: 198.51.100.1",
    b"Forwarded: for=198.51.100.1;proto=https",
    b"X-Other: kept",
)


def seen(reader: RequestReader, peer: Peer, *lines: bytes) -> dict[bytes, bytes]:
    """The variables that tell of other clients than the peer, and of the scheme."""
    variables = dict(decode_block(reader.read(request(b"GET", b"/", *lines), peer).block))
    own = (b"PEER", b"HTTP_HOST", b"HTTP_X_OTHER", b"UWSGI_ROUTER")
    return {
        key: value
        for key, value in variables.items()
        if key not in own and key.startswith((b"HTTP_", b"UWSGI_"))
    }


def test_what_a_trusted_proxy_says_is_passed_on_as_it_is() -> None:
    assert seen(reader_of(), PROXY, *SPOKEN) == {
        b"HTTP_X_FORWARDED_FOR": b"198.51.100.1",
        b"HTTP_X_FORWARDED_PROTO": b"https",
        b"HTTP_X_REAL_IP": b"198.51.100.1",
        b"HTTP_FORWARDED": b"for=198.51.100.1;proto=https",
        b"UWSGI_SCHEME": b"https",
    }
    assert seen(reader_of(), PROXY) == {}


def test_what_others_say_is_removed_whoever_asked_before() -> None:
    reader = reader_of()
    seen(reader, PROXY, *SPOKEN)
    assert seen(reader, PEER, *SPOKEN) == {}
    assert seen(reader, PROXY, *SPOKEN)[b"UWSGI_SCHEME"] == b"https"
    assert reader._counters["forwarded-removed"] == 1


def test_other_fields_stay_where_forwarded_ones_are_removed() -> None:
    block = reader_of().read(request(b"GET", b"/", *SPOKEN), PEER).block
    assert dict(decode_block(block))[b"HTTP_X_OTHER"] == b"kept"


@pytest.mark.parametrize("name", [b"X_Forwarded_For", b"X-Forwarded_For", b"x_real_ip"])
def test_no_other_spelling_gets_through(name: bytes) -> None:
    assert seen(reader_of(), PEER, name + b": 198.51.100.1") == {}


def test_the_client_is_added_on_request() -> None:
    reader = reader_of(http_add_forwarded=True)
    assert seen(reader, PEER, *SPOKEN) == {
        b"HTTP_X_FORWARDED_FOR": b"203.0.113.7",
        b"HTTP_X_FORWARDED_PROTO": b"http",
    }
    assert seen(reader, PEER.secured(b"")) == {
        b"HTTP_X_FORWARDED_FOR": b"203.0.113.7",
        b"HTTP_X_FORWARDED_PROTO": b"https",
    }
    assert seen(reader, PROXY, SPOKEN[0], SPOKEN[1]) == {
        b"HTTP_X_FORWARDED_FOR": b"198.51.100.1, 10.0.0.1",
        b"HTTP_X_FORWARDED_PROTO": b"https",
        b"UWSGI_SCHEME": b"https",
    }
    local = dataclasses.replace(PROXY, address=b"0.0.0.0")
    assert seen(reader, local)[b"HTTP_X_FORWARDED_FOR"] == b"unknown"


def test_a_forwarded_host_is_not_the_host() -> None:
    reader = reader_of(http_server_name_as_http_host=True)
    found = seen(reader, PROXY, b"X-Forwarded-Host: other")
    assert found == {b"HTTP_X_FORWARDED_HOST": b"other"}


@pytest.mark.parametrize(
    ("target", "authority"), [(b"/", b"a.example"), (b"http://b.example:1/", b"b.example:1")]
)
def test_an_authority_that_the_connection_does_not_admit_is_misdirected(
    target: bytes, authority: bytes
) -> None:
    asked: list[bytes] = []

    def admits(authority: bytes) -> bool:
        asked.append(authority)
        return False

    peer = dataclasses.replace(PEER, admits=admits)
    head = request(b"GET", target).replace(b"a.example", authority)
    with pytest.raises(ClientError) as caught:
        reader_of().read(head, peer)
    assert (caught.value.status, asked) == (421, [authority])
