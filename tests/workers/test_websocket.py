"""``uwsgi.websocket_*`` in a worker, over each of its sockets."""

from __future__ import annotations

import os
import signal

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import Gateway, parse_http, variables
from tests.workers.websockets import ACCEPT, KEY, MASK, ask, connect, handshake
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.websocket import Code, Opcode, encode_frame

ROLES = ["lease", "uwsgi", "http-socket", "http11-socket"]
ECHO = """
import uwsgi
def application(environ, start_response):
    uwsgi.websocket_handshake()
    while True:
        uwsgi.websocket_send(uwsgi.websocket_recv())
"""
TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
PING, PONG, CLOSE = Opcode.PING, Opcode.PONG, Opcode.CLOSE


def with_body(lines: str) -> str:
    """An application that does this after the handshake."""
    body = "\n".join("    " + line for line in lines.strip().splitlines())
    return (
        "import os, select, uwsgi\n"
        "def application(environ, start_response):\n"
        f"    uwsgi.websocket_handshake()\n{body}\n"
    )


# The handshake


@pytest.mark.parametrize("role", ROLES)
def test_the_handshake_is_answered(shared: Serve, role: str) -> None:
    with connect(shared(ECHO), role) as client:
        assert client.head.split(b"\r\n")[0].endswith(b"101 Web Socket Protocol Handshake")
        assert client.fields[b"sec-websocket-accept"] == ACCEPT
        expected = (None, None) if role == "lease" else (b"websocket", b"Upgrade")
        got = client.fields.get(b"upgrade"), client.fields.get(b"connection")
        assert got == expected  # on a lease they are the gateway's to say


def test_the_answer_is_made_of_the_arguments(serve: Serve) -> None:
    source = f"""
    import uwsgi
    def application(environ, start_response):
        uwsgi.websocket_handshake("{KEY}", b"http://there", "two")
        uwsgi.websocket_recv()
    """
    with connect(serve(source), HTTP_SEC_WEBSOCKET_KEY="", HTTP_ORIGIN="here") as client:
        assert client.fields[b"sec-websocket-accept"] == ACCEPT
        assert client.fields[b"sec-websocket-origin"] == b"http://there"
        assert client.fields[b"sec-websocket-protocol"] == b"two"


def test_of_the_protocols_asked_for_one_is_agreed_to(shared: Serve) -> None:
    with connect(
        shared(ECHO), HTTP_SEC_WEBSOCKET_PROTOCOL="chat, superchat", HTTP_ORIGIN="http://here"
    ) as client:
        assert client.fields[b"sec-websocket-protocol"] == b"chat"
        assert client.fields[b"sec-websocket-origin"] == b"http://here"


@pytest.mark.parametrize(
    "more",
    [
        {"HTTP_SEC_WEBSOCKET_KEY": "short"},
        {"HTTP_SEC_WEBSOCKET_KEY": ""},
        {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
        {"HTTP_UPGRADE": "h2c"},
        {"HTTP_CONNECTION": "close"},
    ],
)
def test_a_bad_handshake_gets_400(shared: Serve, more: dict[str, str]) -> None:
    instance = shared(ECHO)
    start = len(instance.read_log())
    sock, data = ask(instance, "http-socket", "/", b"", **more)
    with sock:
        answer = parse_http(data)
        assert answer.status == b"HTTP/1.1 400 Bad Request"
        assert answer.headers[b"sec-websocket-version"] == b"13"
    instance.wait_log("WebSocket refused: ", start)
    assert "Traceback" not in instance.read_log()


def test_a_gateway_that_offers_no_tunnel_gets_a_response(serve: Serve) -> None:
    with Gateway(serve(ECHO).connect("lease")) as gateway:
        assert gateway.get(**handshake()).status == b"400 Bad Request"
        assert gateway.get(**handshake()).status == b"400 Bad Request"  # the lease goes on


def test_a_gateway_that_offers_a_tunnel_may_get_a_response(serve: Serve) -> None:
    source = """
    def application(environ, start_response):
        start_response("403 Forbidden", [])
        return [b"no"]
    """
    with Gateway(serve(source).connect("lease")) as gateway:
        for _ in range(2):
            gateway.send(*variables(**handshake()), flags=wire.MAY_TUNNEL)
            assert gateway.read_answer().status == b"403 Forbidden"


@pytest.mark.parametrize(
    "lines",
    [
        "uwsgi.websocket_handshake()",
        "uwsgi.websocket_handshake(proto='a\\r\\nX: y')",
    ],
)
def test_a_handshake_cannot_be_made_twice(serve: Serve, lines: str) -> None:
    source = with_body(f"try:\n    {lines}\nexcept OSError:\n    uwsgi.websocket_send('refused')")
    with connect(serve(source)) as client:
        assert client.receive() == (TEXT, b"refused")


def test_no_argument_can_add_a_header(serve: Serve) -> None:
    source = """
    import uwsgi
    def application(environ, start_response):
        uwsgi.websocket_handshake(proto="a\\r\\nX: y")
    """
    sock, data = ask(serve(source), "uwsgi")
    with sock:
        assert b" 400 Bad Request" in data


def test_a_handshake_behind_a_response_is_an_error(serve: Serve) -> None:
    source = """
    import uwsgi
    def application(environ, start_response):
        start_response("200 OK", [])(b"begun ")
        try:
            uwsgi.websocket_handshake()
        except OSError:
            return [b"refused"]
    """
    sock, data = ask(serve(source), "uwsgi")
    with sock:
        while piece := sock.recv(1000):
            data += piece
        assert data.endswith(b"begun refused")


@pytest.mark.parametrize("call", ["recv()", "recv_nb()", "send('x')", "send_binary('x')"])
def test_without_a_handshake_there_is_nothing_to_use(serve: Serve, call: str) -> None:
    source = f"""
    import uwsgi
    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            uwsgi.websocket_{call}
        except OSError:
            return [b"OSError"]
    """
    with Gateway(serve(source).connect("lease")) as gateway:
        assert gateway.get().body == b"OSError"


# Messages


@pytest.mark.parametrize("role", ROLES)
def test_messages_go_both_ways(shared: Serve, role: str) -> None:
    with connect(shared(ECHO), role) as client:
        for text in ("hello", "", "é" * 1000, "x" * 100000):
            client.text(text)
            assert client.receive() == (TEXT, text.encode())


@pytest.mark.parametrize("role", ROLES)
def test_what_the_client_sends_with_its_head_is_not_lost(shared: Serve, role: str) -> None:
    early = encode_frame(TEXT, b"early", key=MASK) + encode_frame(TEXT, b"bird", key=MASK)
    with connect(shared(ECHO), role, early=early) as client:
        assert client.receive() == (TEXT, b"early")
        assert client.receive() == (TEXT, b"bird")


def test_a_message_of_a_megabyte_passes_and_one_byte_more_does_not(shared: Serve) -> None:
    with connect(shared(ECHO)) as client:
        client.send(BINARY, bytes(1 << 20))
        assert client.receive() == (TEXT, bytes(1 << 20))
        client.send(BINARY, bytes((1 << 20) + 1))
        assert client.closing() == (Code.TOO_BIG, True)


def test_the_limit_is_an_option(serve: Serve) -> None:
    with connect(serve(ECHO, websocket_max_size=1)) as client:
        client.send(BINARY, bytes(1000), final=False)
        client.send(CONTINUATION, bytes(25))
        assert client.closing() == (Code.TOO_BIG, True)


def test_fragments_come_as_one_message(shared: Serve) -> None:
    with connect(shared(ECHO)) as client:
        client.send(TEXT, b"a", final=False)
        client.send(CONTINUATION, b"b", final=False)
        client.send(PING, b"in between")
        client.send(CONTINUATION, b"c")
        assert client.receive() == (PONG, b"in between")
        assert client.receive() == (TEXT, b"abc")


def test_text_and_binary_are_sent_as_what_they_are(serve: Serve) -> None:
    source = with_body(
        """
uwsgi.websocket_send("é")
uwsgi.websocket_send(b"bytes")
uwsgi.websocket_send_binary(b"\\xff")
uwsgi.websocket_send_binary("é")
"""
    )
    with connect(serve(source)) as client:
        got = [client.receive() for _ in range(4)]
        assert got == [
            (TEXT, "é".encode()),
            (TEXT, b"bytes"),
            (BINARY, b"\xff"),
            (BINARY, "é".encode()),
        ]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (encode_frame(TEXT, b"\xff", key=MASK), Code.INVALID_DATA),
        (encode_frame(TEXT, b"unmasked"), Code.PROTOCOL_ERROR),
        (encode_frame(CONTINUATION, b"of what?", key=MASK), Code.PROTOCOL_ERROR),
        (encode_frame(CLOSE, b"\0", key=MASK), Code.PROTOCOL_ERROR),
        (encode_frame(CLOSE, b"\x03\xed", key=MASK), Code.PROTOCOL_ERROR),
        (b"\xf1\x80" + MASK, Code.PROTOCOL_ERROR),
    ],
)
@pytest.mark.parametrize("role", ["lease", "http-socket"])
def test_who_breaks_the_protocol_is_told_so(
    shared: Serve, role: str, frame: bytes, code: Code
) -> None:
    """A lone continuation crashes a worker of uWSGI."""
    instance = shared(ECHO)
    start = len(instance.read_log())
    with connect(instance, role) as client:
        client.sock.sendall(frame)
        assert client.closing() == (code, True)
    instance.wait_log(f"127.0.0.1: WebSocket closed ({code:d}): ", start)
    with connect(instance, role) as client:
        client.text("alive")
        assert client.receive() == (TEXT, b"alive")


def test_a_message_that_is_not_there_is_empty(serve: Serve) -> None:
    source = with_body(
        """
assert uwsgi.websocket_recv_nb() == b""
uwsgi.websocket_send("ready")
while not (message := uwsgi.websocket_recv_nb()):
    select.select([uwsgi.connection_fd()], [], [])
uwsgi.websocket_send(message)
"""
    )
    with connect(serve(source)) as client:
        assert client.receive() == (TEXT, b"ready")
        client.text("now")
        assert client.receive() == (TEXT, b"now")


def test_who_selects_on_the_descriptor_misses_no_message(serve: Serve) -> None:
    """Whatever comes together is not taken off the socket together."""
    source = with_body(
        """
while True:
    if not select.select([uwsgi.connection_fd()], [], [], 60)[0]:
        raise ValueError("nothing came")
    uwsgi.websocket_send(uwsgi.websocket_recv_nb())
"""
    )
    with connect(serve(source)) as client:
        client.sock.sendall(b"".join(encode_frame(TEXT, b"%d" % n, key=MASK) for n in range(20)))
        assert [client.receive() for _ in range(20)] == [(TEXT, b"%d" % n) for n in range(20)]


# Pings


@pytest.mark.parametrize("data", [b"", b"x" * 125])
def test_a_ping_is_answered_with_what_it_carries(shared: Serve, data: bytes) -> None:
    with connect(shared(ECHO)) as client:
        client.send(PING, data)
        assert client.receive() == (PONG, data)


def test_pongs_that_nobody_asked_for_are_ignored(shared: Serve) -> None:
    with connect(shared(ECHO)) as client:
        client.send(PONG, b"?")
        client.text("x")
        assert client.receive() == (TEXT, b"x")


def test_a_silent_client_is_asked_whether_it_is_there(serve: Serve) -> None:
    options = {"websocket_ping_freq": 0.05, "websocket_pong_tolerance": 60.0}
    with connect(serve(ECHO, **options)) as client:
        for _ in range(3):
            assert client.receive() == (PING, b"")
            client.send(PONG)
        client.text("x")
        assert client.receive() in [(TEXT, b"x"), (PING, b"")]


@pytest.mark.parametrize("recv", ["recv", "recv_nb"])
def test_who_does_not_answer_is_given_up(serve: Serve, recv: str) -> None:
    source = with_body(
        f"""
while True:
    uwsgi.websocket_{recv}()
    select.select([uwsgi.connection_fd()], [], [], 0.02)
"""
    )
    options = {"websocket_ping_freq": 0.05, "websocket_pong_tolerance": 0.1}
    instance = serve(source, **options)
    with connect(instance) as client:
        assert client.receive() == (PING, b"")
        assert client.receive() is None


# The end


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("code", [Code.NORMAL, 4321])
def test_a_close_is_answered_with_its_code(shared: Serve, role: str, code: int) -> None:
    instance = shared(ECHO)
    start = len(instance.read_log())
    with connect(instance, role) as client:
        client.send(CLOSE, code.to_bytes(2, "big") + b"bye")
        assert client.closing() == (code, True)
    instance.wait_log(" 101) ", start)
    assert "Traceback" not in instance.read_log()


def test_a_close_without_a_code_is_answered_without_one(shared: Serve) -> None:
    with connect(shared(ECHO)) as client:
        client.send(CLOSE)
        assert client.receive() == (CLOSE, b"")
        assert client.receive() is None


@pytest.mark.parametrize("role", ROLES)
def test_an_application_that_returns_closes(serve: Serve, role: str) -> None:
    with connect(serve(with_body("return [b'goes nowhere']")), role) as client:
        message = client.receive()
        assert message == (CLOSE, Code.NORMAL.to_bytes(2, "big"))
        client.send(CLOSE, b"\x03\xe8")
        assert client.receive() is None


def test_an_application_that_fails_says_so(serve: Serve) -> None:
    instance = serve(with_body("raise ValueError('a bug')"))
    with connect(instance) as client:
        assert client.receive() == (CLOSE, Code.INTERNAL_ERROR.to_bytes(2, "big"))
    instance.wait_log("ValueError: a bug")


def test_what_was_sent_last_arrives_although_the_client_sends_on(serve: Serve) -> None:
    with connect(serve(with_body("uwsgi.websocket_send('last')")), "http-socket") as client:
        client.sock.sendall(encode_frame(TEXT, bytes(10000), key=MASK))
        assert client.receive() == (TEXT, b"last")
        assert client.closing() == (Code.NORMAL, True)


def test_a_generator_may_keep_a_websocket(serve: Serve) -> None:
    source = """
    import uwsgi
    def application(environ, start_response):
        uwsgi.websocket_handshake()
        while True:
            uwsgi.websocket_send(uwsgi.websocket_recv())
            yield ""
    """
    with connect(serve(source)) as client:
        for text in ("one", "two"):
            client.text(text)
            assert client.receive() == (TEXT, text.encode())


def test_a_client_that_vanishes_is_an_oserror(serve: Serve) -> None:
    source = with_body(
        """
try:
    uwsgi.websocket_recv()
except OSError as error:
    uwsgi.log(f"ended: {error}")
try:
    uwsgi.websocket_send("x")
except OSError as error:
    uwsgi.log("still ended")
"""
    )
    instance = serve(source)
    connect(instance).sock.close()
    instance.wait_log("ended: the client is gone")
    instance.wait_log("still ended")


def test_its_end_is_no_exception_of_the_application(serve: Serve) -> None:
    instance = serve(ECHO, reload_on_exception=True)
    connect(instance).sock.close()
    instance.wait_log(" 101) ")
    with connect(instance) as client:  # the same worker
        client.text("x")
        assert client.receive() == (TEXT, b"x")
    assert len(instance.worker_pids()) == 1
    assert "Traceback" not in instance.read_log()


def test_the_lease_of_a_websocket_is_closed(serve: Serve) -> None:
    instance = serve(ECHO)
    with connect(instance) as client:
        client.send(CLOSE, b"\x03\xe8")
        assert client.closing() == (Code.NORMAL, True)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables(), flags=0)
        assert gateway.read_answer().status == b"400 Bad Request"


def test_a_worker_that_has_to_end_lets_its_clients_go(serve: Serve) -> None:
    instance = serve(ECHO, worker_reload_mercy=2.0)
    with connect(instance) as client:
        client.text("x")
        assert client.receive() == (TEXT, b"x")
        os.kill(instance.worker_pids()[0], signal.SIGHUP)
        assert client.closing() == (Code.GOING_AWAY, True)


def test_a_worker_that_has_to_end_has_its_mercy_first(serve: Serve) -> None:
    instance = serve(ECHO, worker_reload_mercy=60.0)
    with connect(instance) as client:
        os.kill(instance.worker_pids()[0], signal.SIGHUP)
        instance.wait_log("Gracefully ending worker 1")
        client.text("still here")
        assert client.receive() == (TEXT, b"still here")


# Waiting


def test_the_chat_of_the_documentation_runs(serve: Serve) -> None:
    source = """
    import os, uwsgi
    def application(environ, start_response):
        uwsgi.websocket_handshake(environ["HTTP_SEC_WEBSOCKET_KEY"], environ.get("HTTP_ORIGIN", ""))
        ours, theirs = os.pipe()
        client = uwsgi.connection_fd()
        while True:
            uwsgi.wait_fd_read(client, 3)
            uwsgi.wait_fd_read(ours)
            uwsgi.suspend()
            fd = uwsgi.ready_fd()
            if fd == client:
                message = uwsgi.websocket_recv_nb()
                if message:
                    os.write(theirs, message)
            elif fd == ours:
                uwsgi.websocket_send(b"[chat] " + os.read(ours, 100))
            else:
                uwsgi.websocket_recv_nb()
    """
    with connect(serve(source)) as client:
        client.text("hello")
        assert client.receive() == (TEXT, b"[chat] hello")


def test_a_wait_ends_with_its_time(serve: Serve) -> None:
    source = with_body(
        """
ours, theirs = os.pipe()
uwsgi.wait_fd_read(ours, 0.01)
uwsgi.suspend()
uwsgi.websocket_send(str(uwsgi.ready_fd()))
uwsgi.wait_fd_write(theirs, 5)
uwsgi.suspend()
uwsgi.websocket_send(str(uwsgi.ready_fd() == theirs))
uwsgi.suspend()  # for nothing: it does not hang
uwsgi.websocket_send(str(uwsgi.ready_fd()))
"""
    )
    with connect(serve(source)) as client:
        assert [client.receive() for _ in range(3)] == [
            (TEXT, b"-1"),
            (TEXT, b"True"),
            (TEXT, b"-1"),
        ]
