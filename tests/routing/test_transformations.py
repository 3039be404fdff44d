"""Bodies through transformations: bytes in, bytes out (spec/internal-routing.md section 7)."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from uwgate.routing.effects import CacheStore, Effect, Log, StorePut, WriteFile
from uwgate.routing.outside import Outside
from uwgate.routing.results import Store
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction
from uwgate.routing.transformations import content
from uwgate.routing.transformations.stream import Pipeline

LENGTH = (b"Content-Length", b"11")


def read_gzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data)


def read_brotli(data: bytes) -> bytes:
    read: bytes = brotli.Decompressor().process(data)
    return read


def read_zstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


READERS = {"gzip:": read_gzip, "brotli:": read_brotli, "zstd:": read_zstd}


class Body:
    """A response on its way through the transformations that these actions add."""

    def __init__(self, *actions: str, protocol: bytes = b"HTTP/1.1", status: int = 200) -> None:
        rules = compile_rules(("route", f"^(.*) {action}", "x") for action in actions)
        variables = {b"PATH_INFO": b"/p", b"SERVER_PROTOCOL": protocol}
        self.transaction = Transaction(variables)
        rules.request.start(self.transaction, Outside())
        self.transaction.begin_response(status, b"", [LENGTH])
        self.pipeline = Pipeline(self.transaction, Outside())

    def send(self, *pieces: bytes, complete: bool = True) -> list[bytes]:
        """What comes out piece by piece, and at the end."""
        out = [self.pipeline.feed(piece) for piece in pieces]
        return [*out, self.pipeline.finish(complete=complete)]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.transaction.headers)

    @property
    def effects(self) -> list[Effect]:
        return self.transaction.effects


def test_a_body_without_transformations_is_unchanged() -> None:
    assert Body().send(b"a", b"b") == [b"a", b"b", b""]


def test_chunks_are_framed_and_ended() -> None:
    body = Body("chunked:")
    assert body.send(b"alpha-", b"", b"0123456789") == [
        b"6\r\nalpha-\r\n",
        b"",
        b"A\r\n0123456789\r\n",
        b"0\r\n\r\n",
    ]
    assert body.headers == {b"Transfer-Encoding": b"chunked"}


def test_the_same_coding_is_applied_once() -> None:
    body = Body("gzip:", "chunked:", "gzip:", "chunked:")
    assert [one.name for one in body.transaction.transformations] == ["gzip", "chunked"]


def test_no_chunks_for_http_1_0() -> None:
    body = Body("chunked:", protocol=b"HTTP/1.0")
    assert body.send(b"a") == [b"a", b""]
    assert body.headers == dict([LENGTH])


def test_an_empty_body_stays_empty() -> None:
    body = Body("gzip:", "chunked:")
    assert body.send() == [b""]
    assert body.headers == dict([LENGTH])


def test_a_body_that_was_cut_off_has_no_good_end() -> None:
    assert Body("chunked:").send(b"a", complete=False)[-1] == b""
    with pytest.raises(EOFError):
        gzip.decompress(b"".join(Body("gzip:").send(b"a", complete=False)))


@pytest.mark.parametrize(
    ("action", "coding"), [("gzip:", b"gzip"), ("brotli:", b"br"), ("zstd:", b"zstd")]
)
def test_each_piece_can_be_read_when_it_comes(action: str, coding: bytes) -> None:
    body = Body(action)
    first, second, last = body.send(b"alpha-", b"beta")
    assert READERS[action](first) == b"alpha-"
    assert READERS[action](first + second + last) == b"alpha-beta"
    assert body.headers == {b"Content-Encoding": coding, b"Vary": b"Accept-Encoding"}


@pytest.mark.parametrize("said", [b"*", b"Cookie, accept-encoding"])
def test_a_body_that_varies_by_coding_says_so_once(said: bytes) -> None:
    body = Body("gzip:")
    body.transaction.headers.append((b"Vary", said))
    body.send(b"a")
    assert [value for name, value in body.transaction.headers if name == b"Vary"] == [said]


def test_what_else_a_body_varies_by_stays() -> None:
    body = Body("gzip:")
    body.transaction.headers.append((b"vary", b"Cookie"))
    body.send(b"a")
    assert (b"vary", b"Cookie") in body.transaction.headers
    assert (b"Vary", b"Accept-Encoding") in body.transaction.headers


def test_a_body_that_is_encoded_already_is_not_encoded_again() -> None:
    body = Body("gzip:")
    body.transaction.headers.append((b"content-encoding", b"br"))
    body.pipeline = Pipeline(body.transaction, Outside())
    assert body.send(b"x") == [b"x", b""]


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_gzip_gives_back_what_went_in(pieces: list[bytes]) -> None:
    out = b"".join(Body("gzip:").send(*pieces))
    assert (gzip.decompress(out) if out else b"") == b"".join(pieces)


def test_the_length_is_known_at_the_end() -> None:
    body = Body("fixcl:")
    assert body.pipeline.holds_head
    assert body.send(b"a", b"bc") == [b"", b"", b"abc"]
    assert body.headers == {b"Content-Length": b"3"}


def test_a_length_that_is_removed_is_not_fixed_but_forced() -> None:
    fixed, forced = (Body("remheader:Content-Length", action) for action in ("fixcl:", "forcecl:"))
    fixed.send(b"abc")
    forced.send(b"abc")
    assert fixed.headers == {}
    assert forced.headers == {b"Content-Length": b"3"}


def test_a_body_beyond_the_limit_passes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_BUFFER", 4)
    body = Body("fixcl:")
    assert body.send(b"abc", b"de", b"f") == [b"", b"abcde", b"f", b""]
    assert isinstance(body.effects[0], Log)
    assert body.headers == dict([LENGTH])


def test_a_template_is_filled_into_the_body() -> None:
    body = Body("template:")
    assert body.send(b"<${PATH", b"_INFO}|$1|${nope[x]}>") == [b"", b"", b"</p|/p|>"]
    assert body.headers == {}


def test_what_a_variable_brings_into_a_body_is_not_read_again() -> None:
    body = Body("addvar:EVIL=$$", "template:")
    body.transaction.variables[b"EVIL"] = b"${PATH_INFO}"
    assert body.send(b"${EVIL}")[-1] == b"${PATH_INFO}"


@pytest.mark.parametrize("body", [b"$1" * 10_001, b"${BIG}" * 300], ids=["places", "bytes"])
def test_a_body_with_too_much_to_fill_in_stays_as_it_is(body: bytes) -> None:
    response = Body("template:")
    response.transaction.variables[b"BIG"] = b"x" * 65_000
    assert response.send(body)[-1] == body
    assert response.headers == dict([LENGTH])
    assert isinstance(response.effects[0], Log)


def test_letters_become_capitals() -> None:
    assert Body("toupper:").send(b"a\xe9b") == [b"A\xe9B", b""]


def test_an_offload_has_its_limit() -> None:
    body = Body("offload:limit=1024")
    assert body.send(b"a") == [b"a", b""]
    assert body.transaction.transformations == [content.Offload(1024)]


def test_a_copy_goes_into_a_cache_when_the_body_is_complete() -> None:
    body = Body("cachestore:key=k$1,name=c,expires=60,gzip=z")
    assert body.send(b"a", b"b") == [b"a", b"b", b""]
    plain, short = body.effects
    assert plain == CacheStore(b"c", b"k/p", b"ab", 60)
    assert isinstance(short, CacheStore)
    assert (short.key, gzip.decompress(short.value)) == (b"z", b"ab")


def test_another_text_can_be_stored_for_another_status() -> None:
    body = Body("cachestore:key=k,value=no,status=404", status=404)
    body.send(b"a")
    assert body.effects == [CacheStore(b"", b"k", b"no", 0)]


@pytest.mark.parametrize("action", ["cachestore:key=k", "tofile:filename=/f"])
def test_nothing_is_kept_of_what_is_empty_cut_off_or_an_error(action: str) -> None:
    empty, cut, error = Body(action), Body(action), Body(action, status=404)
    empty.send()
    cut.send(b"a", complete=False)
    error.send(b"a")
    assert empty.effects == cut.effects == error.effects == []


def test_copies_go_to_stores_and_files() -> None:
    body = Body(
        "memcachedstore:addr=/m,key=k,expires=9", "redisstore:addr=/r,key=k", "tofile:filename=/f$1"
    )
    body.send(b"a")
    assert body.effects == [
        StorePut(Store.MEMCACHED, b"/m", b"k", b"a", 9),
        StorePut(Store.REDIS, b"/r", b"k", b"a", 0),
        WriteFile(b"/f/p", b"a"),
    ]


def test_a_copy_that_would_be_too_long_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_BUFFER", 4)
    body = Body("cachestore:key=k")
    assert body.send(b"abc", b"de") == [b"abc", b"de", b""]
    assert [type(effect) for effect in body.effects] == [Log]


def test_a_copy_is_that_of_its_place_in_the_pipeline() -> None:
    body = Body("cachestore:key=plain", "toupper:", "cachestore:key=upper")
    body.send(b"a")
    values = [effect.value for effect in body.effects if isinstance(effect, CacheStore)]
    assert values == [b"a", b"A"]


def test_behind_flush_nothing_reaches_the_client_or_its_headers() -> None:
    body = Body("toupper:", "flush:", "gzip:", "cachestore:key=z")
    assert body.send(b"a") == [b"A", b""]
    assert body.headers == dict([LENGTH])
    (kept,) = body.effects
    assert isinstance(kept, CacheStore)
    assert gzip.decompress(kept.value) == b"A"


def test_the_last_flush_counts() -> None:
    body = Body("flush:", "toupper:", "flush:", "fixcl:")
    assert not body.pipeline.holds_head
    assert body.send(b"a") == [b"A", b""]


def test_a_response_has_a_greatest_number_of_transformations() -> None:
    body = Body(*["toupper:"] * 40)
    assert len(body.transaction.transformations) == 32
