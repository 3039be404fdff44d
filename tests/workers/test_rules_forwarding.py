"""Requests that a worker's rules hand to a backend, and what comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.routing.simulation import Response
from tests.workers.backends import backend
from tests.workers.visits import Ruled, Sink
from uwgate.gateways.wire.uwsgi import HEADER, decode_block
from uwgate.workers.body import Body, BodyError

HELLO = b"HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 5\r\n\r\nhello"


class Text(Body):
    """A body that is there. ``announced``: its length is said."""

    def __init__(self, text: bytes, *, announced: bool = True) -> None:
        super().__init__()
        self._piece = text
        self.done = False
        self.length = len(text) if announced else 0

    def _receive(self) -> bytes:
        self.done = True
        return b""


def test_a_backends_answer_is_passed_on(tmp_path: Path) -> None:
    with backend(tmp_path, HELLO) as there:
        sink = Ruled([f"route-run = http:{there.address}"]).ask("/a?b", {"X-Y": "z"})
        assert sink.response == Response(
            b"200 Fine", ((b"A", b"b"), (b"Content-Length", b"5")), b"hello"
        )
        assert there.received.startswith(b"GET /a?b HTTP/1.1\r\n")
        assert b"\r\nX-Y: z\r\n" in there.received
        assert b"\r\nX-Forwarded-For: 0.0.0.0\r\n" in there.received


def test_host_and_target_may_be_others(tmp_path: Path) -> None:
    with backend(tmp_path, HELLO) as there:
        Ruled([f"route-run = http:{there.address},example.com,/x"]).ask("/a", {"Host": "b"})
        assert there.received.startswith(b"GET /x HTTP/1.1\r\nHost: example.com\r\n")


def test_a_body_goes_with_its_length_or_in_chunks(tmp_path: Path) -> None:
    with backend(tmp_path, HELLO, until=b"x" * 50) as there:
        ruled = Ruled([f"route-run = http:{there.address}"])
        ruled.ask("/", method="POST", body=Text(b"x" * 50))
        assert there.received.endswith(b"\r\n\r\n" + b"x" * 50)
        assert b"\r\nContent-Length: 50\r\n" in there.received
        ruled.ask("/", method="POST", body=Text(b"x" * 50, announced=False))
        assert b"\r\nTransfer-Encoding: chunked\r\n" in there.received
        assert b"\r\n\r\n32\r\n" + b"x" * 50 in there.received


def test_a_uwsgi_backend_gets_the_variables_and_the_body(tmp_path: Path) -> None:
    with backend(tmp_path, HELLO, until=b"x" * 50) as there:
        rules = ["route-run = addvar:TAG=x", f"route-run = uwsgi:{there.address},9,1,app"]
        body = Text(b"x" * 50, announced=False)
        sink = Ruled(rules).ask("/a", method="POST", body=body)
        assert sink.response.body == b"hello"
        modifier1, size, modifier2 = HEADER.unpack_from(there.received)
        found = dict(decode_block(there.received[4 : 4 + size]))
        assert (modifier1, modifier2) == (9, 1)
        assert (found[b"TAG"], found[b"UWSGI_APPID"]) == (b"x", b"app")
        assert found[b"CONTENT_LENGTH"] == b"50"
        assert there.received[4 + size :] == b"x" * 50


def test_rules_and_transformations_see_a_backends_answer(tmp_path: Path) -> None:
    with backend(tmp_path, HELLO) as there:
        rules = [
            "route = ^/ toupper:",
            f"route-run = http:{there.address}",
            "response-route-run = addheader:X: y",
        ]
        response = Ruled(rules).get("/")
        assert response.body == b"HELLO"
        assert dict(response.headers)[b"X"] == b"y"


def test_a_chunked_answer_is_decoded(tmp_path: Path) -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with backend(tmp_path, reply) as there:
        sink = Ruled([f"route-run = http:{there.address}"]).ask("/")
        assert sink.response == Response(b"200 OK", (), b"abcde")


def test_interim_answers_are_passed_by(tmp_path: Path) -> None:
    with backend(tmp_path, b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + HELLO) as there:
        response = Ruled([f"route-run = http:{there.address}"]).get("/")
        assert response.status == b"200 Fine"


def test_an_answer_to_head_has_no_body(tmp_path: Path) -> None:
    with backend(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") as there:
        sink = Ruled([f"route-run = http:{there.address}"]).ask("/", method="HEAD")
        assert sink.response == Response(b"200 OK", ((b"Content-Length", b"5"),), b"")
        assert sink.last


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"hello",
        b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_502(tmp_path: Path, reply: bytes) -> None:
    with backend(tmp_path, reply) as there:
        response = Ruled([f"route-run = http:{there.address}"]).get("/")
        assert response.status == b"502 Bad Gateway"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    ],
)
def test_an_answer_that_is_cut_short_is_seen_to_be(tmp_path: Path, reply: bytes) -> None:
    with backend(tmp_path, reply) as there:
        sink = Ruled([f"route-run = http:{there.address}"]).ask("/")
        assert not sink.last
        assert sink.aborted or sink.hung_up


def test_error_rules_see_that_nobody_is_there(tmp_path: Path) -> None:
    rules = [f"route-run = http:{tmp_path}/none", "error-route-status = 502 redirect:/sorry"]
    assert Ruled(rules).get("/").status == b"302 Found"


def test_a_backend_that_answers_early_is_heard(tmp_path: Path) -> None:
    with backend(tmp_path, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as there:
        ruled = Ruled([f"route-run = http:{there.address}"])
        sink = ruled.ask("/", method="POST", body=Text(b"x" * 10_000_000))
        assert sink.response.status == b"413 Too Large"


@pytest.mark.parametrize(
    "rule",
    [
        "setmethod:GET /evil HTTP/1.1",
        "addvar:HTTP_X=${PATH_INFO}",
        "addvar:HTTP_HOST=${PATH_INFO}",
        "setremoteaddr:${PATH_INFO}",
    ],
)
def test_no_rule_makes_a_second_line_of_a_request(tmp_path: Path, rule: str) -> None:
    with backend(tmp_path, HELLO) as there:
        ruled = Ruled([f"route-run = {rule}", f"route-run = http:{there.address}"])
        response = ruled.get("/a%0d%0aX-Evil:%20yes")
        assert response.status == b"400 Bad Request"
        assert there.received == b""


def test_a_body_that_does_not_come_is_400(tmp_path: Path) -> None:
    class Cut(Text):
        def _receive(self) -> bytes:
            raise BodyError("the client broke off")

    with backend(tmp_path, HELLO, until=b"never") as there:
        ruled = Ruled([f"route-run = http:{there.address}"])
        sink = ruled.ask("/", method="POST", body=Cut(b"abc"))
        assert sink.response.status == b"400 Bad Request"


def test_a_client_that_leaves_ends_the_forwarding(tmp_path: Path) -> None:
    with backend(tmp_path, HELLO) as there:
        ruled = Ruled([f"route-run = http:{there.address}"])
        ruled.ask("/", sink=Sink(breaks=True))
        assert ruled.response is not None
        assert ruled.response.failed


def test_a_connection_is_for_those_who_ask_for_one() -> None:
    sink = Ruled(["route-run = httpconnect:127.0.0.1:1"]).get("/")
    assert sink.status == b"405 Method Not Allowed"
