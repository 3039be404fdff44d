"""Commands at certain times, and programs beside the application, with real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Start
from .processes import APPS, PATIENCE, Uwgate, free_port

SECRET = "aes-256-gcm:sixteen letters.."
# No lord may lose its lordship because this machine is busy for a while.
TIMES = ("--legion-freq", "0.5", "--legion-tolerance", "6")
# Says its pid, and stays until it is told to end; a shell stays as well, as in `a; b`.
STAY = "exec sleep 1000"


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def pids(folder: Path) -> Iterator[Path]:
    """A file of pids; whoever is in it is killed in the end."""
    path = folder / "pids"
    yield path
    for pid in lines(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def new(program: Uwgate, path: Path, count: int) -> int:
    """The pid in the last line, when there are so many."""
    program.wait_for(lambda: len(lines(path)) >= count, f"{count} pids in {path.name}")
    assert len(lines(path)) == count
    return int(lines(path)[-1])


def test_a_daemon_is_started_again_when_it_dies_or_after_a_reload_and_ends_at_the_end(
    uwgate: Start, pids: Path
) -> None:
    daemon = f"echo $$ >> {pids}; {STAY}"
    program = uwgate("--http", "127.0.0.1:0", "--need-app=false", "--attach-daemon", daemon)
    program.wait_until_it_serves()
    first = new(program, pids, 1)
    os.kill(first, signal.SIGTERM)
    second = new(program, pids, 2)
    os.kill(program.pid, signal.SIGHUP)
    third = new(program, pids, 3)
    assert not is_alive(second)
    # Who dies with the attendant is neither left behind nor there twice.
    (attendant,) = program.wait_for_processes("attendant", 1)
    os.kill(attendant, signal.SIGKILL)
    fourth = new(program, pids, 4)
    program.wait_for(lambda: not is_alive(third), "end of the third")
    assert program.stop() == 0
    assert not is_alive(fourth)


def test_an_instance_needs_nothing_but_commands(uwgate: Start) -> None:
    program = uwgate("--cron", "* * * * * echo ran")
    program.wait_for_log("^ran$")
    program.wait_for_log("generation 1 serves its daemons")
    assert program.stop() == 0


def test_a_control_daemon_takes_the_instance_with_it(uwgate: Start, folder: Path) -> None:
    waits = f"while [ ! -e {folder}/end ]; do sleep 0.1; done"
    program = uwgate("--attach-control-daemon", waits)
    program.wait_for_log("spawned uWSGI attendant")
    (folder / "end").touch()
    assert program.wait() == 0
    assert f"{waits}: ended, status 0: stopping" in program.log


@pytest.mark.parametrize("option", ["smart-attach-daemon", "smart-attach-daemon2"])
def test_a_smart_daemon_goes_on_over_reload_and_stop_and_is_replaced_when_it_is_dead(
    uwgate: Start, pids: Path, folder: Path, option: str
) -> None:
    path = folder / "smart.pid"
    stay = STAY if option.endswith("2") else f"{{ sleep 1000 & echo $! > {path}; }}"
    note = f"echo $$ >> {pids}; " if option.endswith("2") else ""
    value = f"{path},1 {note}{stay}"
    options = (f"--{option}", value)
    program = uwgate(*options, name="one")
    program.wait_until_it_serves()
    program.wait_for(lambda: lines(path) != [], "pid file")
    (first,) = map(int, lines(path))
    os.kill(program.pid, signal.SIGHUP)
    program.wait_for_log("generation 1 is gone")
    os.kill(program.pid, signal.SIGINT)  # not ``stop``, which leaves nobody alive
    assert program.wait() == 0
    program = uwgate(*options, name="two")
    program.wait_until_it_serves()
    assert is_alive(first)
    os.kill(first, signal.SIGKILL)
    program.wait_for(lambda: lines(path) not in ([], [str(first)]), "another one")
    (second,) = map(int, lines(path))
    os.kill(program.pid, signal.SIGINT)
    assert program.wait() == 0
    assert is_alive(second)
    os.kill(second, signal.SIGKILL)


def test_a_command_runs_at_once_if_the_minute_is_right_and_never_twice_in_it(
    uwgate: Start, folder: Path
) -> None:
    out = folder / "out"
    program = uwgate(
        *("--env", "WHO=cron", "--chdir", str(folder)),
        *("--cron", "-1 -1 -1 -1 -1 echo $WHO $(date +%s) >> out; pwd"),
    )
    program.wait_for(out.exists, "first run")
    program.wait_for_log(f"^{folder}$")
    (attendant,) = program.wait_for_processes("attendant", 1)
    os.kill(attendant, signal.SIGKILL)
    program.wait_for_log("attendant .* died")
    program.wait_for_processes("attendant", 1)
    os.kill(program.pid, signal.SIGHUP)
    program.wait_for_log("generation 1 is gone")
    words = lines(out)
    assert words[::2] == ["cron"] * (len(words) // 2)
    minutes = [int(moment) // 60 for moment in words[1::2]]
    assert len(set(minutes)) == len(minutes)


def member(ports: tuple[int, int], number: int) -> list[str]:
    argv = ["--legion", f"ring 127.0.0.1:{ports[number]} {number + 1} {SECRET}", *TIMES]
    return [*argv, "--legion-node", f"ring 127.0.0.1:{ports[1 - number]}"]


def test_what_belongs_to_the_lord_runs_on_the_lord_alone(
    uwgate: Start, pids: Path, folder: Path
) -> None:
    ports = free_port(), free_port()
    out, path = folder / "out", folder / "smart.pid"
    own = (
        *("--legion-attach-daemon", f"ring echo $$ >> {pids}; echo $UWGATE_LEGION_TERM; {STAY}"),
        *("--legion-smart-attach-daemon2", f"ring {path},1 exec sleep 1000"),
        *("--legion-cron", f"ring * * * * * echo cron >> {out}"),
    )
    high = uwgate(*member(ports, 1), *own, name="high")
    high.wait_for_log("spawned uWSGI attendant")
    high.wait_for_log("legion ring: node")
    assert lines(pids) == []  # two nodes are needed
    low = uwgate(*member(ports, 0), name="low")
    high.wait_for_log("this node is the lord now")
    first = new(high, pids, 1)
    high.wait_for(lambda: lines(path) != [], "pid file")
    (smart,) = map(int, lines(path))
    term = high.wait_for_log(r"becoming lord in term (\d+)")[1]
    high.wait_for_log(f"^{term}$")
    # The majority is gone: so is the lordship, and what belongs to it.
    low.wait_until_it_serves()
    os.kill(low.pid, signal.SIGTERM)
    high.wait_for_log("not lord any more")
    high.wait_for(lambda: not is_alive(first) and not is_alive(smart), "end of the daemons")
    assert len(lines(pids)) == 1
    assert low.wait() == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--cron", "1 2 3 /bin/true"), "cron: '1 2 3 /bin/true': expected MINUTE HOUR"),
        (("--cron", "61 * * * * true"), "cron: minute '61': expected 0 to 59"),
        (("--legion-cron", "ring * * * * * true"), "legion-cron: there is no legion ring"),
        (("--attach-daemon2", "cmd=true,legion=x"), "attach-daemon2: there is no legion x"),
        (("--attach-daemon2", "cmd=true,stdin=1"), "stdin= is not offered: a daemon has no"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(
    uwgate: Start, options: tuple[str, ...], text: str
) -> None:
    program = uwgate(*options)
    assert program.wait() == 1
    assert text in program.log


def test_commands_run_as_the_user_of_the_instance_or_as_their_own(
    uwgate: Start, folder: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    who = "$(id -u):$(id -g):$(id -G)"
    program = uwgate(
        *("--uid", "65534", "--gid", "65534"),
        *("--attach-daemon", f"echo plain {who}; {STAY}", "--cron", f"* * * * * echo cron {who}"),
        *("--attach-daemon2", f"cmd=echo own {who}; {STAY},uid=65533,gid=65532"),
    )
    program.wait_for_log("^plain 65534:65534:65534$")
    program.wait_for_log("^cron 65534:65534:65534$")
    program.wait_for_log("^own 65533:65532:65532$")
    # As they are the user's, so are they killed with the attendant.
    (attendant,) = program.wait_for_processes("attendant", 1)
    os.kill(attendant, signal.SIGKILL)
    program.wait_for(lambda: program.log.count("plain 65534") == 2, "another one")


def test_a_daemon_that_does_not_want_to_end_is_killed_with_all_it_started(
    uwgate: Start, pids: Path
) -> None:
    stubborn = f"trap '' TERM; sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; wait; sleep 1000"
    program = uwgate(
        *("--reload-mercy", "1"),
        *("--attach-daemon", stubborn),
    )
    program.wait_until_it_serves()
    program.wait_for(lambda: len(lines(pids)) == 2, "two pids")
    child, shell = map(int, lines(pids))
    os.kill(program.pid, signal.SIGINT)
    assert program.wait() == 0
    assert not is_alive(child)
    assert not is_alive(shell)


def test_a_daemon_ends_with_a_master_that_is_killed(uwgate: Start, pids: Path) -> None:
    program = uwgate(
        *("--attach-daemon", f"echo $$ >> {pids}; {STAY}"),
    )
    program.wait_until_it_serves()
    daemon = new(program, pids, 1)
    os.kill(program.pid, signal.SIGKILL)
    program.popen.wait()
    deadline = time.monotonic() + PATIENCE
    while is_alive(daemon):
        assert time.monotonic() < deadline, program.log
        time.sleep(0.01)


def test_another_configuration_lets_commands_run_on_that_the_old_one_began(
    uwgate: Start, pids: Path, folder: Path
) -> None:
    config = folder / "app.ini"
    text = "[uwsgi]\nhttp = 127.0.0.1:0\nneed-app = false\n"
    waits = f"while [ ! -e {folder}/go ]; do sleep 0.1; done; echo done"
    config.write_text(f"{text}cron = * * * * * {waits}\n")
    program = uwgate(str(config))
    (first,) = program.wait_for_processes("attendant", 1)
    config.write_text(f"{text}attach-daemon = echo $$ >> {pids}; {STAY}\n")
    os.kill(program.pid, signal.SIGHUP)
    daemon = new(program, pids, 1)
    assert first in program.wait_for_processes("attendant", 2)
    (folder / "go").touch()
    program.wait_for_log("^done$")
    program.wait_for(lambda: not is_alive(first), "end of the first attendant")
    assert is_alive(daemon)
    config.write_text(text)
    os.kill(program.pid, signal.SIGHUP)
    program.wait_for(lambda: not is_alive(daemon), "end of the daemon")
    program.wait_for_processes("attendant", 0)
    config.write_text(f"{text}cron = 1 2 3 4\n")
    os.kill(program.pid, signal.SIGHUP)
    program.wait_for_log(r"app.ini:4: cron: '1 2 3 4': expected MINUTE")
    program.wait_for_log("reload failed")


def test_an_attendant_that_dies_again_and_again_delays_no_stop(uwgate: Start, pids: Path) -> None:
    program = uwgate(
        *("--reload-mercy", f"{2 * PATIENCE}"),
        *("--attach-daemon", f"echo $$ >> {pids}; {STAY}"),
    )
    for _ in range(6):  # the pause before the next one is some seconds then
        (attendant,) = program.wait_for_processes("attendant", 1)
        before = len(program.log)
        os.kill(attendant, signal.SIGKILL)
        program.wait_for_log("DAMN ! attendant", start=before)
    assert program.stop() == 0  # which does not wait for as long as the mercy


def test_an_address_is_asked_and_the_log_has_the_answer(uwgate: Start) -> None:
    port = free_port()
    program = uwgate(
        *("--http", f"127.0.0.1:{port}", "--wsgi-file", str(APPS / "legionary.py")),
        *("--curl-cron", f"* * * * * http://127.0.0.1:{port}/it's?a=b"),
        *("--curl-cron", "* * * * * http://127.0.0.1:1/nobody"),
    )
    program.wait_for_log("127.0.0.1:1/nobody: .*refused")
    program.wait_for_log("127.0.0.1:1/nobody: ended after .* status 1")
    program.wait_for_log(r"a=b: ended after \d+ s, status 0")
    program.wait_for_log(r"GET /it's\?a=b")
