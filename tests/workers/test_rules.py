"""A request through the rules of a worker, and its response back."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.routing.examples import ALIKE, Example, basic
from tests.routing.simulation import Response, Server
from tests.workers.visits import Ruled, Sink
from uwgate.gateways.wire.lease import LENGTH, NO_BODY
from uwgate.routing.conversation import Conversation
from uwgate.workers.environ import Environ
from uwgate.workers.mounts import Mounts
from uwgate.workers.rules.visit import Visit
from uwgate.workers.wsgi import Application as App

Start = Any

EXAMPLES = [one for one in ALIKE if one.name != "page cache"]  # a worker has no cache yet
FRAMING = (b"Content-Length", b"Connection")
OUR_PAGE = ((b"Content-Type", b"text/plain; charset=utf-8"),)


def unframed(response: Response) -> Response:
    """Without what a connection says of where the body ends, which is ours to say.

    Where a rule cannot do what it is to do, we say so, and uWSGI says nothing.
    """
    if tuple(pair for pair in response.headers if pair[0] not in FRAMING) == OUR_PAGE:
        return Response(None)
    headers = tuple(pair for pair in response.headers if pair[0] not in FRAMING)
    return replace(response, headers=headers)


@pytest.mark.parametrize("rules", EXAMPLES, ids=lambda rules: rules.name)
def test_a_worker_does_what_the_rules_say(rules: Example) -> None:
    wanted, ours = Server(rules.lines), Ruled(rules.lines)
    expected = [unframed(wanted.get(one.target, one.headers, one.method)) for one in rules.asks]
    found = [unframed(ours.get(one.target, one.headers, one.method)) for one in rules.asks]
    assert found == expected


def text(*pieces: bytes, headers: tuple[tuple[str, str], ...] = (), status: str = "200 OK") -> App:
    """An application that streams these pieces."""

    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response(status, list(headers))
        yield from pieces

    return application


def test_the_application_sees_what_rules_changed() -> None:
    seen: list[Environ] = []

    def application(environ: Environ, start_response: Start) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return []

    rules = ["route-run = addvar:A=b", "route-run = setpathinfo:/é", "route-run = setuser:joe"]
    Ruled(rules, application).get("/x")
    environ = seen[0]
    assert (environ["A"], environ["REMOTE_USER"]) == ("b", "joe")
    assert environ["PATH_INFO"] == "/é".encode().decode("latin-1")


def test_no_rule_changes_how_long_the_body_is() -> None:
    seen: list[str | None] = []

    def application(environ: Environ, start_response: Start) -> list[bytes]:
        seen.append(environ.get("CONTENT_LENGTH"))
        start_response("200 OK", [])
        return []

    Ruled(["route-run = addvar:CONTENT_LENGTH=9"], application).ask("/", CONTENT_LENGTH="5")
    assert seen == ["5"]


def test_a_rule_chooses_the_mounted_application() -> None:
    mounts = Mounts(default_allowed=True)
    mounts.add("/a", "first")
    mounts.add("/b", "second")
    environ = {"PATH_INFO": "/a/x", "UWSGI_APPID": "/b"}
    found = mounts.find(environ)
    assert found is not None
    assert found.call == "second"
    assert environ["PATH_INFO"] == "/a/x"
    other = mounts.find({"PATH_INFO": "/a/x", "UWSGI_APPID": "/none"})
    assert other is not None
    assert other.call == "first"


def test_a_scheme_of_a_rule_is_the_applications() -> None:
    ruled = Ruled(["route = ^/s setscheme:https"])
    ruled.ask("/s")
    assert isinstance(ruled.visit, Visit)
    assert ruled.visit.scheme == "https"
    ruled.ask("/other")
    assert isinstance(ruled.visit, Visit)
    assert ruled.visit.scheme is None


def test_pieces_of_a_stream_go_out_one_by_one() -> None:
    sink = Ruled(["response-route-run = addheader:X: y"], text(b"a", b"b", b"c")).ask("/")
    assert sink.pieces == [b"a", b"b", b"c"]
    assert sink.last


def test_what_rules_send_first_counts_into_the_length() -> None:
    app = text(b"abc", headers=(("Content-Length", "3"),))
    sink = Ruled(["route-run = send:123"], app).ask("/")
    assert sink.response == Response(b"200 OK", ((b"Content-Length", b"6"),), b"123abc")
    assert sink.flags & LENGTH


def test_a_compressed_stream_has_no_length_and_every_piece_at_once() -> None:
    app = text(b"a" * 100, b"b" * 100, headers=(("Content-Length", "200"),))
    sink = Ruled(["route-run = gzip:"], app).ask("/")
    assert b"Content-Length" not in dict(sink.response.headers)
    assert not sink.flags & LENGTH
    assert len(sink.pieces) == 3  # the last one is the trailer
    assert gzip.decompress(sink.response.body) == b"a" * 100 + b"b" * 100


def test_a_compressed_list_has_its_new_length() -> None:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        return [b"a" * 1000]

    sink = Ruled(["route-run = gzip:"], application).ask("/")
    headers = dict(sink.response.headers)
    assert headers[b"Content-Length"] == b"%d" % len(sink.response.body)
    assert headers[b"Content-Encoding"] == b"gzip"


def test_chunks_of_a_rule_frame_the_response() -> None:
    sink = Ruled(["route-run = chunked:"], text(b"ab", b"c")).ask("/")
    assert sink.response.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert dict(sink.response.headers) == {b"Transfer-Encoding": b"chunked"}
    assert sink.flags & LENGTH  # the connection adds no framing of its own


def test_a_head_request_gets_no_body_and_no_length_that_would_be_wrong() -> None:
    app = text(headers=(("Content-Length", "3"),))
    assert dict(Ruled(["route-run = addheader:A: b"], app).get("/", method="HEAD").headers) == {
        b"Content-Length": b"3",
        b"A": b"b",
    }
    sink = Ruled(["route-run = gzip:"], app).ask("/", method="HEAD")
    assert sink.response == Response(b"200 OK")
    assert sink.flags & NO_BODY


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_response_without_body_stays_without(status: str) -> None:
    ruled = Ruled(["route-run = send:x", "route-run = gzip:"], text(b"abc", status=status))
    sink = ruled.ask("/")
    assert sink.response == Response(status.encode())
    assert sink.flags & NO_BODY


def test_a_rule_cannot_break_the_framing() -> None:
    rules = [
        "route-run = addheader:Content-Length: 1",
        "route-run = addheader:Transfer-Encoding: chunked",
        "route-run = addheader:Connection: close",
    ]
    sink = Ruled(rules, text(b"abc", headers=(("Content-Length", "3"),))).ask("/")
    assert sink.response == Response(b"200 OK", ((b"Content-Length", b"3"),), b"abc")
    assert sink.closes


def test_the_response_that_replaces_an_applications_swallows_its_body() -> None:
    rules = ["error-route-status = 500 redirect:/sorry"]
    sink = Ruled(rules, text(b"secret", b"more", status="500 Oops")).ask("/")
    assert sink.response.status == b"302 Found"
    assert sink.response.body == b"Moved"
    assert sink.last


def test_an_application_that_raises_gets_to_the_error_rules() -> None:
    def application(environ: Environ, start_response: Start) -> list[bytes]:
        raise ValueError("a bug")

    sink = Ruled(["error-route-status = 500 redirect:/sorry"], application).ask("/")
    assert sink.response.status == b"302 Found"


def test_a_stream_that_breaks_off_is_seen_to_break_off() -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise ValueError("a bug")

    sink = Ruled(["route-run = gzip:"], application).ask("/")
    assert sink.aborted
    assert not sink.last


def test_a_held_stream_that_breaks_off_is_not_answered() -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise ValueError("a bug")

    sink = Ruled(["route-run = fixcl:"], application).ask("/")
    assert sink.head is None
    assert sink.hung_up


def test_final_rules_send_behind_a_body_that_has_no_length_yet() -> None:
    def listed(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ab"]

    rules = ["final-route-run = send:tail"]
    assert Ruled(rules, text(b"a", b"b")).get("/").body == b"abtail"
    whole = Ruled(rules, listed).get("/")
    assert whole == Response(b"200 OK", ((b"Content-Length", b"6"),), b"abtail")


def test_final_rules_cannot_send_behind_a_length(capfd: pytest.CaptureFixture[str]) -> None:
    app = text(b"a", b"b", headers=(("Content-Length", "2"),))
    assert Ruled(["final-route-run = send:tail"], app).get("/").body == b"ab"
    assert "4 bytes are not sent" in capfd.readouterr().err


def test_final_rules_run_once_whatever_happens(capfd: pytest.CaptureFixture[str]) -> None:
    ruled = Ruled(["final-route-run = log:END ${uwsgi[status]}", "route = ^/b break:"])
    for path in ("/", "/b"):
        ruled.ask(path)
    ruled.ask("/", sink=Sink(breaks=True))
    assert capfd.readouterr().err.count("END") == 3


def test_a_client_that_is_gone_fails_the_response() -> None:
    ruled = Ruled(["route-run = return:200"])
    ruled.ask("/", sink=Sink(breaks=True))
    assert ruled.response is not None
    assert ruled.response.failed


def test_a_rule_that_hangs_up_answers_nothing() -> None:
    sink = Ruled(["route-run = break:"]).ask("/")
    assert sink.hung_up
    assert sink.response == Response(None)


def test_a_break_with_status_ends_the_connection() -> None:
    assert Ruled(["route-run = break:403"]).ask("/").closes


def test_headers_may_be_switched_off() -> None:
    sink = Ruled(["route-run = disableheaders:", "route-run = return:200"]).ask("/")
    assert sink.bare
    assert sink.response == Response(None, (), b"OK")


def test_a_modifier_that_nobody_serves_drops_the_request() -> None:
    ruled = Ruled(["route-run = setmodifier1:5"])
    assert ruled.ask("/").hung_up
    assert not ruled.called


def test_a_request_that_is_not_to_be_logged_is_not() -> None:
    ruled = Ruled(["route = ^/quiet donotlog:", "route-run = logvar:a=b"])
    ruled.ask("/quiet")
    assert ruled.visit is not None
    assert not ruled.visit.logged
    assert ruled.slot.logvars == {"a": b"b"}


def test_what_a_rule_logs_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    Ruled(["route-run = log:see ${PATH_INFO}"]).ask("/a%0aFAKE")
    assert "see /a\\x0aFAKE\n" in capfd.readouterr().err


def test_the_log_gets_what_was_sent_and_not_what_the_application_meant() -> None:
    ruled = Ruled(["error-route-status = 404 redirect:/x"])
    ruled.ask("/missing")
    assert ruled.visit is not None
    assert (ruled.visit.status, ruled.visit.sent) == (302, 5)
    assert ruled.visit.head_size[0] == 2


def test_a_bug_in_a_rule_is_the_error_of_one_request(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ruled = Ruled(["route-run = log:x"])
    monkeypatch.setattr(ruled.policy.world, "now", None)
    monkeypatch.setattr(Conversation, "begin", lambda self: 1 / 0)
    assert ruled.get("/").status == b"500 Internal Server Error"
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_functions_of_the_process_are_called() -> None:
    ruled = Ruled(["route = ^/f/(.*) rpc:upper $1", "route-run = rpcvar:TAG upper x"])
    ruled.functions.register(b"upper", lambda text: text.upper())
    assert ruled.get("/f/abc").body == b"ABC"
    assert b"TAG=X\n" in ruled.get("/").body


def test_a_function_that_fails_is_a_502(capfd: pytest.CaptureFixture[str]) -> None:
    ruled = Ruled(["route-run = rpc:broken"])
    ruled.functions.register(b"broken", lambda: 1 / 0)
    assert ruled.get("/").status == b"502 Bad Gateway"
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_function_may_give_a_whole_response() -> None:
    ruled = Ruled(["route-run = rpcraw:whole", "response-route-run = addheader:X: y"])
    raw = b"HTTP/1.1 201 Made\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    ruled.functions.register(b"whole", lambda: raw)
    response = ruled.get("/")
    assert response.status == b"201 Made"
    assert response.headers[0] == (b"A", b"b")
    assert response.body == b"x"


def test_a_function_that_gives_no_response_is_a_502() -> None:
    ruled = Ruled(["route-run = rpcraw:whole"])
    ruled.functions.register(b"whole", lambda: b"hello")
    assert ruled.get("/").status == b"502 Bad Gateway"


def test_a_password_file_is_asked(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("joe:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # test
    ruled = Ruled([f"route-run = basicauth:Area,{users}"])
    assert ruled.get("/", basic("joe:test")).status == b"200 OK"
    assert ruled.get("/", basic("joe:other")).status == b"401 Authorization Required"
    users.unlink()
    assert ruled.get("/", basic("joe:test")).status == b"401 Authorization Required"


def test_a_body_is_written_into_a_file_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    Ruled([f"route-run = tofile:filename={file}"], text(b"a", b"b")).ask("/")
    assert file.read_bytes() == b"ab"
    assert [one.name for one in tmp_path.iterdir()] == ["copy"]


def test_a_body_that_breaks_off_is_not_written(tmp_path: Path) -> None:
    def application(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise ValueError("a bug")

    Ruled([f"route-run = tofile:filename={tmp_path / 'copy'}"], application).ask("/")
    assert not list(tmp_path.iterdir())


def test_a_copy_is_kept_before_the_client_has_all_of_the_body(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    seen: list[bool] = []

    class Watching(Sink):
        def send_body(self, body: bytes, last: bool) -> None:
            super().send_body(body, last)
            seen.append(file.exists())

    ruled = Ruled([f"route-run = tofile:filename={file}"], text(b"a", b"b"))
    ruled.ask("/", sink=Watching())
    assert seen == [False, False, True]
