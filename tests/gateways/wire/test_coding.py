"""Content codings: what client and backend agree on, and what becomes of the head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.coding import MAX_ACCEPT, AskingHead, choose

BOTH = (b"br", b"gzip")


@pytest.mark.parametrize(
    ("accept", "offered", "chosen"),
    [
        (b"gzip", BOTH, b"gzip"),
        (b"gzip, deflate, br, zstd", BOTH, b"br"),
        (b"gzip, br", (b"gzip", b"br"), b"gzip"),
        (b"GZip", BOTH, b"gzip"),
        (b"x-gzip", BOTH, b"gzip"),
        (b"gzip;q=0, x-gzip", BOTH, None),
        (b"gzip;q=0.8, br;q=0.5", BOTH, b"gzip"),
        (b"gzip ; Q=0.8 ,\tbr; q=0.801", BOTH, b"br"),
        (b"*", BOTH, b"br"),
        (b"*;q=0", BOTH, None),
        (b"br;q=0, *", BOTH, b"gzip"),
        (b"br;q=0.1, *;q=0.5", BOTH, b"gzip"),
        (b"gzip;q=0.000", BOTH, None),
        (b"gzip;q=1.000", BOTH, b"gzip"),
        (b"gzip;q=0.5, identity", BOTH, None),
        (b"gzip;q=0.5, identity;q=0.5", BOTH, b"gzip"),
        (b"identity;q=0", BOTH, None),
        (b"identity;q=0, gzip;q=0.1", BOTH, b"gzip"),
        (b"identity", BOTH, None),
        (b"", BOTH, None),
        (b",,", BOTH, None),
        (b"gzip", (), None),
        (b"deflate, compress", BOTH, None),
        (b"gzip2, xgzip, gzip-x", BOTH, None),
    ],
)
def test_the_clients_weights_come_before_the_backends_order(
    accept: bytes, offered: tuple[bytes, ...], chosen: bytes | None
) -> None:
    assert choose(accept, offered) == chosen


@pytest.mark.parametrize(
    "element",
    [
        b"gzip;q=2",
        b"gzip;q=1.001",
        b"gzip;q=0.1234",
        b"gzip;q=-1",
        b"gzip;q=",
        b"gzip;q",
        b"gzip;level=9",
        b"gzip;q=nan",
        b"gzip deflate",
        b"gzip;q=1;q=1",
        b"gz\xefp",
    ],
)
def test_a_malformed_element_counts_as_absent(element: bytes) -> None:
    assert choose(element, BOTH) is None
    assert choose(element + b", br;q=0.1", BOTH) == b"br"


def test_an_endless_accept_encoding_is_not_read() -> None:
    fits = b"gzip".ljust(MAX_ACCEPT, b",")
    assert choose(fits, BOTH) == b"gzip"
    assert choose(fits + b",", BOTH) is None


@given(st.binary(max_size=80))
def test_whatever_is_accepted_is_among_what_is_offered(accept: bytes) -> None:
    assert choose(accept, BOTH) in (None, *BOTH)


def head(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"".join(line + b"\r\n" for line in (status, *lines))


def test_the_backends_codings_keep_their_order() -> None:
    asking = AskingHead.read(
        head(b"uWSGI-Encoding: zstd, BR", b"A: b", b"uwsgi-encoding:gzip ,br,")
    )
    assert asking.codings == (b"zstd", b"br", b"gzip")
    assert asking.is_open


def test_an_encoded_body_has_a_head_of_its_own() -> None:
    asking = AskingHead.read(
        head(
            b"Content-Type: text/html",
            b"uWSGI-Encoding: gzip",
            b"Content-Length: 12",
            b"Accept-Ranges: bytes",
            b"Set-Cookie: a",
            b"Set-Cookie: b",
        )
    )
    assert asking.encoded(b"gzip") == head(
        b"Content-Type: text/html",
        b"Set-Cookie: a",
        b"Set-Cookie: b",
        b"Content-Encoding: gzip",
        b"Vary: Accept-Encoding",
    )


def test_a_body_as_it_is_keeps_its_head_and_varies() -> None:
    asking = AskingHead.read(
        head(b'ETag: "a"', b"Uwsgi-Encoding: gzip", b"Content-Length: 12", b"Accept-Ranges: bytes")
    )
    assert asking.plain() == head(
        b'ETag: "a"', b"Content-Length: 12", b"Accept-Ranges: bytes", b"Vary: Accept-Encoding"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([b'ETag: "a"'], [b'ETag: W/"a"']),
        ([b'etag:"a"'], [b'ETag: W/"a"']),
        ([b'ETag: W/"a"'], [b'ETag: W/"a"']),
        ([b"ETag: a"], []),
        ([b"ETag:"], []),
    ],
)
def test_an_etag_becomes_weak(before: list[bytes], after: list[bytes]) -> None:
    asking = AskingHead.read(head(*before, b"uWSGI-Encoding: gzip", b"Vary: *"))
    assert asking.encoded(b"br") == head(*after, b"Vary: *", b"Content-Encoding: br")


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ([b"Vary: Cookie"], [b"Vary: Accept-Encoding"]),
        ([b"Vary: Accept-Language, accept-encoding"], []),
        ([b"Vary: Cookie", b"vary:Accept-Encoding"], []),
        ([b"Vary: *"], []),
        ([b"Vary:"], [b"Vary: Accept-Encoding"]),
        ([b"Vary: X-Accept-Encoding"], [b"Vary: Accept-Encoding"]),
    ],
)
def test_vary_names_accept_encoding_once(lines: list[bytes], added: list[bytes]) -> None:
    asking = AskingHead.read(head(*lines, b"uWSGI-Encoding: gzip"))
    assert asking.plain() == head(*lines, *added)
    assert asking.encoded(b"gzip") == head(*lines, b"Content-Encoding: gzip", *added)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Encoding: br",
        b"content-encoding:identity",
        b"Content-Range: bytes 0-1/2",
        b"Cache-Control: max-age=1, No-Transform",
        b"Content-MD5: x",
        b"Digest: x",
        b"Content-Digest: sha-256=:x:",
        b"Repr-Digest: sha-256=:x:",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_what_binds_the_bytes_forbids_to_encode_them(line: bytes, is_first: bool) -> None:
    lines = (line, b"uWSGI-Encoding: gzip") if is_first else (b"uWSGI-Encoding: gzip", line)
    asking = AskingHead.read(head(*lines))
    assert not asking.is_open
    assert asking.plain() == head(line)


@pytest.mark.parametrize("status", [b"204 No Content", b"205 Reset Content", b"206 Partial"])
def test_what_has_no_whole_body_is_not_encoded(status: bytes) -> None:
    asking = AskingHead.read(head(b"uWSGI-Encoding: gzip", status=status))
    assert not asking.is_open
    assert asking.plain() == head(status=status)


def test_a_304_has_the_etag_of_what_the_client_holds() -> None:
    asking = AskingHead.read(head(b'ETag: "a"', b"uWSGI-Encoding: gzip", status=b"304 NM"))
    assert asking.is_open
    assert asking.encoded(b"gzip") == head(
        b'ETag: W/"a"', b"Vary: Accept-Encoding", status=b"304 NM"
    )


def test_an_error_page_may_be_encoded() -> None:
    assert AskingHead.read(head(b"uWSGI-Encoding: gzip", status=b"404 Not Found")).is_open
