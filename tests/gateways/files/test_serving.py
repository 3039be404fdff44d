"""Files to clients of the gateway: in the lane, in tasks, over HTTP/1 and HTTP/2."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from tests.gateways.http2.client import (
    INTERNAL_ERROR,
    WINDOW_UPDATE,
    fields_of,
    frame,
    pack,
    talking,
)
from tests.gateways.instance import Instance, running
from tests.gateways.peers import request
from uwgate.conf.groups.static import StaticOptions
from uwgate.files.disk import NotCachedError
from uwgate.files.resident import BrokenFileError
from uwgate.gateways.files import frames, sending
from uwgate.gateways.http2.connection import MAX_FILES
from uwgate.gateways.wire.lease import NAMES_FILE

from .conftest import LARGE

FILES = {"/a.txt": b"0123456789", "/middle.bin": LARGE[:100_000], "/large.bin": LARGE}


def options_of(www: Path, **more: Any) -> StaticOptions:
    return StaticOptions(check_static=(str(www),), **more)


def ask_the_disk(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing were in memory."""

    def look(*arguments: object) -> None:
        raise NotCachedError

    library = instance.gateway.library
    monkeypatch.setattr(library, "look", look)
    monkeypatch.setattr(library, "look_named", look)
    for module in (sending, frames):
        monkeypatch.setattr(module, "is_resident", lambda *arguments: False)


def fail_with(instance: Instance, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As if the machine could not open files."""

    def look(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(instance.gateway.library, "look", look)


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("path", FILES)
async def test_a_file_is_sent_without_a_worker(
    www: Path, monkeypatch: pytest.MonkeyPatch, path: str, cold: bool
) -> None:
    async with running(static=options_of(www)) as instance:
        if cold:
            ask_the_disk(instance, monkeypatch)
        client = await instance.connect()
        for _ in range(3):
            await client.get(path.encode())
            response = await client.response()
            assert (response.status, response.body) == (200, FILES[path])
        assert await instance.workers.nobody_waits()


@pytest.mark.parametrize("cold", [False, True])
async def test_what_is_no_file_is_a_worker_s(
    www: Path, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    async with running(static=options_of(www)) as instance:
        if cold:
            ask_the_disk(instance, monkeypatch)
        client = await instance.connect()
        await client.send(request(b"GET", b"/none", b"Content-Length: 3") + b"abc")
        lease = await instance.workers.accept()
        packet = await lease.packet()
        assert packet[b"PATH_INFO"] == b"/none"
        await lease.answer(b"worked")
        assert (await client.response()).body == b"worked"


@pytest.mark.parametrize(
    ("number", "status"), [(errno.EMFILE, 503), (errno.EIO, 500), (errno.ENFILE, 503)]
)
async def test_a_machine_without_descriptors_says_so(
    www: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    async with running(static=options_of(www)) as instance:
        fail_with(instance, monkeypatch, number)
        client = await instance.connect()
        await client.get(b"/a.txt")
        assert (await client.response()).status == status
        assert await client.is_closed()
        assert instance.gateway.counters[f"answer-{status}"] == 1


async def test_a_disk_that_breaks_cuts_the_answer_off(
    www: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(static=options_of(www)) as instance:
        ask_the_disk(instance, monkeypatch)

        async def bring_in(*arguments: object) -> None:
            raise BrokenFileError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(instance.gateway.library, "bring_in", bring_in)
        client = await instance.connect()
        await client.get(b"/large.bin")
        response = await client.response()
        assert not response.complete
        assert instance.gateway.counters["file-broken"] == 1


async def test_a_body_that_is_still_to_come_ends_the_connection(www: Path) -> None:
    async with running(static=options_of(www)) as instance:
        client = await instance.connect()
        await client.send(request(b"GET", b"/a.txt", b"Content-Length: 100000") + b"abc")
        response = await client.response()
        assert response.body == FILES["/a.txt"]
        assert response.fields[b"connection"] == b"close"
        client.half_close()
        assert await client.is_closed()


async def test_an_application_s_answer_in_pieces_may_name_a_file(www: Path) -> None:
    async with running(static=options_of(www, static_x_sendfile=True)) as instance:
        client = await instance.connect()
        await client.get(b"/app")
        lease = await instance.workers.accept()
        await lease.packet()
        head = b"200 OK\r\nX-Sendfile: %b/large.bin\r\n" % os.fsencode(www)
        await lease.begin(b"some", head, NAMES_FILE)
        await lease.more(b"thing")
        await lease.last()
        assert (await client.response()).body == LARGE
        await client.get(b"/app")
        await lease.packet()  # the lease is still good
        await lease.answer(b"ok")
        assert (await client.response()).body == b"ok"


async def test_a_client_that_takes_nothing_is_given_up(
    www: Path, hurried_clock: trio.testing.MockClock
) -> None:
    with (www / "huge.bin").open("wb") as file:
        file.truncate(64 << 20)  # more than all buffers
    edge: dict[str, Any] = {
        "http_min_rate": 1_000_000,
        "http_min_rate_grace": 4,
        "http_timeout": 60,
    }
    async with running(static=options_of(www), **edge) as instance:
        client = await instance.connect()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await client.get(b"/huge.bin")
        assert (await client.head()).status == 200
        began = trio.current_time()
        with trio.fail_after(30):
            while instance.gateway._sessions:  # noqa: ASYNC110
                await trio.sleep(0.5)
        assert trio.current_time() - began < 8
        assert instance.gateway.counters["slow-reader"] == 1


@pytest.mark.parametrize("cold", [False, True])
async def test_files_over_http2(www: Path, monkeypatch: pytest.MonkeyPatch, cold: bool) -> None:
    async with talking(static=options_of(www)) as talk:
        if cold:
            ask_the_disk(talk.instance, monkeypatch)
        for number, path in enumerate(FILES):
            await talk.client.request(2 * number + 1, fields_of(path.encode()))
        for number, path in enumerate(FILES):
            response = await talk.client.response(2 * number + 1)
            assert (response.status, response.body) == (200, FILES[path])


async def test_what_is_no_file_over_http2(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking(static=options_of(www)) as talk:
        ask_the_disk(talk.instance, monkeypatch)
        await talk.works(1)


async def test_a_machine_without_descriptors_over_http2(
    www: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(static=options_of(www)) as talk:
        fail_with(talk.instance, monkeypatch, errno.EMFILE)
        await talk.client.request(1, fields_of(b"/a.txt"))
        assert (await talk.client.response(1)).status == 503


async def test_a_file_that_becomes_shorter_resets_its_stream(www: Path) -> None:
    async with talking(static=options_of(www)) as talk:
        talk.client.opens_windows = False
        await talk.client.request(1, fields_of(b"/large.bin"))
        await trio.testing.wait_all_tasks_blocked()
        os.truncate(www / "large.bin", 100)
        talk.client.opens_windows = True
        await talk.client.send(frame(WINDOW_UPDATE, 0, 0, pack(1 << 20)))
        await talk.client.send(frame(WINDOW_UPDATE, 0, 1, pack(1 << 20)))
        assert await talk.client.reset_of(1) == INTERNAL_ERROR


async def test_one_connection_has_few_files_open_at_a_time(www: Path) -> None:
    async with talking(static=options_of(www)) as talk:
        talk.client.opens_windows = False
        streams = range(1, 2 * MAX_FILES + 5, 2)
        for number in streams:
            await talk.client.request(number, fields_of(b"/middle.bin"))
        await talk.client.ping()
        await trio.testing.wait_all_tasks_blocked()
        assert holding(www) == MAX_FILES
        await talk.client.send(frame(WINDOW_UPDATE, 0, 0, pack(1 << 30)))
        for number in streams:
            await talk.client.send(frame(WINDOW_UPDATE, 0, number, pack(1 << 30)))
        for number in streams:
            assert (await talk.client.response(number)).body == FILES["/middle.bin"]
        await trio.testing.wait_all_tasks_blocked()  # closed just behind its last frame
        assert holding(www) == 0


def holding(www: Path) -> int:
    """How many files of the site this process has open."""
    names = []
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one by which we look
            names.append(os.readlink(f"/proc/self/fd/{entry}"))
    return sum(name.startswith(str(www)) for name in names)
