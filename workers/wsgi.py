"""PEP 3333: one request through the application, whatever the response travels on."""

from __future__ import annotations

import contextlib
import os
import stat
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

from uwgate.gateways.wire.lease import LENGTH, NO_BODY
from uwgate.workers.body import BodyError
from uwgate.workers.environ import Environ
from uwgate.workers.head import Head, encode_head
from uwgate.workers.log import say
from uwgate.workers.websocket import HandshakeError, WebSocketClosed

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

JOIN_LIMIT = 65536  # bytes of a list of pieces that go out as one
ERROR_PAGES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    500: b"Internal Server Error",
}


class Output(Protocol):
    """Where a response goes; every method raises OSError when the peer is gone."""

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """The head, with the first piece of the body."""
        ...

    def send_body(self, body: bytes, last: bool) -> None:
        """More of the body; may be empty with ``last``."""
        ...

    def send_file(self, file: int, offset: int, count: int) -> int:
        """``count`` bytes of a file; returns how many there were."""
        ...

    def abort(self) -> None:
        """The body stays incomplete. Raises nothing."""
        ...


class FileWrapper:
    """``wsgi.file_wrapper``: an iterable over a file, sent without Python where it is real."""

    def __init__(self, file: Any, chunk: int = 32768) -> None:
        self.file = file
        self.chunk = chunk if chunk > 0 else 32768
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.file.read(self.chunk)
        if not data:
            raise StopIteration
        return data


class Response:
    """One answer: the state between ``start_response`` and the last byte.

    ``status`` is 0 until something is known; ``sent`` counts body bytes; ``logged``: it is to
    have a line in the log.
    """

    logged = True

    __slots__ = (
        "_head",
        "_output",
        "_text",
        "_with_body",
        "began",
        "ended",
        "error",
        "failed",
        "head_only",
        "quiet_writes",
        "sendfile",
        "sent",
        "show_errors",
        "truncated",
        "upgraded",
    )

    def __init__(self, output: Output, *, head_only: bool) -> None:
        self._output = output
        self._head: Head | None = None
        self._text = b""
        self._with_body = not head_only
        self.head_only = head_only
        self.began = False  # the head is on its way
        self.ended = False  # nothing can be sent any more
        self.failed = False  # the peer is gone
        self.error: BaseException | None = None  # of the application
        self.sent = 0
        self.truncated = False
        self.upgraded = False  # to a WebSocket: what the application returns goes nowhere
        self.sendfile = False  # the kernel copied the body
        self.quiet_writes = False  # option disable-write-exception
        self.show_errors = False  # option catch-exceptions

    @property
    def status(self) -> int:
        """The status code; 500 when the application never said one."""
        return 500 if self._head is None else int(self._head.text[:3])

    @property
    def head_size(self) -> tuple[int, int]:
        """Header fields, and bytes of status and fields, as they were sent."""
        return max(0, self._text.count(b"\r\n") - 1), len(self._text)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The callable that the application gets."""
        if exc_info:
            try:
                if self.began:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback in a frame of its own would be a cycle
        elif self._head is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self._head = encode_head(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """The old way to send a body (PEP 3333)."""
        try:
            self._write(data)
        except OSError:
            if not (self.failed and self.quiet_writes):
                raise

    def upgrade(self, head: Head) -> None:
        """The handshake of a WebSocket has been sent: there is no other response."""
        self._head = head
        self._text = head.text
        self.began = True
        self.ended = True
        self.upgraded = True

    def run(self, application: Application, environ: Environ) -> None:
        """Call the application and send what it returns. Raises nothing of the application's."""
        try:
            result = application(environ, self.start_response)
            kind: type = type(result)
            if result is None or kind is list or kind is tuple:
                if self.upgraded:
                    return
                self._send_list(result or ())  # type: ignore[arg-type]
                return
            try:
                if kind is bytes:
                    self._write(result)  # type: ignore[arg-type]
                elif kind is FileWrapper and not self.upgraded:
                    self._send_wrapper(result)  # type: ignore[arg-type]
                else:
                    self._send_iterable(result)
            finally:
                self._close(result)
            if not self.ended:
                self._finish()
        # SystemExit too: it ends the request, not the worker.
        except BaseException as error:
            self._fail(error)

    def _close(self, result: object) -> None:
        """Call close(); its failure does not break a response that is complete."""
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:
                self.error = error
                say("".join(traceback.format_exception(error)).rstrip())

    def _send_list(self, pieces: list[bytes] | tuple[bytes, ...]) -> None:
        """All of the body is there: head, body and end go out together."""
        if len(pieces) == 1:
            body = pieces[0]
            if type(body) is not bytes:
                body = _checked(body)
        else:
            total = 0
            for piece in pieces:
                if not isinstance(piece, bytes):
                    raise _wrong_piece(piece)
                total += len(piece)
            if total > JOIN_LIMIT:
                self._send_iterable(pieces)
                self._finish()
                return
            body = b"".join(pieces)
        if self.began:  # by write()
            self._write(body)
            self._finish()
            return
        head = self._head
        if head is None:
            raise _no_start()
        text, flags, length = head
        if length is None:
            if not flags & NO_BODY and not (self.head_only and not body):
                text = b"%bContent-Length: %d\r\n" % (text, len(body))
                flags |= LENGTH
        elif length != len(body) and self._with_body and not flags & NO_BODY:
            body = self._fit(body, length)
            if len(body) < length:
                self._begin(text, flags, body, last=False)
                self._finish()
                return
        if self.head_only or flags & NO_BODY:
            flags |= NO_BODY
            body = b""
        self._begin(text, flags, body, last=True)

    def _begin(self, text: bytes, flags: int, body: bytes, *, last: bool) -> None:
        self.began = True
        self.ended = last
        self._text = text
        try:
            self._output.begin(text, flags, body, last)
        except OSError:
            self._gone()
            raise
        self.sent += len(body)

    def _write(self, data: bytes) -> None:
        if self.upgraded:
            return
        if type(data) is not bytes:
            data = _checked(data)
        if not data:
            return
        head = self._head
        if head is None:
            raise _no_start()
        if self.failed:
            raise BrokenPipeError("write error")
        if head.length is not None and self._with_body:
            data = self._fit(data, head.length - self.sent)
        if not self.began:
            flags = head.flags
            if not self._with_body or flags & NO_BODY:
                self._with_body = False
                flags |= NO_BODY
                data = b""
            self._begin(head.text, flags, data, last=False)
        elif self._with_body and data:
            try:
                self._output.send_body(data, False)
            except OSError:
                self._gone()
                raise
            self.sent += len(data)

    def _fit(self, data: bytes, room: int) -> bytes:
        """Never more than Content-Length promises."""
        if len(data) <= room:
            return data
        if not self.truncated:
            self.truncated = True
            say("the application sends more than its Content-Length: the rest is dropped")
        return data[:room]

    def _send_iterable(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._write(piece)

    def _finish(self) -> None:
        """Nothing more comes: send the end, and the head if it still waits."""
        head = self._head
        if head is None:
            raise _no_start()
        if self.failed:
            return
        text, flags, length = head
        if not self.began:
            if self.head_only or flags & NO_BODY:
                flags |= NO_BODY
                self._begin(text, flags, b"", last=True)
                return
            if not length:
                if length is None:
                    text += b"Content-Length: 0\r\n"
                self._begin(text, flags | LENGTH, b"", last=True)
                return
            self._begin(text, flags, b"", last=False)
        self.ended = True
        if length is not None and self._with_body and self.sent < length:
            say(f"the application sent {self.sent} bytes of its Content-Length {length}")
            self._output.abort()
            return
        try:
            self._output.send_body(b"", True)
        except OSError:
            self._gone()
            raise

    def _send_wrapper(self, wrapper: FileWrapper) -> None:
        found = _real_file(wrapper.file)
        head = self._head
        if found is None or head is None or self.head_only or head.flags & NO_BODY:
            self._send_iterable(wrapper)
            return
        file, offset, size = found
        count = size
        if head.length is not None:
            count = min(size, head.length - self.sent)
            if size > head.length - self.sent:
                self.truncated = True
        elif not self.began:
            text = b"%bContent-Length: %d\r\n" % (head.text, size)
            head = self._head = Head(text, head.flags | LENGTH, size)
        if not self.began:
            self._begin(head.text, head.flags, b"", last=False)
        if count <= 0:
            return
        try:
            self.sent += self._output.send_file(file, offset, count)
        except OSError:
            self._gone()
            raise
        self.sendfile = True

    def _gone(self) -> None:
        self.failed = True
        self.ended = True

    def _fail(self, error: BaseException) -> None:
        """The application raised, or the peer is gone."""
        if self.failed:
            return
        if isinstance(error, WebSocketClosed):
            return  # as every WebSocket is at last, and few applications catch it
        self.error = error
        report = "".join(traceback.format_exception(error)).rstrip()
        # A body that does not come is the client's doing, and no bug to look for.
        if isinstance(error, BodyError):
            report = f"request body: {error}"
        elif isinstance(error, HandshakeError):
            report = f"WebSocket refused: {error}"
        say(report)
        if self.ended:
            return
        if self.began:
            self.ended = True
            self._output.abort()
            return
        status = error.status if isinstance(error, BodyError | HandshakeError) else 500
        page = ERROR_PAGES[status]
        if self.show_errors:
            page = report.encode("utf-8", "replace")
        self._head = None
        self.fail_with(status, page, error.lines if isinstance(error, HandshakeError) else b"")

    def fail_with(self, status: int, page: bytes | None = None, lines: bytes = b"") -> None:
        """Answer with a small plain page of our own; nothing may have begun."""
        name = ERROR_PAGES[status]
        page = name if page is None else page
        text = b"%d %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%b" % (
            status,
            name,
            len(page),
            lines,
        )
        flags = LENGTH
        if self.head_only:
            flags |= NO_BODY
            page = b""
        self._head = Head(text, flags, len(page))
        with contextlib.suppress(OSError):  # the peer is gone: the slot closes the connection
            self._begin(text, flags, page, last=True)


def _checked(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    raise _wrong_piece(piece)


def _wrong_piece(piece: object) -> TypeError:
    return TypeError(
        f"the application returned {type(piece).__name__} as body, not bytes: {piece!r:.80}"
    )


def _no_start() -> AssertionError:
    return AssertionError("the application did not call start_response before its body")


def _real_file(file: Any) -> tuple[int, int, int] | None:
    """Descriptor, position and bytes from there on, of a regular file; None for others."""
    try:
        descriptor = file.fileno()
        offset = file.tell()
        info = os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None
    if not stat.S_ISREG(info.st_mode) or not isinstance(offset, int):
        return None
    return descriptor, offset, max(0, info.st_size - offset)
