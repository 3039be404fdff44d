"""Rules of the gateway that ask FastCGI and SCGI backends."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateways.instance import running
from tests.gateways.peers import Backend, Uwsgi, request
from tests.gateways.wire.fastcgi import END, Asked, answer, record
from uwgate.gateways.wire.fastcgi import STDERR, STDOUT

HEAD = b"Status: 200 OK\r\nX: 1\r\n"


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "cgi.sock"))
    yield found
    found.close()


async def asked(backend: Backend) -> Asked:
    """A whole request in FastCGI."""
    data = b""
    while (found := Asked.read(data)) is None:
        data += await backend.exactly(1)
    return found


async def test_a_fastcgi_backend_gets_the_variables_and_its_answer_goes_to_the_client(
    one: Uwsgi,
) -> None:
    rules = (
        "route = ^/p addvar:SCRIPT_FILENAME=/srv/index.php",
        f"route = ^/p fcgi:{one.address}",
        "response-route-run = addheader:X-Rule: seen",
    )
    async with running(rules=rules) as instance:
        client = await instance.connect()
        await client.get(b"/p?x=y", b"X-Odd: 1", b"Proxy: http://evil")
        backend = await one.accept()
        found = await asked(backend)
        assert found.variables[b"SCRIPT_FILENAME"] == b"/srv/index.php"
        assert found.variables[b"QUERY_STRING"] == b"x=y"
        assert found.variables[b"HTTP_X_ODD"] == b"1"
        assert found.variables[b"CONTENT_LENGTH"] == b""
        assert found.variables[b"GATEWAY_INTERFACE"] == b"CGI/1.1"
        assert b"HTTP_PROXY" not in found.variables
        await backend.send(answer(b"Status: 404 Nope\nX: 1\n\n" + b"y" * 5000))
        response = await client.response()
        assert (response.status, response.fields[b"x"]) == (404, b"1")
        assert response.fields[b"x-rule"] == b"seen"
        assert response.body == b"y" * 5000
        await client.get(b"/p")  # the client's connection is kept
        backend = await one.accept()
        await asked(backend)
        await backend.send(answer(HEAD + b"Content-Length: 2\r\n\r\nhi"))
        assert (await client.response()).body == b"hi"


async def test_bodies_reach_a_fastcgi_backend_in_records(one: Uwsgi) -> None:
    async with running(rules=(f"route-run = fcgi:{one.address}",)) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 6", body=b"abc"))
        backend = await one.accept()
        await client.send(b"def")
        found = await asked(backend)
        assert (found.variables[b"CONTENT_LENGTH"], found.body) == (b"6", b"abcdef")
        await backend.send(answer(HEAD + b"\r\n"))
        assert (await client.response()).status == 200


@pytest.mark.parametrize("protocol", ["fcgi", "scgi"])
async def test_a_chunked_body_gets_a_length(one: Uwsgi, protocol: str) -> None:
    async with running(rules=(f"route-run = {protocol}:{one.address}",)) as instance:
        client = await instance.connect()
        chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        await client.send(request(b"POST", b"/", b"Transfer-Encoding: chunked", body=chunks))
        backend = await one.accept()
        data = await backend.until(b"abcde")
        assert (b"CONTENT_LENGTH5" if protocol == "fcgi" else b"CONTENT_LENGTH\x005\0") in data
        text = HEAD + b"\r\n"
        await backend.send(answer(text) if protocol == "fcgi" else text)
        backend.close()
        assert (await client.response()).status == 200


async def test_an_scgi_backend_gets_a_netstring_and_the_body(one: Uwsgi) -> None:
    async with running(rules=(f"route-run = scgi:{one.address}",)) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/a%20b?c", b"Content-Length: 3", body=b"xyz"))
        backend = await one.accept()
        size = int((await backend.until(b":"))[:-1])
        words = (await backend.exactly(size)).split(b"\0")
        variables = dict(zip(words[::2], words[1::2], strict=False))
        assert words[:4] == [b"CONTENT_LENGTH", b"3", b"SCGI", b"1"]
        assert variables[b"PATH_INFO"] == b"/a b"
        assert await backend.exactly(4) == b",xyz"
        await backend.send(HEAD + b"\r\nhello")
        backend.close()
        response = await client.response()
        assert (response.status, response.body) == (200, b"hello")


async def test_the_error_stream_is_for_the_log(
    one: Uwsgi, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(rules=(f"route-run = fcgi:{one.address}",)) as instance:
        client = await instance.connect()
        with caplog.at_level(logging.WARNING):
            await client.get()
            backend = await one.accept()
            await backend.send(record(STDERR, b"PHP Notice\n") + answer(HEAD + b"\r\nhi"))
            assert (await client.response()).body == b"hi"
        assert f"{one.address}: PHP Notice" in caplog.messages


@pytest.mark.parametrize(
    "data",
    [
        b"",
        record(STDOUT, HEAD)[:-1],
        record(STDOUT, HEAD),
        record(STDOUT, HEAD) + END,
        END,
        b"HTTP/1.1 200 OK\r\n\r\n",
        answer(b"hello\r\n\r\n"),
        answer(b"Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        record(3, b"\0\0\0\0\2\0\0\0"),
    ],
)
async def test_an_answer_in_fastcgi_that_is_none_is_502(one: Uwsgi, data: bytes) -> None:
    async with running(rules=(f"route-run = fcgi:{one.address}",)) as instance:
        client = await instance.connect()
        await client.get()
        backend = await one.accept()
        await asked(backend)
        await backend.send(data)
        backend.close()
        assert (await client.response()).status == 502


@pytest.mark.parametrize("data", [b"", HEAD, b"hello\r\n\r\n", b"Status: OK\r\n\r\n"])
async def test_an_answer_in_scgi_that_is_none_is_502(one: Uwsgi, data: bytes) -> None:
    async with running(rules=(f"route-run = scgi:{one.address}",)) as instance:
        client = await instance.connect()
        await client.get()
        backend = await one.accept()
        await backend.until(b",")
        await backend.send(data)
        backend.close()
        assert (await client.response()).status == 502


@pytest.mark.parametrize(
    ("head", "ending"), [(HEAD + b"\r\n", b""), (HEAD + b"Content-Length: 9\r\n\r\n", END)]
)
async def test_a_body_that_is_cut_short_is_not_ended(
    one: Uwsgi, head: bytes, ending: bytes
) -> None:
    async with running(rules=(f"route-run = fcgi:{one.address}",)) as instance:
        client = await instance.connect()
        await client.get()
        backend = await one.accept()
        await asked(backend)
        await backend.send(record(STDOUT, head + b"hell"))
        await client.until(b"hell")
        await backend.send(ending)
        backend.close()
        assert await client.rest() in (b"", b"\r\n")


@pytest.mark.parametrize("protocol", ["fcgi", "scgi"])
async def test_a_backend_that_is_not_there_is_a_502(tmp_path: Path, protocol: str) -> None:
    async with running(rules=(f"route-run = {protocol}:{tmp_path}/nobody",)) as instance:
        client = await instance.connect()
        await client.get()
        assert (await client.response()).status == 502


async def test_a_backend_that_only_writes_errors_is_given_up(one: Uwsgi) -> None:
    rules = ("route-run = harakiri:1", f"route-run = fcgi:{one.address}")
    async with running(rules=rules) as instance:
        client = await instance.connect()
        await client.get()
        backend = await one.accept()
        await backend.send(record(STDERR, b"still busy"))
        assert (await client.response()).status == 504
