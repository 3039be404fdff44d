"""What docs/from-uwsgi.md says that is different, and is nowhere else tested from outside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .client import Connection, ask, request
from .processes import APPS, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start
    from .processes import Uwgate

APPLICATION = str(APPS / "differences.py")


@pytest.fixture(scope="module", params=["http", "http-socket"])
def program(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Uwgate]:
    folder = shared_folder / request.param
    folder.mkdir()
    arguments = (f"--{request.param}", "127.0.0.1:0", "--wsgi-file", APPLICATION)
    with running_uwgate(*arguments, folder=folder) as program:
        program.tracebacks_expected = True  # some of the pages are there for it
        yield program


def test_sys_exit_is_the_error_of_one_request(program: Uwgate) -> None:
    before = program.wait_for_processes("worker", 1)
    assert ask(program.address, request("GET", "/exit")).status == 500
    assert ask(program.address, request("GET", "/head")).status == 200
    assert program.processes("worker") == before


def test_an_application_may_change_its_mind_with_exc_info(program: Uwgate) -> None:
    answer = ask(program.address, request("GET", "/late"))
    assert (answer.status, answer["x-late"], answer.body) == (503, "yes", b"late\n")


def test_line_ends_in_a_response_header_are_refused(program: Uwgate) -> None:
    answer = ask(program.address, request("GET", "/split"))
    assert answer.status == 500
    assert "x-injected" not in answer


@pytest.mark.parametrize(("method", "target"), [("HEAD", "/head"), ("GET", "/204")])
def test_an_answer_that_has_no_body_gets_none(program: Uwgate, method: str, target: str) -> None:
    with Connection(program.address) as connection:
        connection.send(request(method, target, [("Connection", "close")]))
        assert connection.answer(method).status in (200, 204)
        assert connection.ended()


def test_reading_nothing_gives_nothing_and_sizes_are_obeyed(program: Uwgate) -> None:
    answer = ask(program.address, request("POST", "/read", (), b"abcdefgh"))
    assert answer.body == b"|ab|cde|fgh"


def test_a_file_is_sent_from_its_position(program: Uwgate) -> None:
    assert ask(program.address, request("GET", "/file")).body == Path(APPLICATION).read_bytes()[4:]


def test_an_environ_may_be_kept(program: Uwgate) -> None:
    assert ask(program.address, request("GET", "/keep?one")).body == b"one"
    assert ask(program.address, request("GET", "/keep?two")).body == b"one,two"


def test_an_answer_that_breaks_off_is_seen_to_break_off(program: Uwgate) -> None:
    with Connection(program.address) as connection:
        connection.send(request("GET", "/broken"))
        head = connection.head()
        with pytest.raises((ConnectionError, ValueError)):  # a reset, or a chunk that is none
            list(connection.pieces(head))


def test_dot_segments_are_resolved_after_decoding(program: Uwgate) -> None:
    shown = ask(program.address, request("GET", "/a/%2e%2e/b")).body
    assert b"PATH_INFO='/b'" in shown


def test_the_absolute_form_is_understood(program: Uwgate) -> None:
    shown = ask(program.address, request("GET", "http://other.example/show")).body
    assert b"PATH_INFO='/show'" in shown
    assert b"HTTP_HOST='other.example'" in shown


def test_headers_that_could_be_taken_for_others_are_dropped(program: Uwgate) -> None:
    fields = [("X_Real_IP", "10.0.0.1"), ("Proxy", "http://evil.example"), ("Keep-Alive", "5")]
    shown = ask(program.address, request("GET", "/show", fields)).body
    assert b"10.0.0.1" not in shown
    assert b"HTTP_PROXY" not in shown


def test_cookies_are_joined_as_cookies_are(program: Uwgate) -> None:
    fields = [("Cookie", "a=1"), ("X-Other", "x"), ("Cookie", "b=2")]
    assert b"HTTP_COOKIE='a=1; b=2'" in ask(program.address, request("GET", "/show", fields)).body


def test_the_clients_port_is_right(program: Uwgate) -> None:
    with Connection(program.address) as connection:
        connection.send(request("GET", "/show"))
        shown = connection.answer().body.decode()
        port = connection.sock.getsockname()[1]
    assert f"REMOTE_PORT='{port}'" in shown or "REMOTE_PORT" not in shown


@pytest.mark.parametrize(("trusted", "scheme"), [("none", b"http"), ("loopback", b"https")])
@pytest.mark.parametrize("way", ["http", "http-socket"])
def test_only_a_trusted_proxy_chooses_the_scheme(
    uwgate: Start, way: str, trusted: str, scheme: bytes
) -> None:
    arguments = (f"--{way}=127.0.0.1:0", "--wsgi-file", APPLICATION)
    program = uwgate(*arguments, f"--http-trust-forwarded={trusted}")
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-SSL", "on")]
    shown = ask(program.address, request("GET", "/show", fields)).body
    assert b"wsgi.url_scheme='" + scheme + b"'" in shown
    assert (b"HTTP_X_FORWARDED_PROTO" in shown) is (trusted == "loopback")


def test_the_operator_chooses_the_scheme(uwgate: Start) -> None:
    program = uwgate("--http=127.0.0.1:0", "--wsgi-file", APPLICATION, "--http-var", "HTTPS=on")
    assert b"wsgi.url_scheme='https'" in ask(program.address, request("GET", "/show")).body


def test_the_executable_is_a_python(program: Uwgate) -> None:
    shown = ask(program.address, request("GET", "/show")).body.decode()
    assert f"executable={sys.executable!r}" in shown


def test_mounts_are_split_without_being_told(uwgate: Start) -> None:
    program = uwgate("--http=127.0.0.1:0", f"--mount=/shop={APPLICATION}", "--no-default-app")
    shown = ask(program.address, request("GET", "/shop/show")).body
    assert b"SCRIPT_NAME='/shop'" in shown
    assert b"PATH_INFO='/show'" in shown
    assert ask(program.address, request("GET", "/show")).status == 500


def test_a_packet_that_names_an_application_is_refused(uwgate: Start, folder: Path) -> None:
    other = folder / "other.py"
    other.write_text("open('loaded', 'w')\n")
    path = f"{folder}/app.sock"
    program = uwgate("--socket", path, "--wsgi-file", APPLICATION)
    program.wait_for_socket(path)
    assert ask(path, packet(PATH_INFO="/show")).status == 200
    assert ask(path, packet(PATH_INFO="/show", UWSGI_FILE=str(other))).status == 403
    assert not (folder / "loaded").exists()


def packet(**variables: str) -> bytes:
    """A uwsgi packet for a GET."""
    block = b""
    for key, value in {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", **variables}.items():
        block += len(key).to_bytes(2, "little") + key.encode()
        block += len(value).to_bytes(2, "little") + value.encode()
    return b"\0" + len(block).to_bytes(2, "little") + b"\0" + block
