"""Starts, ends and deaths of workers, with the test as master."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from tests.workers.conftest import PATIENCE, Instance, Serve
from tests.workers.gateway import HELLO_WORLD, Answer, Gateway, variables
from uwgate.gateways.wire import lease as wire

PID = """
import os
def application(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
SLOW = """
def application(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    environ["wsgi.input"].read()
    yield b"done"
"""


def test_ready_comes_behind_one_message_for_each_worker(serve: Serve) -> None:
    instance = serve(HELLO_WORLD, processes=3)
    assert [one["type"] for one in instance.messages] == ["worker"] * 3 + ["ready"]
    assert [one["worker"] for one in instance.messages[:3]] == [1, 2, 3]


def test_a_killed_worker_is_replaced(serve: Serve) -> None:
    instance = serve(PID)
    (pid,) = instance.worker_pids()
    os.kill(pid, signal.SIGKILL)
    gone = instance.wait_message("gone")
    assert (gone["pid"], gone["status"]) == (pid, signal.SIGKILL)
    new = instance.wait_message("worker")["pid"]
    with Gateway(instance.connect("lease")) as gateway:
        assert gateway.get().body == str(new).encode()
    instance.wait_log(
        f"DAMN ! worker 1 (pid: {pid}) died, killed by signal 9 :( trying respawn ..."
    )
    instance.wait_log(f"Respawned uWSGI worker 1 (new pid: {new})")


def test_a_worker_killed_in_a_request_breaks_off_without_goodbye(serve: Serve) -> None:
    instance = serve(SLOW)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="1"))
        gateway.read_frame()
        os.kill(instance.worker_pids()[0], signal.SIGKILL)
        with pytest.raises(EOFError):
            gateway.read_frame()


def test_an_application_that_fails_to_import_is_reported_with_its_traceback(serve: Serve) -> None:
    instance = serve("import no_such_thing", ready=False)
    failed = instance.wait_message("failed")
    assert failed["code"] == 22
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in failed["reason"]
    assert 'File "app.py", line 1' in failed["reason"]
    assert instance.wait_exit() == 22


def test_a_lazy_application_that_fails_to_import_is_reported_too(serve: Serve) -> None:
    instance = serve("raise ValueError('late')", ready=False, lazy_apps=True)
    failed = instance.wait_message("failed")
    assert failed["code"] == 22
    assert "ValueError: late" in failed["reason"]
    assert instance.wait_exit() == 22


def test_a_traceback_of_any_size_reaches_the_master(serve: Serve) -> None:
    instance = serve("raise ValueError('\\x00\\x7f' * 100_000)", ready=False)
    assert instance.wait_message("failed")["code"] == 22


def test_without_need_app_every_request_is_a_500(serve: Serve) -> None:
    instance = serve("import no_such_thing", need_app=False)
    with Gateway(instance.connect("lease")) as gateway:
        assert gateway.get().status == b"500 Internal Server Error"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"chdir": "nowhere"}, "chdir = nowhere: No such file"),
        ({"chdir2": "nowhere"}, "chdir2 = nowhere: No such file"),
        ({"uid": "no-such-user"}, "uid: there is no user 'no-such-user'"),
        ({"env": ("=x",)}, "env = =x"),
    ],
)
def test_options_that_cannot_be_followed_are_named(
    serve: Serve, options: dict[str, object], reason: str
) -> None:
    instance = serve(HELLO_WORLD, ready=False, **options)
    failed = instance.wait_message("failed")
    assert failed["code"] == 1
    assert reason in failed["reason"]
    assert instance.wait_exit() == 1


def test_drain_lets_the_running_request_finish(serve: Serve) -> None:
    instance = serve(SLOW, threads=2)
    with Gateway(instance.connect("lease")) as busy:
        busy.send(*variables("POST", CONTENT_LENGTH="1"))
        assert busy.read_frame()[2] == b"begun"
        with Gateway(instance.connect("lease")) as idle:
            instance.send("drain")
            assert idle.read_frame() == (wire.GOODBYE, b"", b"")
        busy.sock.sendall(b"x")
        answer = busy.read_answer()
    assert answer.body == b"done"
    assert answer.flags & wire.GOODBYE
    assert instance.wait_exit() == 0


def test_mercy_has_an_end(serve: Serve) -> None:
    instance = serve(SLOW, worker_reload_mercy=0.1)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="1"))
        gateway.read_frame()
        instance.send("drain")
        assert instance.wait_message("gone")["status"] == signal.SIGKILL
    assert instance.wait_exit() == 0


def test_stop_ends_the_workers_at_once(serve: Serve) -> None:
    instance = serve(SLOW)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.send(*variables("POST", CONTENT_LENGTH="1"))
        gateway.read_frame()
        instance.send("stop")
        assert os.waitstatus_to_exitcode(instance.wait_message("gone")["status"]) == 30
    assert instance.wait_exit() == 0


def test_the_end_of_the_control_socket_drains(serve: Serve) -> None:
    instance = serve(HELLO_WORLD)
    instance.control.shutdown(2)
    assert instance.wait_exit() == 0


def test_the_end_of_the_life_pipe_drains(serve: Serve) -> None:
    instance = serve(HELLO_WORLD, processes=2)
    os.close(instance.life_write)
    instance.life_write = os.open(os.devnull, os.O_RDONLY)
    assert instance.wait_exit() == 0


def test_workers_outlive_their_spawner_until_sighup(serve: Serve) -> None:
    instance = serve(PID)
    (pid,) = instance.worker_pids()
    instance.process.kill()
    instance.process.wait()
    with Gateway(instance.connect("lease")) as gateway:
        assert gateway.get().body == str(pid).encode()
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGHUP)
        assert gateway.read_frame() == (wire.GOODBYE, b"", b"")
    try:
        assert select.select([pidfd], [], [], PATIENCE)[0]
    finally:
        os.close(pidfd)


def test_max_requests_replaces_the_worker_with_the_last_frame(serve: Serve) -> None:
    instance = serve(PID, max_requests=2)
    with Gateway(instance.connect("lease")) as gateway:
        assert not gateway.get().flags & wire.GOODBYE
        assert gateway.get().flags & wire.GOODBYE
    assert instance.wait_message("gone")["status"] == 0
    with Gateway(instance.connect("lease")) as gateway:
        assert gateway.get().body == str(instance.wait_message("worker")["pid"]).encode()


def test_an_old_worker_is_replaced(serve: Serve) -> None:
    instance = serve(PID, max_worker_lifetime=0.2)
    assert instance.wait_message("gone")["status"] == 0
    instance.wait_message("worker")


def test_a_large_worker_is_replaced(serve: Serve) -> None:
    instance = serve(PID, reload_on_rss=1)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.get()
        assert gateway.read_frame()[0] == wire.GOODBYE
    assert instance.wait_message("gone")["status"] == 0


def test_reload_on_exception_replaces_the_worker(serve: Serve) -> None:
    instance = serve("def application(e, s): raise ValueError", reload_on_exception=True)
    with Gateway(instance.connect("lease")) as gateway:
        assert gateway.get().status == b"500 Internal Server Error"
    assert instance.wait_message("gone")["status"] == 0


def _ask_until(
    instance: Instance,
    stop: threading.Event,
    lost: list[str],
    done: list[int],
    pause: float = 0.0,
) -> None:
    """Ask on leases as a gateway does; a request that was not run goes elsewhere."""
    while not stop.is_set():
        try:
            gateway = Gateway(instance.connect("lease"))
        except EOFError:
            continue
        with gateway:
            answer = Answer()
            while not answer.flags & wire.GOODBYE and not stop.is_set():
                try:
                    answer = gateway.get()
                except EOFError as error:
                    if not error.args:
                        lost.append("end of file")
                    break
                except BrokenPipeError:
                    break  # it has left already: nothing was handed over
                except OSError as error:
                    lost.append(repr(error))
                    break
                if answer.body != b"hello":
                    lost.append(repr(answer))
                done.append(1)
                stop.wait(pause)


def test_no_request_is_lost_while_workers_are_replaced(serve: Serve) -> None:
    instance = serve(HELLO_WORLD, processes=3, threads=2, max_requests=25, log_requests=False)
    stop = threading.Event()
    lost: list[str] = []
    done: list[int] = []
    clients = [
        threading.Thread(target=_ask_until, args=(instance, stop, lost, done)) for _ in range(8)
    ]
    for client in clients:
        client.start()
    instance.wait_until(lambda: len(done) > 1000 or bool(lost))
    stop.set()
    for client in clients:
        client.join()
    assert lost == []


def test_no_request_is_lost_while_generations_follow_each_other(serve: Serve) -> None:
    options = {"processes": 2, "threads": 2, "log_requests": False}
    instance = serve(HELLO_WORLD, **options)
    stop = threading.Event()
    lost: list[str] = []
    done: list[int] = []
    clients = [
        threading.Thread(target=_ask_until, args=(instance, stop, lost, done, 0.005))
        for _ in range(4)
    ]
    for client in clients:
        client.start()
    running = instance
    for _ in range(4):
        new = serve(HELLO_WORLD, sockets=instance.sockets, **options)
        running.send("drain")
        assert running.wait_exit() == 0
        running = new
    stop.set()
    for client in clients:
        client.join()
    assert lost == []
    assert done


def test_what_the_application_prints_is_logged_at_once(serve: Serve) -> None:
    instance = serve("print('printed')\n" + HELLO_WORLD)
    assert "printed\n" in instance.read_log()


def test_programs_of_the_application_inherit_no_socket(serve: Serve) -> None:
    instance = serve(
        """
        import os
        def application(environ, start_response):
            start_response("200 OK", [])
            return [os.popen("exec ls -l /proc/self/fd").read().encode()]
        """
    )
    with Gateway(instance.connect("lease")) as gateway:
        assert b"socket:" not in gateway.get().body


def test_a_large_file_takes_little_memory(serve: Serve) -> None:
    instance = serve(
        """
        import resource
        def application(environ, start_response):
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/peak":
                return [str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss).encode()]
            return environ["wsgi.file_wrapper"](open("big", "rb"))
        """
    )
    size = 1 << 27
    with open(instance.folder / "big", "wb") as file:
        file.truncate(size)
    with Gateway(instance.connect("lease")) as gateway:
        before = int(gateway.get("/peak").body)
        gateway.send(*variables())
        received = 0
        flags = 0
        while not flags & wire.LAST:
            flags, _, body = gateway.read_frame()
            received += len(body)
        assert received == size
        assert int(gateway.get("/peak").body) - before < 8192  # KiB


def test_a_stranger_gets_no_lease(serve: Serve) -> None:
    if os.getuid():
        pytest.skip("needs root to become somebody else")
    instance = serve(HELLO_WORLD)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setuid(65534)
            with instance.connect("lease") as sock:
                status = 0 if sock.recv(8) == b"" else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    instance.wait_log("lease refused: the peer runs as user 65534")
