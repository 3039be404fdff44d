"""``import uwsgi`` in a worker."""

from __future__ import annotations

import json
import os
from typing import Any

import uwgate
from tests.workers.conftest import Serve
from tests.workers.gateway import Gateway


def evaluate(serve: Serve, expression: str, prelude: str = "", **options: Any) -> Any:
    """The value of an expression in a request; bytes come as text."""
    source = (
        "import json, uwsgi\n"
        f"{prelude}\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        f"    return [json.dumps({expression}, default=bytes.decode).encode()]\n"
    )
    with Gateway(serve(source, **options).connect("lease")) as gateway:
        return json.loads(gateway.get().body)


def test_it_says_what_it_is(serve: Serve) -> None:
    expression = "[uwsgi.version, uwsgi.version_info[:3], uwsgi.numproc, uwsgi.cores]"
    numbers = [int(part) for part in uwgate.__version__.split(".")]
    assert evaluate(serve, expression) == [uwgate.__version__, numbers, 1, 1]


def test_it_knows_the_processes(serve: Serve) -> None:
    expression = "[uwsgi.masterpid(), uwsgi.worker_id(), uwsgi.request_id(), uwsgi.ready()]"
    assert evaluate(serve, expression) == [os.getpid(), 1, 1, True]


def test_outside_workers_the_id_is_0(serve: Serve) -> None:
    assert evaluate(serve, "before", "before = uwsgi.worker_id()") == 0


def test_post_fork_hooks_run_in_the_worker(serve: Serve) -> None:
    prelude = "ids = []\nuwsgi.post_fork_hook = lambda: ids.append(uwsgi.worker_id())"
    assert evaluate(serve, "ids", prelude) == [1]


def test_a_logvar_lasts_for_its_request(serve: Serve) -> None:
    instance = serve(
        """
        import uwsgi
        def application(environ, start_response):
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/set":
                uwsgi.set_logvar("who", "me")
                assert uwsgi.get_logvar("who") == b"me"
            return []
        """,
        log_format="%(uri) is %(who)",
    )
    with Gateway(instance.connect("lease")) as gateway:
        gateway.get("/set")
        gateway.get("/unset")
    instance.wait_log("/unset is -")
    assert "/set is me\n" in instance.read_log()


def test_what_is_not_offered_says_so(serve: Serve) -> None:
    prelude = """
try:
    uwsgi.queue_get
except AttributeError as error:
    text = str(error)
"""
    expected = f"uwsgi.queue_get is not offered yet by uwgate {uwgate.__version__}"
    assert evaluate(serve, "[text, hasattr(uwsgi, 'nonsense')]", prelude) == [expected, False]


def test_the_environ_of_the_request_is_at_hand(serve: Serve) -> None:
    assert evaluate(serve, "uwsgi.env is environ") is True


def test_disconnect_ends_the_connection_and_not_the_request(serve: Serve) -> None:
    instance = serve(
        """
        import uwsgi
        def application(environ, start_response):
            start_response("200 OK", [])
            uwsgi.disconnect()
            uwsgi.log("still here")
            return [b"x"]
        """
    )
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send((b"REQUEST_METHOD", b"GET"))
        assert gateway.sock.recv(10) == b""
    instance.wait_log("still here\n")


def test_functions_are_called_by_name(serve: Serve) -> None:
    prelude = """
uwsgi.register_rpc("join", lambda *given: b"+".join(given))
uwsgi.register_rpc("two", lambda a, b: a, 2)
errors = []
for call in (("nope",), ("two", "a"), ("join@/nonexistent.sock",)):
    try:
        uwsgi.call(*call)
    except ValueError as error:
        errors.append(str(error)[:29])
"""
    expression = "[uwsgi.call('join', 'a', b'b'), uwsgi.rpc('', 'join'), uwsgi.rpc_list(), errors]"
    failed = ["unable to call rpc function n", "unable to call rpc function t"]
    expected = ["a+b", "", ["join", "two"], [*failed, "unable to call rpc function j"]]
    assert evaluate(serve, expression, prelude) == expected
