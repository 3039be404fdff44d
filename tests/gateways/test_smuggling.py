"""The corpus of tests/smuggling/ against the gateway's reader alone, without processes."""

from __future__ import annotations

import pytest

from tests.smuggling.corpus import Case, load
from uwgate.conf.errors import ClientError
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.counters import Counters
from uwgate.gateways.exchange import Request
from uwgate.gateways.peer import Peer
from uwgate.gateways.requests import RequestReader
from uwgate.gateways.wire import http1
from uwgate.gateways.wire.chunked import ChunkedDecoder

PEER = Peer(b"", b"203.0.113.7", b"1024", False, False, b"")
NEXT = b"GET /second HTTP/1.1\r\n"


def read(data: bytes) -> tuple[Request, bytes]:
    """The request at the head of ``data``, and what follows its head."""
    reader = RequestReader(HttpOptions(), 0, EdgeOptions(), Counters())
    data = http1.without_empty_lines(data)
    end = http1.find_end(data, reader.limits)
    assert end > 0
    return reader.read(data[:end], PEER), data[end:]


def rest_of(request: Request, data: bytes) -> tuple[int, bytes]:
    """The size of the request's body, and what follows it."""
    if request.length is not None:
        return request.length, data[request.length :]
    decoder = ChunkedDecoder()
    size = len(decoder.feed(data))
    assert decoder.done
    return size, decoder.rest


@pytest.mark.parametrize("case", load("refused"), ids=str)
def test_an_ambiguous_head_is_refused(case: Case) -> None:
    with pytest.raises(ClientError) as caught:
        read(case.data + NEXT)
    assert caught.value.status in case.numbers


@pytest.mark.parametrize("case", load("broken"), ids=str)
def test_a_broken_body_is_refused(case: Case) -> None:
    request, rest = read(case.data)
    with pytest.raises(ClientError) as caught:
        ChunkedDecoder().feed(rest + NEXT)
    assert request.length is None
    assert caught.value.status in case.numbers


@pytest.mark.parametrize("case", load("accepted"), ids=str)
def test_a_clear_request_ends_before_the_next_one(case: Case) -> None:
    request, rest = read(case.data + NEXT)
    size, following = rest_of(request, rest)
    assert following == NEXT
    assert size in (case.numbers or (size,))
