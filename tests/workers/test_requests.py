"""What header lines mean to a worker, and for how long that is remembered."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ClientError
from uwgate.conf.settings import Settings
from uwgate.workers import requests
from uwgate.workers.requests import HeadReader

HEAD = b"GET %b HTTP/1.%d\r\nHost: a\r\n%b\r\n"


def test_the_request_line_counts_each_time() -> None:
    reader = HeadReader(Settings())
    first, second = reader.read(HEAD % (b"/a", 1, b"")), reader.read(HEAD % (b"/b", 1, b""))
    assert (first.target, second.target) == (b"/a", b"/b")
    assert first.meaning is second.meaning
    assert first.meaning.variables == {"HTTP_HOST": "a"}


def test_the_version_decides_what_the_same_lines_mean() -> None:
    reader = HeadReader(Settings())
    kept = [reader.read(HEAD % (b"/", minor, b"")).meaning.framing for minor in (1, 0, 1)]
    assert [one.keep_alive for one in kept] == [True, False, True]


def test_forwarded_fields_are_apart() -> None:
    meaning = HeadReader(Settings()).read(HEAD % (b"/", 1, b"X-Forwarded-Proto: https\r\n")).meaning
    assert "HTTP_X_FORWARDED_PROTO" not in meaning.variables
    assert meaning.claims == {"HTTP_X_FORWARDED_PROTO": "https"}
    assert meaning.scheme == "https"


@pytest.mark.parametrize("lines", [b"Host: b\r\n", b"Content-Length: x\r\n", b"X Y: z\r\n"])
def test_bad_lines_are_refused_each_time(lines: bytes) -> None:
    reader = HeadReader(Settings())
    for _ in range(2):
        with pytest.raises(ClientError):
            reader.read(HEAD % (b"/", 1, lines))


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_KNOWN", 3)
    reader = HeadReader(Settings())
    for number in range(20):
        reader.read(HEAD % (b"/", 1, b"X: %d\r\n" % number))
        assert len(reader._known) <= 3
    count = len(reader._known)
    reader.read(HEAD % (b"/", 1, b"X: %b\r\n" % (b"y" * 3000)))
    assert len(reader._known) == count


def test_a_key_of_a_websocket_is_not_remembered() -> None:
    reader = HeadReader(Settings())
    lines = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: abc\r\n"
    assert reader.read(HEAD % (b"/", 1, lines)).meaning.wants_websocket
    assert not reader._known
