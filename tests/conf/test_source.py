"""Where configuration text may come from."""

from __future__ import annotations

import http.server
import os
import threading
from typing import TYPE_CHECKING

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load
from uwgate.conf.source import Location, locate, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("a.ini", Location("a.ini")),
        ("a.ini:s", Location("a.ini", "s")),
        ("a.ini:", Location("a.ini")),
        ("/x:y/a.yaml:s", Location("/x:y/a.yaml", "s")),
        ("/x:y/a.ini", Location("/x:y/a.ini")),
        ("/etc/app.conf:s", Location("/etc/app.conf", "s")),
        ("exec://cat a.ini", Location("exec://cat a.ini")),
        ("exec://cat a.ini:s", Location("exec://cat a.ini", "s")),
        ("exec://cat a:s", Location("exec://cat a", "s")),
        ("http://host:80/a", Location("http://host:80/a")),
        ("http://host:80/a:s", Location("http://host:80/a", "s")),
        ("http://host:80", Location("http://host:80")),
        ("fd://5", Location("fd://5")),
        ("-", Location("-")),
    ],
)
def test_a_section_stands_behind_the_name(text: str, location: Location) -> None:
    assert locate(text) == location


def test_an_existing_file_with_a_colon_is_no_section(tmp_path: Path) -> None:
    path = tmp_path / "a:b"
    path.write_text("")
    assert locate(str(path)) == Location(str(path))


def test_files_and_commands_and_descriptors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xff text")
    assert read(str(path)) == "\udcff text"
    assert read(f"file://{path}") == "\udcff text"
    assert read("exec://echo a; echo b") == "a\nb\n"
    fd = os.open(path, os.O_RDONLY)
    assert read(f"fd://{fd}") == "\udcff text"
    os.close(fd)


class Page(http.server.BaseHTTPRequestHandler):
    """Serves one configuration, and nothing else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/a.ini" else 404)
        self.end_headers()
        self.wfile.write(b"[uwsgi]\nprocesses = 7\nx = <%p%o>\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_configuration_may_come_over_http(web: str) -> None:
    loaded = load([f"{web}/a.ini"], {})
    assert loaded.settings.workers.processes == 7
    assert ("x", f"<{web}/a.ini>") in loaded.settings.pairs
    assert loaded.files == ()


def test_a_page_that_is_not_there_is_an_error(web: str) -> None:
    with pytest.raises(ConfigError, match="404"):
        load([f"{web}/b.ini"], {})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/nowhere", "No such file"),
        ("/", "Is a directory"),
        ("exec://exit 3", "exit status 3"),
        ("fd://x", "fd:// and a number"),
        ("fd://999999", "Bad file descriptor"),
        ("sym://x", "sym:// is not offered"),
        ("http://127.0.0.1:1/", "Connection refused"),
        ("a\0b", "null byte"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(name)
    assert reason in str(caught.value)


def test_endless_input_ends_at_a_limit() -> None:
    with pytest.raises(ConfigError, match="more than"):
        read("/dev/zero")
