"""gateways/redirect.py: plain HTTP is sent to HTTPS."""

from __future__ import annotations

import pytest

from tests.gateways.instance import running
from tests.gateways.peers import request
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.redirect import location_of


@pytest.mark.parametrize(
    ("target", "host", "port", "location"),
    [
        (b"/", b"a.example", None, b"https://a.example/"),
        (b"/a%20b?c=d?e", b"a.example:80", None, b"https://a.example/a%20b?c=d?e"),
        (b"/", b"a.example:80", 8443, b"https://a.example:8443/"),
        (b"/", b"a.example:", None, b"https://a.example/"),
        (b"/", b"[::1]", 8443, b"https://[::1]:8443/"),
        (b"/", b"[::1]:80", None, b"https://[::1]/"),
        (b"//b.example/", b"a.example", None, b"https://a.example//b.example/"),
        (b"http://a.example/x?y", b"a.example", None, b"https://a.example/x?y"),
        (b"http://a.example?y", b"a.example", None, b"https://a.example/?y"),
        (b"http://a.example", b"a.example", None, b"https://a.example/"),
        (b"*", b"a.example", None, None),
        (b"/", None, None, None),
        (b"/", b"", None, None),
    ],
)
def test_the_location_is_the_same_url_in_https(
    target: bytes, host: bytes | None, port: int | None, location: bytes | None
) -> None:
    assert location_of(target, host, port) == location


@pytest.mark.parametrize(
    ("method", "status"), [(b"GET", 301), (b"HEAD", 301), (b"POST", 308), (b"DELETE", 308)]
)
async def test_a_request_is_redirected_and_the_connection_kept(method: bytes, status: int) -> None:
    async with running(role="http-to-https", endpoint="8443") as instance:
        client = await instance.connect()
        for _ in range(2):
            await client.send(request(method, b"/a?b"))
            response = await client.response(method)
            assert response.status == status
            assert response.fields[b"location"] == b"https://a.example:8443/a?b"
            assert response.fields[b"content-length"] == b"0"
            assert b"connection" not in response.fields
        assert await instance.workers.nobody_waits()


async def test_a_body_is_not_waited_for() -> None:
    async with running(role="http-to-https") as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 100000", body=b"x"))
        response = await client.response()
        assert (response.status, response.fields[b"connection"]) == (308, b"close")
        assert await client.is_closed()


async def test_without_a_host_there_is_nowhere_to_go() -> None:
    async with running(role="http-to-https") as instance:
        client = await instance.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.response()).status == 400


@pytest.mark.parametrize("host", [b"a.example/x", b"a b", b"a.example\\", b'"', b"a,b"])
async def test_a_host_that_is_none_never_reaches_the_location(host: bytes) -> None:
    async with running(role="http-to-https") as instance:
        client = await instance.connect()
        await client.get(host=host)
        response = await client.response()
        assert response.status == 400
        assert b"location" not in response.fields


async def test_acme_challenges_reach_the_application_on_request() -> None:
    https = HttpsOptions(http_to_https_acme=True)
    async with running(role="http-to-https", https=https) as instance:
        client = await instance.connect()
        await client.get(b"/.well-known/acme-challenge/token")
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"PATH_INFO"] == b"/.well-known/acme-challenge/token"
        await lease.answer(b"token.thumbprint")
        assert (await client.response()).body == b"token.thumbprint"
        await client.get(b"/.well-known/acme-challenge/../secret")
        assert (await client.response()).status == 301


async def test_acme_challenges_are_redirected_by_default() -> None:
    async with running(role="http-to-https") as instance:
        client = await instance.connect()
        await client.get(b"/.well-known/acme-challenge/token")
        assert (await client.response()).status == 301
