"""A whole master with fake children: start, supervision, reload, stop."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.master.conftest import Overrides, RunningMaster, StartMaster, is_alive, wait_until

GATEWAY: Overrides = {"http": {"http": ["127.0.0.1:0"]}}
WORKERS: Overrides = {"sockets": {"http_socket": ["127.0.0.1:0"]}, "workers": {"processes": 2}}


def with_options(base: Overrides, **groups: dict[str, Any]) -> Overrides:
    return {key: {**base.get(key, {}), **groups.get(key, {})} for key in {*base, *groups}}


@pytest.fixture
def gateway_master(start_master: StartMaster) -> RunningMaster:
    master = start_master(GATEWAY)
    master.wait_serving()
    return master


@pytest.fixture
def workers_master(start_master: StartMaster) -> RunningMaster:
    master = start_master(WORKERS)
    master.wait_serving()
    return master


def test_a_start_says_who_runs_and_what_listens_where(gateway_master: RunningMaster) -> None:
    assert f"spawned uWSGI master process (pid: {gateway_master.process.pid})" in gateway_master.log
    answer = gateway_master.ask()
    assert answer["generation"] == 1
    assert answer["pid"] in gateway_master.pids("http 1")
    assert answer["lease"]


def test_an_application_that_cannot_be_imported_stops_the_start(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, application={"pyargv": "fail"}))
    assert master.wait() == 22
    assert "the start failed, nothing was served: ImportError: no app here" in master.log
    assert master.log.count("Traceback") == 1
    assert master.pids("http") == []


def test_a_spawner_that_dies_at_the_start_gives_its_status(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, application={"pyargv": "die"}))
    assert master.wait() == 3


def test_a_gateway_that_cannot_start_stops_the_start(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, http={"http_server_header": "die"}))
    assert master.wait() == 7
    wait_until(lambda: not is_alive(master.pids("spawner")[0]), lambda: master.log)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_finishes_running_requests(
    gateway_master: RunningMaster, number: signal.Signals
) -> None:
    answers: list[object] = []
    go = gateway_master.directory / "go"
    slow = threading.Thread(target=lambda: answers.append(gateway_master.ask(f"/until{go}")))
    slow.start()
    wait_until(lambda: is_connected(gateway_master), lambda: "a connection")
    gateway_master.send(number)
    gateway_master.wait_log("stopping when")
    go.touch()
    assert gateway_master.wait() == 0
    slow.join()
    assert len(answers) == 1
    assert "goodbye" in gateway_master.log


def is_connected(master: RunningMaster) -> bool:
    wanted = f":{master.port():04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(wanted) and line.split()[3] == "01" for line in lines)


def test_a_second_stop_does_not_wait(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, http={"http_server_header": "stubborn"}))
    master.wait_serving()
    children = master.pids("http") + master.pids("spawner")
    master.send(signal.SIGTERM)
    master.wait_log("stopping when")
    master.send(signal.SIGTERM)
    assert master.wait() == 0
    assert [pid for pid in children if is_alive(pid)] == []


def test_a_stop_while_the_application_loads_does_not_wait_for_it(
    start_master: StartMaster,
) -> None:
    master = start_master(with_options(GATEWAY, application={"pyargv": "hang"}))
    master.wait_log("spawned uWSGI spawner")
    master.send(signal.SIGINT)
    assert master.wait() == 0


def test_reload_mercy_ends_a_gateway_that_does_not_finish(start_master: StartMaster) -> None:
    stubborn = {"http_server_header": "stubborn"}
    master = start_master(with_options(GATEWAY, http=stubborn, master={"reload_mercy": 0.1}))
    master.wait_serving()
    master.send(signal.SIGTERM)
    assert master.wait() == 0
    assert "did not finish in 0.1 s" in master.log


@pytest.mark.parametrize(
    "number",
    [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGIO, signal.SIGTTIN],
)
def test_other_signals_do_no_harm(gateway_master: RunningMaster, number: signal.Signals) -> None:
    gateway_master.send(number)
    gateway_master.wait_log(f"{number.name} has no effect")
    assert gateway_master.ask()["generation"] == 1


def test_a_killed_gateway_is_replaced(gateway_master: RunningMaster) -> None:
    victim = gateway_master.ask()["pid"]
    os.kill(victim, signal.SIGKILL)
    gateway_master.wait_log(r"http 1 .* died, killed by signal 9")
    gateway_master.wait_log(r"Respawned uWSGI http 1")
    assert gateway_master.ask()["pid"] != victim


def test_workers_of_a_killed_spawner_serve_until_new_ones_do(
    workers_master: RunningMaster,
) -> None:
    worker = workers_master.ask()["pid"]
    os.kill(workers_master.pids("spawner")[0], signal.SIGKILL)
    workers_master.wait_log(r"its workers \[.*\] keep serving")
    workers_master.wait_log(r"workers serve again: orphaned workers \[.*\] finish")
    wait_until(lambda: not is_alive(worker), lambda: workers_master.log)
    assert workers_master.ask()["pid"] != worker
    workers_master.wait_log(r"orphaned process \(pid: \d+\) exited with status 0", count=2)


def test_orphans_that_do_not_finish_are_killed(start_master: StartMaster) -> None:
    master = start_master(
        with_options(
            WORKERS,
            application={"pyargv": "stubborn"},
            workers={"worker_reload_mercy": 0.2, "processes": 1},
        )
    )
    master.wait_serving()
    os.kill(master.pids("spawner")[0], signal.SIGKILL)
    master.wait_log(r"orphaned process .* killed by signal 9")


def test_a_reload_replaces_every_process(gateway_master: RunningMaster) -> None:
    before = gateway_master.ask()
    old = gateway_master.pids("spawner") + gateway_master.pids("http")
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("generation 1 is gone")
    after = gateway_master.ask()
    assert after["generation"] == 2
    assert after["lease"] == before["lease"]
    assert [pid for pid in old if is_alive(pid)] == []


def test_a_reload_takes_new_addresses_and_leaves_old_ones(
    gateway_master: RunningMaster, tmp_path: Path
) -> None:
    gateway_master.configure({"http": {"http": [str(tmp_path / "new.sock")]}})
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("generation 1 is gone")
    assert (tmp_path / "new.sock").is_socket()
    assert gateway_master.ask_or_none() is None


@pytest.mark.parametrize(
    "broken",
    [
        {"application": {"pyargv": "fail"}},
        {"application": {"pyargv": "die"}},
        {"http": {"http": ["127.0.0.1:0"], "http_server_header": "die"}},
        {"http": {"http": ["/"]}},
        {"master": {"uid": "nobody-has-this-name"}},
    ],
)
def test_a_reload_that_fails_leaves_the_old_generation(
    gateway_master: RunningMaster, broken: Overrides
) -> None:
    before = gateway_master.ask()
    gateway_master.configure(with_options(GATEWAY, **broken))
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("reload failed, generation 1 keeps serving")
    assert gateway_master.ask() == before
    gateway_master.configure(GATEWAY)
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("generation 1 is gone")
    assert gateway_master.ask()["generation"] > 1


def test_a_file_that_cannot_be_read_fails_the_reload_only(gateway_master: RunningMaster) -> None:
    gateway_master.settings_path.write_text("{")
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("reload failed")
    assert gateway_master.ask()["generation"] == 1


def test_reloads_wished_for_during_a_reload_become_one(gateway_master: RunningMaster) -> None:
    go = gateway_master.directory / "go"
    gateway_master.configure(with_options(GATEWAY, application={"pyargv": f"wait for {go}"}))
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("spawned uWSGI spawner", count=2)
    for _ in range(5):
        gateway_master.send(signal.SIGHUP)
    # The master takes what it is told in order.
    gateway_master.send(signal.SIGUSR1)
    gateway_master.wait_log("SIGUSR1 has no effect")
    go.touch()
    gateway_master.wait_log("generation 2 is gone")
    assert len(re.findall("gracefully reloading", gateway_master.log)) == 3 - 1
    assert gateway_master.ask()["generation"] == 3


def test_reloads_in_a_row_lose_no_request(gateway_master: RunningMaster) -> None:
    lost: list[OSError] = []
    finished = threading.Event()
    answered = [0]

    def ask_on() -> None:
        while not finished.is_set():
            try:
                gateway_master.ask()
                answered[0] += 1
            except OSError as error:
                lost.append(error)
            finished.wait(0.005)  # the CPU is for the generations

    clients = [threading.Thread(target=ask_on) for _ in range(3)]
    for client in clients:
        client.start()
    for number in range(5):
        gateway_master.send(signal.SIGHUP)
        gateway_master.wait_log(f"generation {number + 2} serves")
    finished.set()
    for client in clients:
        client.join()
    assert lost == []
    assert answered[0] > 10


def test_exit_on_reload_stops(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, master={"exit_on_reload": True}))
    master.wait_serving()
    master.send(signal.SIGHUP)
    assert master.wait() == 0


def test_without_die_on_term_sigterm_reloads(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, master={"die_on_term": False}))
    master.wait_serving()
    master.send(signal.SIGTERM)
    master.wait_log("generation 1 is gone")
    assert master.ask()["generation"] == 2


def test_children_notice_that_the_master_was_killed(gateway_master: RunningMaster) -> None:
    children = gateway_master.pids("http") + gateway_master.pids("spawner")
    gateway_master.process.kill()
    gateway_master.wait()
    wait_until(lambda: not any(map(is_alive, children)), lambda: "the end of the children")


def test_a_stop_removes_socket_and_pid_files_with_vacuum(
    start_master: StartMaster, tmp_path: Path
) -> None:
    options = {"master": {"pidfile": "pid"}, "sockets": {"vacuum": True}}
    master = start_master({"http": {"http": ["a.sock"]}, **options})
    master.wait_serving()
    assert (tmp_path / "a.sock").is_socket()
    assert (tmp_path / "pid").read_text() == f"{master.process.pid}\n"
    master.send(signal.SIGTERM)
    assert master.wait() == 0
    assert not (tmp_path / "a.sock").exists()
    assert not (tmp_path / "pid").exists()


def test_umask_applies_to_sockets(start_master: StartMaster, tmp_path: Path) -> None:
    master = start_master({"http": {"http": ["a.sock"]}, "sockets": {"umask": 0o027}})
    master.wait_serving()
    assert (tmp_path / "a.sock").stat().st_mode & 0o777 == 0o750


def test_children_are_out_of_reach_of_a_terminal(gateway_master: RunningMaster) -> None:
    master_group = os.getpgid(gateway_master.process.pid)
    children = gateway_master.pids("http") + gateway_master.pids("spawner")
    assert master_group not in [os.getpgid(pid) for pid in children]


def test_a_failed_reload_gives_its_workers_time_to_finish(start_master: StartMaster) -> None:
    both = with_options(GATEWAY, sockets={"http_socket": ["@workers"]})
    master = start_master(both)
    master.wait_serving()
    master.configure(with_options(both, http={"http_server_header": "die"}))
    master.send(signal.SIGHUP)
    master.wait_log("reload failed")
    master.wait_log("generation 2 is gone")
    spawner = master.pids("spawner")[-1]
    assert not is_alive(spawner)
    assert "did not finish" not in master.log
    assert master.ask()["generation"] == 1


def test_a_reload_names_options_that_only_a_restart_changes(
    gateway_master: RunningMaster,
) -> None:
    gateway_master.configure(with_options(GATEWAY, master={"pidfile": "late"}))
    gateway_master.send(signal.SIGHUP)
    gateway_master.wait_log("only a restart changes pidfile")


def test_several_gateways_share_the_work(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, http_corerouter={"processes": 3}))
    master.wait_serving()
    assert len(master.pids("http")) == 3


def test_a_socket_of_systemd_is_served(start_master: StartMaster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as activated:
        port = activated.getsockname()[1]
        master = start_master({"sockets": {"protocol": "http"}}, activated=activated.fileno())
        master.wait_serving()
    assert master.port() == port
    assert master.ask()["worker"] == 1


def test_a_descriptor_of_systemd_that_is_not_open_is_an_error(start_master: StartMaster) -> None:
    master = start_master(GATEWAY, LISTEN_FDS="1", LISTEN_PID="self")
    assert master.wait() == 1
    assert "LISTEN_FDS: descriptor 3 is not open" in master.log


def test_a_bug_in_the_master_takes_its_children_along(start_master: StartMaster) -> None:
    master = start_master(GATEWAY, FAKE_BUG="1")
    master.wait_serving()
    children = master.pids("http") + master.pids("spawner")
    master.send(signal.SIGHUP)
    assert master.wait() == 1
    assert "a bug in the master" in master.log
    assert "ZeroDivisionError" in master.log
    wait_until(lambda: not any(map(is_alive, children)), lambda: "the end of the children")
