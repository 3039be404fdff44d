"""Functions that are called by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.backends import backend
from uwgate.gateways.wire.uwsgi import HEADER, encode
from uwgate.workers.rpc import MAX_FUNCTIONS, MAX_RESULT, Functions, RpcError, call_remote


def test_a_result_is_bytes() -> None:
    functions = Functions()
    functions.register(b"text", lambda: "é")
    functions.register(b"none", lambda: None)
    functions.register(b"bytes", lambda *given: b",".join(given))
    assert functions.call(b"text", ()) == "é".encode()
    assert functions.call(b"none", ()) == b""
    assert functions.call(b"bytes", (b"a", b"b")) == b"a,b"
    assert functions.names() == (b"text", b"none", b"bytes")


def test_what_cannot_be_called_is_an_error() -> None:
    functions = Functions()
    functions.register(b"two", lambda a, b: a + b, 2)
    functions.register(b"broken", lambda: 1 / 0)
    functions.register(b"number", lambda: 5)
    with pytest.raises(RpcError, match="no such function"):
        functions.call(b"other", ())
    with pytest.raises(RpcError, match="takes 2 arguments, got 1"):
        functions.call(b"two", (b"a",))
    with pytest.raises(RpcError, match="ZeroDivisionError"):
        functions.call(b"broken", ())
    with pytest.raises(RpcError, match="gave int"):
        functions.call(b"number", ())
    with pytest.raises(ValueError, match="cannot be called"):
        functions.register(b"x", 5)  # type: ignore[arg-type]


def test_there_is_a_limit() -> None:
    functions = Functions()
    for number in range(MAX_FUNCTIONS):
        functions.register(b"%d" % number, str)
    functions.register(b"0", repr)
    with pytest.raises(ValueError, match="more than"):
        functions.register(b"x", str)


def test_a_function_of_another_instance_is_called(tmp_path: Path) -> None:
    with backend(tmp_path, HEADER.pack(173, 5, 0) + b"H:a,b", until=b"b") as there:
        assert call_remote(there.address, b"f", (b"a", b"b"), 60.0) == b"H:a,b"
        assert there.received == b"\xad\x09\x00\x00\x01\x00f\x01\x00a\x01\x00b"


def test_no_answer_is_an_error(tmp_path: Path) -> None:
    with backend(tmp_path, b"") as there, pytest.raises(RpcError, match="no result"):
        call_remote(there.address, b"f", (), 60.0)
    with pytest.raises(RpcError, match="no connection"):
        call_remote(str(tmp_path / "none"), b"f", (), 60.0)
    with pytest.raises(RpcError, match="limit"):
        call_remote(str(tmp_path / "none"), b"f", (b"x" * 60_000, b"y" * 60_000), 60.0)


@pytest.mark.parametrize("length", [0, 3, 70_000])
def test_a_long_result_stands_behind_its_packet(tmp_path: Path, length: int) -> None:
    reply = encode(((b"CONTENT_LENGTH", b"%d" % length),), 173, 5) + b"x" * length
    with backend(tmp_path, reply) as there:
        assert call_remote(there.address, b"f", (), 60.0) == b"x" * length


@pytest.mark.parametrize(
    "variables",
    [(), ((b"CONTENT_LENGTH", b"-1"),), ((b"CONTENT_LENGTH", b"%d" % (MAX_RESULT + 1)),)],
)
def test_a_long_result_without_a_length_is_an_error(
    tmp_path: Path, variables: tuple[tuple[bytes, bytes], ...]
) -> None:
    with backend(tmp_path, encode(variables, 173, 5)) as there, pytest.raises(RpcError):
        call_remote(there.address, b"f", (), 60.0)


def test_a_long_result_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    reply = encode(((b"CONTENT_LENGTH", b"9"),), 173, 5) + b"hell"
    with backend(tmp_path, reply) as there, pytest.raises(RpcError, match="no result"):
        call_remote(there.address, b"f", (), 60.0)
