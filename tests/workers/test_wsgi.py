"""PEP 3333 without processes: what reaches the output."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from uwgate.gateways.wire.lease import DATE, ENCODING, LENGTH, NAMES_FILE, NO_BODY, SERVER
from uwgate.workers.wsgi import FileWrapper, Response

Start = Callable[..., Callable[[bytes], None]]


@dataclass
class Recorder:
    """An output that keeps what it gets; ``gone_after`` sends it fails."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    gone_after: int = 1000

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        self._count()
        self.calls.append(("begin", head, flags, body, last))

    def send_body(self, body: bytes, last: bool) -> None:
        self._count()
        self.calls.append(("body", body, last))

    def send_file(self, file: int, offset: int, count: int) -> int:
        self.calls.append(("file", offset, count))
        return count

    def abort(self) -> None:
        self.calls.append(("abort",))

    def _count(self) -> None:
        if len(self.calls) >= self.gone_after:
            raise BrokenPipeError


def run(application: Callable[[Any, Start], Iterable[bytes]], **more: Any) -> Recorder:
    head_only = more.pop("head_only", False)
    recorder = Recorder(**more)
    Response(recorder, head_only=head_only).run(application, {})
    return recorder


OK = b"200 OK\r\n"
ERROR_HEAD = (
    b"500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 21\r\n"
)
ERROR = [("begin", ERROR_HEAD, LENGTH, b"Internal Server Error", True)]


def test_a_list_goes_out_at_once_with_its_length() -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start("200 OK", [])
        return [b"a", b"bc"]

    assert run(app).calls == [("begin", OK + b"Content-Length: 3\r\n", LENGTH, b"abc", True)]


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("DATE", DATE),
        ("server", SERVER),
        ("uWSGI-Encoding", ENCODING),
        ("X-SendFile", NAMES_FILE),
        ("X-Accel-Redirect", NAMES_FILE),
    ],
)
def test_the_gateway_is_told_of_fields_that_it_may_have_to_touch(name: str, flag: int) -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start("200 OK", [(name, "x")])
        return []

    assert run(app).calls[0][2] == flag | LENGTH


def test_a_generator_goes_out_item_by_item() -> None:
    def app(environ: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        yield b""
        yield b"a"
        yield b"b"

    assert run(app).calls == [
        ("begin", OK, 0, b"a", False),
        ("body", b"b", False),
        ("body", b"", True),
    ]


def test_an_empty_body_has_length_0() -> None:
    def app(environ: Any, start: Start) -> Iterator[bytes]:
        start("404", [])
        yield b""

    text = b"404 Not Found\r\nContent-Length: 0\r\n"
    assert run(app).calls == [("begin", text, LENGTH, b"", True)]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body_get_none(status: str) -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start(status, [])
        return [b"body"]

    assert run(app).calls == [("begin", status.encode() + b"\r\n", NO_BODY, b"", True)]


def test_head_of_a_generator_ends_without_body() -> None:
    def app(environ: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "1")])
        yield b"a"

    head = OK + b"Content-Length: 1\r\n"
    assert run(app, head_only=True).calls == [
        ("begin", head, LENGTH | NO_BODY, b"", False),
        ("body", b"", True),
    ]


def test_write_comes_before_the_iterable() -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start("200 OK", [])(b"written")
        return [b"returned"]

    assert run(app).calls == [
        ("begin", OK, 0, b"written", False),
        ("body", b"returned", False),
        ("body", b"", True),
    ]


def test_exc_info_replaces_a_head_that_has_not_left() -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start("503 Sorry", [], sys.exc_info())
        return [b"x"]

    assert run(app).calls[0][1].startswith(b"503 Sorry\r\n")


def test_exc_info_is_raised_once_the_head_has_left() -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start("200 OK", [])(b"begun")
        try:
            raise ValueError
        except ValueError:
            start("503 Sorry", [], sys.exc_info())
        raise AssertionError("not reached")

    assert run(app).calls == [("begin", OK, 0, b"begun", False), ("abort",)]


def test_a_second_start_response_without_exc_info_is_an_error() -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start("200 OK", [])
        start("200 OK", [])
        return []

    assert run(app).calls == ERROR


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK\r\nX: y", []),
        ("OK", []),
        (b"200 OK", []),
        (200, []),
        ("200 OK", [("X", "a\r\nb")]),
        ("200 OK", [("X", "a\0b")]),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [("X Y", "a")]),
        ("200 OK", [("", "a")]),
        ("200 OK", [("X", b"a")]),
        ("200 OK", [("Connection", "close")]),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "1")]),
        ("200 OK", [("Content-Length", "-1")]),
        ("200 OK", [("Content-Length", "\u0661")]),
        ("200 OK", (("X", "a"),)),
        ("200 OK", ["X: a"]),
        ("200 OK", [("X", "a" * 70000)]),
    ],
)
def test_a_head_that_may_not_be_sent_is_a_500(status: Any, headers: Any) -> None:
    def app(environ: Any, start: Start) -> list[bytes]:
        start(status, headers)
        return [b"x"]

    assert run(app).calls == ERROR


def test_no_start_response_is_a_500() -> None:
    assert run(lambda environ, start: [b"x"]).calls == ERROR


def test_a_str_in_a_generator_is_an_abort_once_the_head_has_left() -> None:
    def app(environ: Any, start: Start) -> Iterator[Any]:
        start("200 OK", [])
        yield b"a"
        yield "b"

    assert run(app).calls == [("begin", OK, 0, b"a", False), ("abort",)]


def test_what_exceeds_content_length_is_dropped() -> None:
    def app(environ: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "3")])
        yield b"ab"
        yield b"cd"
        yield b"ef"

    assert run(app).calls[1:] == [("body", b"c", False), ("body", b"", True)]


def test_what_misses_from_content_length_is_an_abort() -> None:
    def app(environ: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "3")])
        yield b"ab"

    assert run(app).calls[1:] == [("abort",)]


@dataclass
class Closing:
    """An iterable that remembers how it was closed, and may fail at anything."""

    items: list[bytes]
    closed: int = 0
    fail: bool = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.items
        if self.fail:
            raise ValueError

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("closing", "gone_after"),
    [(Closing([b"a"]), 1000), (Closing([b"a"], fail=True), 1000), (Closing([b"a", b"b"]), 1)],
)
def test_close_is_called_once_however_it_ends(closing: Closing, gone_after: int) -> None:
    def app(environ: Any, start: Start) -> Closing:
        start("200 OK", [])
        return closing

    run(app, gone_after=gone_after)
    assert closing.closed == 1


def test_a_failing_close_does_not_break_a_complete_response() -> None:
    class Bad(Closing):
        def close(self) -> None:
            raise ValueError

    def app(environ: Any, start: Start) -> Bad:
        start("200 OK", [])
        return Bad([b"a"])

    assert run(app).calls == [("begin", OK, 0, b"a", False), ("body", b"", True)]


def test_a_file_without_a_descriptor_is_read() -> None:
    def app(environ: Any, start: Start) -> FileWrapper:
        start("200 OK", [])
        return FileWrapper(io.BytesIO(b"abcd"), 3)

    assert run(app).calls == [
        ("begin", OK, 0, b"abc", False),
        ("body", b"d", False),
        ("body", b"", True),
    ]


def test_a_real_file_is_sent_up_to_its_content_length(tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")

    def app(environ: Any, start: Start) -> FileWrapper:
        start("200 OK", [("Content-Length", "4")])
        file = open(tmp_path / "file", "rb")  # noqa: SIM115  the wrapper closes it
        file.read(3)
        return FileWrapper(file)

    assert run(app).calls[1:] == [("file", 3, 4), ("body", b"", True)]


def test_write_to_a_client_that_is_gone_raises_unless_told_not_to() -> None:
    raised: list[OSError] = []

    def app(environ: Any, start: Start) -> list[bytes]:
        write = start("200 OK", [])
        try:
            write(b"a")
        except OSError as error:
            raised.append(error)
        return []

    for quiet in (False, True):
        response = Response(Recorder(gone_after=0), head_only=False)
        response.quiet_writes = quiet
        response.run(app, {})
        assert response.failed
    assert len(raised) == 1


def test_bytes_as_body_are_one_piece() -> None:
    def app(environ: Any, start: Start) -> bytes:
        start("200 OK", [])
        return b"abc"

    assert run(app).calls[0] == ("begin", OK, 0, b"abc", False)  # type: ignore[arg-type]
