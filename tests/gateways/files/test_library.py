"""Which file a request is for, at once or in a thread, and what is answered."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.static import StaticOptions
from uwgate.files.disk import NotCachedError
from uwgate.files.finder import Refused
from uwgate.files.memory import Whole
from uwgate.files.plan import Plan
from uwgate.gateways.counters import Counters
from uwgate.gateways.exchange import Request
from uwgate.gateways.files import library as module
from uwgate.gateways.files.library import Library, Reply, status_of
from uwgate.gateways.wire.lease import LENGTH, NO_BODY

from .conftest import LARGE

HEAD = b"200 OK\r\nContent-Type: text/x-app\r\n"


def library_of(**options: Any) -> Library:
    """A library whose files have been there for a while."""
    return Library(StaticOptions(**options), Counters(), clock=lambda: time.time() + 10)


def asked(path: bytes, method: bytes = b"GET", **wishes: bytes) -> Request:
    fields = tuple((name.replace("_", "-").encode(), value) for name, value in wishes.items())
    return Request(method, path, b"", 0, 1, True, False, path=path, wishes=fields)


async def look(library: Library, request: Request) -> Reply | None:
    """As a session does."""
    try:
        return library.look(request)
    except NotCachedError:
        return await library.find(request)


@pytest.fixture
def library(www: Path) -> Library:
    return library_of(check_static=(str(www),), static_gzip_all=True)


@pytest.mark.parametrize("find", [look, Library.find])
async def test_a_small_file_is_a_whole_answer(
    library: Library, find: Callable[[Library, Request], Awaitable[Reply | None]]
) -> None:
    reply = await find(library, asked(b"/a.txt"))
    assert isinstance(reply, Whole)
    assert reply.body == b"0123456789"
    assert reply.flags & LENGTH
    assert b"\r\nContent-Length: 10\r\n" in reply.head


@pytest.mark.parametrize("find", [look, Library.find])
async def test_a_large_file_is_a_plan_that_has_it_open(
    library: Library, find: Callable[[Library, Request], Awaitable[Reply | None]]
) -> None:
    reply = await find(library, asked(b"/large.bin"))
    assert isinstance(reply, Plan)
    assert reply.file is not None
    assert os.fstat(reply.file.descriptor).st_size == len(LARGE)
    reply.close()


@pytest.mark.parametrize("find", [look, Library.find])
async def test_a_part_of_a_large_file_is_a_whole_answer(
    library: Library, find: Callable[[Library, Request], Awaitable[Reply | None]]
) -> None:
    reply = await find(library, asked(b"/large.bin", range=b"bytes=0-4,100-104"))
    assert isinstance(reply, Whole)
    assert reply.head.startswith(b"206 Partial Content\r\n")
    assert LARGE[:5] in reply.body
    assert LARGE[100:105] in reply.body


@pytest.mark.parametrize("find", [look, Library.find])
async def test_what_is_no_file_is_the_application_s(
    library: Library, find: Callable[[Library, Request], Awaitable[Reply | None]]
) -> None:
    assert await find(library, asked(b"/none")) is None
    assert await find(library, asked(b"/")) is None
    assert await find(library, asked(b"/a.txt", b"POST")) is None


async def test_another_prefix_asks_no_disk(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = library_of(static_map=(f"/m={www}",))
    monkeypatch.setattr(library, "_quick_finder", None)
    assert library.look(asked(b"/a.txt")) is None


async def test_the_second_time_nothing_is_opened(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await look(library, asked(b"/a.txt"))
    monkeypatch.setattr(library, "_quick_finder", None)
    again = library.look(asked(b"/a.txt"))
    assert isinstance(first, Whole)
    assert isinstance(again, Whole)
    assert (again.head, again.body) == (first.head, first.body)
    head = library.look(asked(b"/a.txt", b"HEAD"))
    assert isinstance(head, Whole)
    assert head.flags & NO_BODY
    assert head.body == b""
    part = library.look(asked(b"/a.txt", range=b"bytes=2-3"))
    assert isinstance(part, Whole)
    assert part.body == b"23"
    etag = first.head.partition(b"ETag: ")[2].partition(b"\r\n")[0]
    known = library.look(asked(b"/a.txt", if_none_match=etag))
    assert isinstance(known, Whole)
    assert known.head.startswith(b"304 ")


async def test_a_change_is_seen(library: Library, www: Path) -> None:
    await look(library, asked(b"/a.txt"))
    (www / "a.txt").write_bytes(b"other")
    reply = await look(library, asked(b"/a.txt"))
    assert isinstance(reply, Whole)
    assert reply.body == b"other"
    assert b"\r\nContent-Length: 5\r\n" in reply.head


async def test_a_twin_is_for_who_takes_it(library: Library) -> None:
    for _ in range(2):
        zipped = await look(library, asked(b"/a.txt", accept_encoding=b"gzip"))
        plain = await look(library, asked(b"/a.txt"))
        assert isinstance(zipped, Whole)
        assert isinstance(plain, Whole)
        assert (zipped.body, plain.body) == (b"zipped", b"0123456789")


async def test_what_is_refused_is_counted(www: Path) -> None:
    counters = Counters()
    library = Library(StaticOptions(check_static=(str(www),)), counters)
    (www / "out").symlink_to("/etc/passwd")
    assert await look(library, asked(b"/out")) is None
    assert counters["file-refused"] == 1


async def test_a_file_that_is_cut_meanwhile_is_an_error(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_resident", lambda *arguments: b"01234")
    monkeypatch.setattr(module, "read_waiting", lambda *arguments: b"01234")
    with pytest.raises(OSError, match="shorter"):
        await library.find(asked(b"/a.txt"))


async def test_who_waits_no_longer_leaves_no_file_open(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, goes_on, closed = threading.Event(), threading.Event(), threading.Event()
    plans: list[Plan] = []
    find = library._find

    def slow(request: Request) -> Any:
        found = find(request)
        assert isinstance(found[1], Plan)
        plans.append(found[1])
        entered.set()
        goes_on.wait(60)
        return found

    def close(result: object) -> None:
        put_away(result)
        closed.set()

    put_away = module._close
    monkeypatch.setattr(module, "_close", close)
    monkeypatch.setattr(library, "_find", slow)  # a disk that takes its time
    async with trio.open_nursery() as nursery:
        nursery.start_soon(library.find, asked(b"/large.bin"))
        assert await trio.to_thread.run_sync(entered.wait, 60)
        nursery.cancel_scope.cancel()
    goes_on.set()
    assert await trio.to_thread.run_sync(closed.wait, 60)
    (plan,) = plans
    assert plan.file is not None
    assert plan.file.descriptor == -1


@pytest.mark.parametrize("head", [b"X-Sendfile: %b/large.bin", b"x-accel-redirect: /i/large.bin"])
async def test_an_application_names_a_file(www: Path, head: bytes) -> None:
    library = library_of(
        static_map=(f"/m={www}",), static_internal=(f"/i={www}",), static_x_sendfile=True
    )
    text = HEAD + (head % os.fsencode(www) if b"%" in head else head) + b"\r\n"
    assert library.names_file(text)
    reply = await library.find_named(asked(b"/x"), text)
    assert isinstance(reply, Plan)
    assert reply.length == len(LARGE)
    assert (b"Content-Type", b"text/x-app") in reply.fields
    reply.close()


async def test_an_application_cannot_name_everything(www: Path) -> None:
    library = library_of(static_map=(f"/m={www}",), static_x_sendfile=True)
    reply = await library.find_named(asked(b"/x"), HEAD + b"X-Sendfile: /etc/passwd\r\n")
    assert isinstance(reply, Refused)


def test_nobody_follows_what_is_not_asked_for(www: Path) -> None:
    library = library_of(static_map=(f"/m={www}",))
    assert not library.names_file(HEAD + b"X-Sendfile: /etc/passwd\r\n")
    assert not library.names_file(HEAD + b"X-Accel-Redirect: /x\r\n")


async def test_a_rule_names_a_file(library: Library, www: Path) -> None:
    path = os.fsencode(www / "a.txt")
    reply = await library.serve_static(asked(b"/x", range=b"bytes=0-1"), path)
    assert isinstance(reply, Whole)
    assert reply.body == b"01"
    assert await library.serve_static(asked(b"/x"), path + b".none") is None
    assert await library.serve_static(asked(b"/x"), path, b"/etc") is None


async def test_a_rule_sends_bytes(library: Library, www: Path) -> None:
    path = os.fsencode(www / "a.txt")
    wishes = asked(b"/x", range=b"bytes=0-1")
    reply = await library.serve_bytes(wishes, path, status=202, content_type=b"text/x")
    assert isinstance(reply, Whole)
    assert reply.head == b"202 Accepted\r\nContent-Type: text/x\r\nContent-Length: 10\r\n"
    assert reply.body == b"0123456789"
    reply = await library.serve_bytes(asked(b"/x", b"HEAD"), path, mime=True)
    assert isinstance(reply, Whole)
    assert b"Content-Type: text/plain\r\n" in reply.head
    assert reply.body == b""
    assert await library.serve_bytes(wishes, b"/none") is None


def test_an_option_that_can_no_longer_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mime-file"):
        library_of(mime_file=(str(tmp_path / "none"),))


@pytest.mark.parametrize(
    ("number", "status"), [(errno.EMFILE, 503), (errno.ENFILE, 503), (errno.EIO, 500)]
)
def test_the_machine_s_trouble_has_a_status(number: int, status: int) -> None:
    assert status_of(OSError(number, os.strerror(number))) == status


async def test_refusals_do_not_flood_the_log(www: Path, caplog: pytest.LogCaptureFixture) -> None:
    library = library_of(check_static=(str(www),))
    (www / "out").symlink_to("/etc/passwd")
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            await look(library, asked(b"/out"))
    assert 0 < len(caplog.records) <= 10


async def test_relative_paths_are_below_a_folder(www: Path) -> None:
    options = StaticOptions(static_map=("/m=www",))
    library = Library(options, Counters(), folder=str(www.parent))
    for reply in (
        await look(library, asked(b"/m/a.txt")),
        await library.serve_static(asked(b"/x"), b"www/a.txt"),
        await library.serve_static(asked(b"/x"), b"www/a.txt", b"www"),
    ):
        assert isinstance(reply, Whole)
        assert reply.body == b"0123456789"
