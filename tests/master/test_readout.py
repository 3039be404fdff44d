"""``--connect-and-read``: what a socket says, on the standard output."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from uwgate import exits, readout
from uwgate.cli import main

TEXT = b"\x00{\n\xff}" * 30_000


@contextmanager
def speaker(listener: socket.socket) -> Iterator[None]:
    """Says ``TEXT`` to the first one who connects."""

    def speak() -> None:
        with listener.accept()[0] as sock:
            sock.sendall(TEXT)

    listener.listen()
    thread = threading.Thread(target=speak)
    thread.start()
    yield
    thread.join()
    listener.close()


def test_what_a_port_says_is_printed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with speaker(listener):
        assert main(["--connect-and-read", f":{listener.getsockname()[1]}"]) == exits.OK
    assert capfdbinary.readouterr().out == TEXT


@pytest.mark.parametrize("abstract", [False, True])
def test_what_a_unix_socket_says_is_printed(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], abstract: bool
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    name = f"uwgate-{os.getpid()}" if abstract else str(tmp_path / "s")
    listener.bind(f"\0{name}\0" if abstract else name)
    with speaker(listener):
        assert main(["--connect-and-read", f"@{name}" if abstract else name]) == exits.OK
    assert capfdbinary.readouterr().out == TEXT


@pytest.mark.parametrize("address", ["/nowhere/s", "127.0.0.1:0", "1.2.3.4.5:6"])
def test_where_nobody_is_there_is_an_error(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--connect-and-read", address]) == exits.ERROR
    assert address in capfd.readouterr().err


def test_who_says_nothing_is_given_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readout, "LIMIT", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert main(["--connect-and-read", str(tmp_path / "s")]) == exits.ERROR
    assert "nothing for 0.05 s" in capfd.readouterr().err
