"""RFC 9113 section 8: requests, responses, and what may not be written into them.

Also the requests that would be smuggled into HTTP/1 if they were believed: CR, LF, NUL and colon
in fields, Transfer-Encoding, Content-Length that lies, two names for the host.
"""

from __future__ import annotations

import pytest

from tests.gateways.http2.client import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NO_ERROR,
    PROTOCOL_ERROR,
    Conversation,
    fields_of,
    frame,
    talking,
)
from tests.gateways.peers import Packet
from uwgate.gateways.wire import lease as wire

A = fields_of()


async def serve(talk: Conversation, *more: tuple[bytes, bytes], path: bytes = b"/") -> Packet:
    """The packet that a request becomes."""
    await talk.client.request(1, fields_of(path, *more))
    lease = await talk.workers.accept()
    packet = await lease.packet()
    await lease.answer()
    assert (await talk.client.response(1)).status == 200
    return packet


async def test_a_request_becomes_the_packet_that_http_1_makes_of_it() -> None:
    async with talking() as talk:
        lines = (b"x-one", b"1"), (b"accept", b"*/*")
        packet = await serve(talk, *lines, path=b"/a%20b/../c?q=1")
        client = await talk.instance.connect()
        await client.get(b"/a%20b/../c?q=1", b"X-One: 1", b"Accept: */*")
        lease = talk.workers.leases[0]
        other = await lease.packet()
        await lease.answer()
    ours, theirs = dict(packet.variables), dict(other.variables)
    assert ours.pop(b"SERVER_PROTOCOL") == b"HTTP/2.0"
    assert theirs.pop(b"SERVER_PROTOCOL") == b"HTTP/1.1"
    assert ours.pop(b"REMOTE_PORT") != theirs.pop(b"REMOTE_PORT")
    assert ours == theirs


async def test_the_authority_is_the_host() -> None:
    async with talking() as talk:
        packet = await serve(talk)
    assert packet[b"HTTP_HOST"] == b"a.example"


async def test_a_host_field_serves_without_an_authority() -> None:
    async with talking() as talk:
        await talk.client.request(1, [*A[:3], (b"host", b"b.example")])
        lease = await talk.workers.accept()
        assert (await lease.packet())[b"HTTP_HOST"] == b"b.example"
        await lease.answer()
        assert (await talk.client.response(1)).status == 200


async def test_authority_and_host_may_be_the_same() -> None:
    async with talking() as talk:
        packet = await serve(talk, (b"host", b"a.example"))
    assert packet[b"HTTP_HOST"] == b"a.example"


async def test_authority_and_host_that_differ_are_refused() -> None:
    async with talking() as talk:
        await talk.client.request(1, fields_of(b"/", (b"host", b"b.example")))
        response = await talk.client.response(1)
    assert response.status == 400


async def test_cookie_crumbs_are_joined() -> None:
    async with talking() as talk:
        packet = await serve(talk, (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c=3"))
    assert packet[b"HTTP_COOKIE"] == b"a=1; b=2; c=3"


async def test_te_trailers_is_allowed_and_ends_here() -> None:
    async with talking() as talk:
        packet = await serve(talk, (b"te", b"trailers"))
    assert b"HTTP_TE" not in packet


async def test_options_may_ask_for_everything() -> None:
    async with talking() as talk:
        await talk.client.request(1, fields_of(b"*", method=b"OPTIONS"))
        lease = await talk.workers.accept()
        assert (await lease.packet())[b"REQUEST_URI"] == b"*"
        await lease.answer()
        assert (await talk.client.response(1)).status == 200


MALFORMED = {
    "upper case": [*A, (b"X-Upper", b"1")],
    "empty name": [*A, (b"", b"1")],
    "colon in name": [*A, (b"x:y", b"1")],
    "space in name": [*A, (b"x y", b"1")],
    "line end in name": [*A, (b"x\r\ny", b"1")],
    "line end in value": [*A, (b"x", b"1\r\nTransfer-Encoding: chunked")],
    "line feed in value": [*A, (b"x", b"1\ny: 2")],
    "carriage return in value": [*A, (b"x", b"1\ry")],
    "nul in value": [*A, (b"x", b"1\0")],
    "value begins with a blank": [*A, (b"x", b" 1")],
    "value ends with a tab": [*A, (b"x", b"1\t")],
    "unknown pseudo-header": [*A[:3], (b":test", b"ok"), A[3]],
    "status in a request": [*A, (b":status", b"200")],
    "pseudo-header behind a field": [A[0], A[1], (b"x", b"y"), A[2], A[3]],
    "connection": [*A, (b"connection", b"keep-alive")],
    "keep-alive": [*A, (b"keep-alive", b"1")],
    "proxy-connection": [*A, (b"proxy-connection", b"close")],
    "transfer-encoding": [*A, (b"transfer-encoding", b"chunked")],
    "upgrade": [*A, (b"upgrade", b"h2c")],
    "te other than trailers": [*A, (b"te", b"trailers, deflate")],
    "empty path": [*A[:2], (b":path", b""), A[3]],
    "path without slash": [*A[:2], (b":path", b"x"), A[3]],
    "path with a blank": [*A[:2], (b":path", b"/ HTTP/1.1"), A[3]],
    "path with a line end": [*A[:2], (b":path", b"/\r\nx: y"), A[3]],
    "absolute path": [*A[:2], (b":path", b"http://b.example/"), A[3]],
    "star with GET": [*A[:2], (b":path", b"*"), A[3]],
    "no method": A[1:],
    "no scheme": [A[0], *A[2:]],
    "no path": [*A[:2], A[3]],
    "no authority": A[:3],
    "method twice": [A[0], *A],
    "scheme twice": [A[1], *A],
    "path twice": [A[2], *A],
    "authority twice": [A[3], *A],
    "method with a blank": [(b":method", b"GET /x"), *A[1:]],
    "scheme ftp": [A[0], (b":scheme", b"ftp"), *A[2:]],
    "scheme with a line end": [A[0], (b":scheme", b"http\r\n"), *A[2:]],
    "user in the authority": [*A[:3], (b":authority", b"me@a.example")],
    "empty authority": [*A[:3], (b":authority", b"")],
    "two hosts": [*A[:3], (b"host", b"a"), (b"host", b"a")],
    "content-length without body": [*A, (b"content-length", b"5")],
    "protocol without CONNECT": [*A, (b":protocol", b"websocket")],
    "CONNECT with a path": [(b":method", b"CONNECT"), *A[1:]],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_request_is_reset_and_reaches_nobody(
    fields: list[tuple[bytes, bytes]],
) -> None:
    async with talking() as talk:
        await talk.client.request(1, fields)
        response = await talk.client.response(1)
        assert response.reset == PROTOCOL_ERROR
        assert await talk.workers.nobody_waits()
        await talk.works(3)


REFUSED = {
    "content-length not a number": (400, [*A, (b"content-length", b"+5")]),
    "two content-lengths": (400, [*A, (b"content-length", b"0"), (b"content-length", b"0")]),
    "CONNECT": (501, [(b":method", b"CONNECT"), (b":authority", b"a:443")]),
    "broken escape": (400, fields_of(b"/%zz")),
    "long path": (414, fields_of(b"/" + b"x" * 20000)),
    "long field": (431, fields_of(b"/", (b"x", b"y" * 20000))),
    "many fields": (431, fields_of(b"/", *[(b"x%d" % n, b"y") for n in range(200)])),
    "large fields": (431, fields_of(b"/", *[(b"x%d" % n, b"y" * 9000) for n in range(4)])),
}


@pytest.mark.parametrize(("status", "fields"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_request_that_is_not_served_gets_an_answer(
    status: int, fields: list[tuple[bytes, bytes]]
) -> None:
    async with talking() as talk:
        await talk.client.send(blocks(talk, 1, fields))
        response = await talk.client.response(1)
        assert response.status == status
        assert response.body.startswith(b"<!doctype html>")
        assert response.fields[b"content-length"] == b"%d" % len(response.body)
        await talk.works(3)


def blocks(talk: Conversation, stream: int, fields: list[tuple[bytes, bytes]]) -> bytes:
    """A request whose fields may take several frames."""
    block = talk.client.encoder.encode(fields)
    first, rest = block[:16384], block[16384:]
    sent = frame(HEADERS, END_STREAM | (0 if rest else END_HEADERS), stream, first)
    while rest:
        piece, rest = rest[:16384], rest[16384:]
        sent += frame(9, 0 if rest else END_HEADERS, stream, piece)
    return sent


async def test_the_answer_to_head_has_no_body_and_ends_with_its_fields() -> None:
    async with talking() as talk:
        await talk.client.request(1, fields_of(method=b"HEAD"))
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(
            b"", b"200 OK\r\nContent-Length: 5\r\n", flags=wire.NO_BODY | wire.LENGTH
        )
        response = await talk.client.response(1)
    assert response.fields[b"content-length"] == b"5"
    assert not [one for one in talk.client.seen if one.kind == DATA]


async def test_a_refused_head_request_gets_no_body_either() -> None:
    async with talking() as talk:
        await talk.client.request(1, fields_of(b"/%zz", method=b"HEAD"))
        response = await talk.client.response(1)
    assert (response.status, response.body) == (400, b"")


async def test_response_names_are_in_lower_case_with_our_own_fields_behind() -> None:
    async with talking(http_server_header="uwgate") as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(b"ok", b"200 OK\r\nX-UPPER: Value \r\nSet-Cookie: a=b\r\n")
        response = await talk.client.response(1)
    names = [name for name, _ in response.lines]
    assert names == [b":status", b"x-upper", b"set-cookie", b"date", b"server", b"content-length"]
    assert response.fields[b"x-upper"] == b"Value"
    assert response.fields[b"content-length"] == b"2"


async def test_the_applications_own_date_and_server_stay() -> None:
    async with talking(http_server_header="uwgate") as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        head = b"200 OK\r\nDate: today\r\nServer: mine\r\n"
        await lease.answer(b"ok", head, flags=wire.DATE | wire.SERVER)
        response = await talk.client.response(1)
    assert [value for name, value in response.lines if name == b"date"] == [b"today"]
    assert [value for name, value in response.lines if name == b"server"] == [b"mine"]


async def test_a_streamed_response_has_no_length_and_ends_with_its_last_frame() -> None:
    async with talking() as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin(b"one,")
        assert (await talk.client.next(DATA, 1)).payload == b"one,"
        await lease.more(b"two")
        assert (await talk.client.next(DATA, 1)).payload == b"two"
        await lease.last()
        response = await talk.client.response(1)
    assert b"content-length" not in response.fields
    assert response.ended


async def test_a_response_that_breaks_off_is_reset() -> None:
    async with talking() as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin(b"half")
        await lease.last(flags=wire.ABORTED)
        response = await talk.client.response(1)
    assert (response.body, response.ended, response.reset) == (b"half", False, 2)


async def test_a_worker_that_dies_makes_a_502_of_its_request_only() -> None:
    async with talking(processes=2) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await client.request(3)
        other = await talk.workers.accept()
        await other.packet()
        lease.close()
        assert (await client.response(1)).status == 502
        await other.answer()
        assert (await client.response(3)).status == 200


@pytest.mark.parametrize("sent", [b"", b"123", b"123456"])
async def test_a_body_other_than_its_content_length_resets_the_stream(sent: bytes) -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, fields_of(b"/", (b"content-length", b"5")), end=False)
        await client.data(1, sent, end=True)
        assert await client.reset_of(1) == PROTOCOL_ERROR
        await client.ping()


async def test_a_body_in_several_frames_other_than_its_length_resets_the_stream() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, fields_of(b"/", (b"content-length", b"5")), end=False)
        lease = await talk.workers.accept()
        await lease.packet()
        await client.data(1, b"123")
        await client.data(1, b"456")
        assert await client.reset_of(1) == PROTOCOL_ERROR
        assert await lease.is_closed_after(b"")


async def test_a_body_behind_a_content_length_of_zero_resets_the_stream() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, fields_of(b"/", (b"content-length", b"0")), end=False)
        await client.data(1, b"x", end=True)
        assert await client.reset_of(1) == PROTOCOL_ERROR


async def test_a_content_length_of_zero_may_end_later() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, fields_of(b"/", (b"content-length", b"0")), end=False)
        await client.data(1, b"", end=True)
        lease = await talk.workers.accept()
        assert (await lease.packet())[b"CONTENT_LENGTH"] == b"0"
        await lease.answer()
        response = await client.response(1)
    assert (response.status, response.reset) == (200, None)


async def test_trailers_are_dropped() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, end=False)
        await client.data(1, b"body")
        await client.request(1, [(b"x-sum", b"1")])
        lease = await talk.workers.accept()
        packet = await lease.packet()
        assert b"HTTP_X_SUM" not in packet
        await lease.frame(wire.TAKEN)
        assert await lease.chunks() == b"body"
        await lease.answer()
        assert (await client.response(1)).status == 200


@pytest.mark.parametrize("fields", [[(b":path", b"/")], [(b"X", b"1")], [(b"x", b"a\nb")]])
async def test_malformed_trailers_reset_the_stream(fields: list[tuple[bytes, bytes]]) -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, end=False)
        await client.data(1, b"body")
        await client.request(1, fields)
        assert await client.reset_of(1) == PROTOCOL_ERROR


async def test_trailers_must_end_the_stream() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, end=False)
        await client.request(1, [(b"x", b"1")], end=False)
        assert await client.ended_with() == PROTOCOL_ERROR


async def test_an_answer_before_the_end_of_the_body_tells_the_client_to_stop() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, end=False)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(b"no", b"403 Forbidden\r\n")
        response = await client.response(1)
        assert (response.status, response.body, response.ended) == (403, b"no", True)
        assert await client.reset_of(1) == NO_ERROR
        await client.data(1, b"more", end=True)  # on its way already
        await client.ping()
