"""Files that the HTTP gateway sends because rules or options say so."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.gateways.instance import running
from tests.gateways.peers import request
from tests.gateways.routed import ask, ruled, through
from uwgate.conf.groups.static import StaticOptions
from uwgate.gateways.wire import lease as wire

# Files


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    (root / "page.txt").write_bytes(b"0123456789")
    (root / "large.bin").write_bytes(os.urandom(1 << 20))
    (tmp_path / "secret").write_bytes(b"secret")
    return root


async def test_a_file_is_served_with_its_type_and_ranges(docs: Path) -> None:
    async with ruled(f"route-run = static:{docs}${{PATH_INFO}}") as instance:
        client, response = await ask(instance, request(b"GET", b"/page.txt", b"Range: bytes=2-4"))
        assert (response.status, response.body) == (206, b"234")
        assert response.fields[b"content-type"] == b"text/plain"
        tag = response.fields[b"etag"]
        await client.get(b"/page.txt", b"If-None-Match: " + tag)
        assert (await client.response()).status == 304
        await client.send(request(b"HEAD", b"/page.txt"))
        assert (await client.response(b"HEAD")).fields[b"content-length"] == b"10"


async def test_a_part_of_a_file_is_not_compressed(docs: Path) -> None:
    async with ruled("route-run = gzip:", f"route-run = static:{docs}${{PATH_INFO}}") as instance:
        client, response = await ask(instance, request(b"GET", b"/page.txt", b"Range: bytes=2-4"))
        assert (response.status, response.body) == (206, b"234")
        await client.get(b"/page.txt")
        assert gzip.decompress((await client.response()).body) == b"0123456789"


async def test_a_large_file_arrives_whole(docs: Path) -> None:
    async with ruled(f"route-run = file:filename={docs}/large.bin") as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.body == (docs / "large.bin").read_bytes()
        assert response.fields[b"content-type"] == b"text/html"


async def test_a_file_that_is_not_there_leaves_the_request_to_the_worker(docs: Path) -> None:
    async with ruled(
        f"route-run = static-next:{docs}${{PATH_INFO}}",
        f"route-run = file-next:filename={docs}${{PATH_INFO}}.txt",
    ) as instance:
        _, response = await ask(instance, request(b"GET", b"/page.txt"))
        assert response.body == b"0123456789"
        _, response = await ask(instance, request(b"GET", b"/page"))
        assert response.body == b"0123456789"
        _, response = await through(instance, request(b"GET", b"/none"))
        assert response.body == b"hello"


@pytest.mark.parametrize("action", ["static:", "file:filename=", "sendfile:filename="])
@pytest.mark.parametrize("name", [b"../secret", b"x/../../secret", b"none"])
async def test_no_file_outside_of_its_folder_is_sent(docs: Path, action: str, name: bytes) -> None:
    async with ruled(f"route-qs = ^(.*)$ {action}{docs}/$1") as instance:
        _, response = await ask(instance, request(b"GET", b"/?" + name))
        assert response.status in (403, 404)
        assert b"secret" not in response.body


async def test_a_file_goes_through_transformations_unless_the_kernel_sends_it(docs: Path) -> None:
    (docs / "a.txt").write_bytes(b"abc")
    async with ruled(
        "route-run = toupper:",
        f"route = ^/file file:filename={docs}/a.txt",
        f"route = ^/kernel sendfile:filename={docs}/a.txt",
    ) as instance:
        _, response = await ask(instance, request(b"GET", b"/file"))
        assert response.body == b"ABC"
        _, response = await ask(instance, request(b"GET", b"/kernel"))
        assert response.body == b"abc"


async def test_the_page_for_an_error_is_a_file(docs: Path) -> None:
    rule = f"response-route-status = 404 file:filename={docs}/page.txt,status=404 Not Found"
    async with ruled(rule) as instance:
        head = b"404 Not Found\r\nContent-Length: 5\r\n"
        _, response = await through(instance, request(b"GET"), head)
        assert (response.status, response.body) == (404, b"0123456789")


# The options for static files


async def test_files_of_maps_come_before_rules_and_get_their_headers(docs: Path) -> None:
    static = StaticOptions(static_map=(f"/files={docs}",))
    rules = ("route-run = break:403", "add-header = X-A: b")
    async with running(rules=rules, static=static) as instance:
        _, response = await ask(instance, request(b"GET", b"/files/page.txt"))
        assert (response.status, response.body) == (200, b"0123456789")
        assert response.fields[b"x-a"] == b"b"
        _, response = await ask(instance, request(b"GET", b"/files/large.bin"))
        assert response.body == (docs / "large.bin").read_bytes()
        _, response = await ask(instance, request(b"GET", b"/files/none"))
        assert response.status == 403


async def test_a_file_that_an_application_names_is_not_transformed(docs: Path) -> None:
    static = StaticOptions(static_map=(f"/files={docs}",), static_x_sendfile=True)
    rules = ("route-run = gzip:", "add-header = X-A: b")
    async with running(rules=rules, static=static) as instance:
        head = b"200 OK\r\nX-Sendfile: %b\r\nContent-Length: 0\r\n" % bytes(docs / "page.txt")
        _, response = await through(
            instance, request(b"GET"), head, b"", wire.LENGTH | wire.NAMES_FILE
        )
        assert response.body == b"0123456789"
        assert response.fields[b"x-a"] == b"b"
