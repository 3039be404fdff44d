"""Real processes for tests: start, watch, stop; always by pid.

``Process`` runs any program with its log in a file. ``Uwgate`` is the program under test:
it is asked for port 0 and says in its log what it bound.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import uwgate
from tests import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

APPS = Path(__file__).parent / "apps"
PATIENCE = 120.0  # seconds; only a failing test waits this long
LEAVING = 10.0  # seconds; who was killed is not gone at once, though nothing can keep it
PAGE = resource.getpagesize()

Address = tuple[str, int] | str  # a str is the path of a UNIX socket


class Process:
    """A program that runs for a test, in the foreground, in its own folder."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        name: str = "peer",
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        stdin: IO[str] | int = subprocess.DEVNULL,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log_path = folder / f"{name}.log"
        with self.log_path.open("ab") as log:
            self._begin = log.tell()  # behind the log of an earlier one of this name
            self.popen = subprocess.Popen(
                self.argv,
                cwd=folder,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                process_group=0,
                pass_fds=pass_fds,
            )
        self.pid = self.popen.pid
        self.survivors: list[str] = []  # descendants that ``stop`` had to kill
        logs.keep(name, self.popen, lambda: self.log)

    @property
    def log(self) -> str:
        """Everything that the program has written."""
        with self.log_path.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode("utf-8", "replace")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until ``condition`` holds; fail with the log if it never does."""
        deadline = time.monotonic() + PATIENCE
        pause = 0.01
        while True:
            status = self.popen.poll()  # first: the last thing that it did may be what is meant
            if condition():
                return
            assert status is None, f"{self.name} exited with {status}:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.name}: no {what}:\n{self.log}"
            time.sleep(pause)
            pause = min(1.2 * pause, 0.1)  # looking costs something, and what takes long may wait

    def wait_for_log(self, pattern: str, *, start: int = 0) -> re.Match[str]:
        """Wait for a line that matches; ``start`` is how many characters to pass over."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            whole = self.log[start:].rpartition("\n")[0]  # of the last line only half may be there
            match = re.search(pattern, whole + "\n", re.MULTILINE)
            if match:
                found.append(match)
            return bool(found)

        self.wait_for(look, f"line like {pattern!r}")
        return found[0]

    def wait_for_socket(self, address: Address) -> None:
        """Wait until somebody accepts at ``address``."""
        self.wait_for(lambda: accepts(address), f"listener at {address}")

    def wait(self) -> int:
        """The exit status, when the program has ended by itself."""
        try:
            return self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self.log}") from None

    def interrupt_group(self) -> None:
        """SIGINT for its whole process group, as the terminal's Ctrl-C does."""
        os.killpg(self.pid, signal.SIGINT)

    def stop(self, number: int = signal.SIGINT, *, grace: float = 0.0) -> int:
        """End the program; returns its exit status. What it leaves behind is killed.

        ``grace``: the seconds that what it leaves behind has to end by itself.
        """
        children = tree(self.pid)
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.wait()
        finally:
            if self.popen.poll() is None:
                self.popen.kill()
                self.popen.wait()
            # A grandchild that outlives its parent would hold the log and the sockets.
            left = still(children, patience=grace)
            self.survivors += [f"{pid} {command(pid)}" for pid in left]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class Uwgate(Process):
    """A running uwgate. ``address`` is the one TCP address that it bound.

    At the end it has to stop with status 0 and a log without a traceback, unless
    ``tracebacks_expected`` is set.

    Who dies before the first generation serves is no casualty but a failed start, and who is told
    to stop before that has served nobody. So whatever asks for something that is only there later
    waits for that moment; ``start_uwgate`` alone does not.
    """

    tracebacks_expected = False
    _address: tuple[str, int] | None = None
    _serves = False

    def wait_until_it_serves(self) -> None:
        """Wait until the first generation is complete: all its processes are ready."""
        if not self._serves:
            self.wait_for_log("generation 1 serves")
            self._serves = True

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, as its log says; waits until it serves there."""
        if self._address is None:
            line = self.wait_for_log(r"127\.0\.0\.1:([1-9]\d*)\b")
            self.wait_until_it_serves()
            self._address = ("127.0.0.1", int(line[1]))
        return self._address

    def wait_for_socket(self, address: Address) -> None:
        """Wait until it serves, and somebody accepts at ``address``."""
        self.wait_until_it_serves()
        super().wait_for_socket(address)

    def processes(self, kind: str) -> list[int]:
        """The pids of its children of a kind: ``http``, ``spawner``, ``worker``."""
        return [
            pid
            for pid in sorted(tree(self.pid))
            if re.search(rf"\buwgate[: ]+{kind}\b", command(pid))
        ]

    def wait_for_processes(self, kind: str, count: int) -> list[int]:
        """Wait until it serves and that many children of a kind run; returns their pids."""
        return self.wait_for_others(kind, count, instead_of=())

    def wait_for_others(self, kind: str, count: int, *, instead_of: Iterable[int]) -> list[int]:
        """Wait until that many of a kind run and none of those, which were killed, is left.

        Just after ``kill`` they are all still there: their number alone says nothing.
        """
        gone = set(instead_of)
        found: list[int] = []

        def are_there() -> bool:
            # Once, for it may look otherwise the next moment: who starts another program is two.
            found[:] = self.processes(kind)
            return len(found) == count and not gone.intersection(found)

        self.wait_until_it_serves()
        self.wait_for(are_there, f"{count} {kind} processes")
        return found


def start_uwgate(
    *arguments: str, folder: Path, env: Mapping[str, str] | None = None, name: str = "uwgate"
) -> Uwgate:
    """Start the program under test with ``arguments``; the test's own copy, wherever it is."""
    source = str(Path(uwgate.__file__).parents[1])
    return Uwgate(
        [sys.executable, "-m", "uwgate", *arguments],
        folder=folder,
        name=name,
        env={"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
    )


@contextlib.contextmanager
def running_uwgate(
    *arguments: str, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Uwgate]:
    """A uwgate for the length of a block, with the checks at its end."""
    program = start_uwgate(*arguments, folder=folder, env=env)
    try:
        yield program
    except BaseException:
        program.stop()
        raise
    finish_uwgate(program)


def finish_uwgate(program: Uwgate) -> None:
    """Stop it once it serves, and see that it ends well and leaves nothing behind."""
    program.wait_until_it_serves()
    status = program.stop(grace=LEAVING)
    assert status == 0, f"uwgate ended with {status}:\n{program.log}"
    assert not program.survivors, f"left behind: {program.survivors}\n{program.log}"
    assert program.tracebacks_expected or "Traceback" not in program.log, program.log


def accepts(address: Address) -> bool:
    """Does somebody listen there?"""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses, for peers that cannot be asked for port 0.

    Below the range from which the kernel takes ports for outgoing connections, so that
    none of those takes it before the peer does. No other test gets it, in no process of this
    machine, as long as this process runs.
    """
    for _ in range(4000):
        port = random.randrange(20000, 32000)
        reservation = socket.socket(socket.AF_UNIX)
        with socket.socket(type=kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                reservation.bind(f"\0uwgate-test-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                reservation.close()
                continue
        _reservations.append(reservation)
        return port
    raise AssertionError("no free port")


_reservations: list[socket.socket] = []


def inhabitants(folder: Path) -> list[int]:
    """The processes whose working directory is below ``folder``."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and Path(os.readlink(f"/proc/{entry}/cwd")).is_relative_to(folder):
                found.append(int(entry))
    return found


def vacate(folder: Path, *, patience: float = PATIENCE) -> None:
    """See that nobody is left who works in ``folder``; who does not go is killed.

    Raises:
        AssertionError: somebody had to be killed.
    """
    deadline = time.monotonic() + patience
    while (left := inhabitants(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    names = [f"{pid} {command(pid)}" for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"left behind: {names}"


def tree(pid: int) -> dict[int, int]:
    """The living descendants of a process: when each was born, by its pid."""
    parents: dict[int, int] = {}
    births: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(int(entry))):
            parents[int(entry)] = int(fields[1])
            births[int(entry)] = int(fields[19])
    found: dict[int, int] = {}
    wanted = {pid}
    while wanted:
        wanted = {child for child, parent in parents.items() if parent in wanted}
        found.update((child, births[child]) for child in wanted)
    return found


def still(processes: Mapping[int, int], *, patience: float) -> list[int]:
    """Who of these (as ``tree`` has them) still lives after a while, which ends with the last."""
    deadline = time.monotonic() + patience
    while left := [pid for pid, born in processes.items() if birth(pid) == born]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return left


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] in "ZX" else fields


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process does nothing for the length of a block, from its first moment on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + PATIENCE
        while stat(pid)[:1] not in (["T"], []):
            assert time.monotonic() < deadline, f"{pid} does not stop"
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def birth(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None if it is gone."""
    fields = stat(pid)
    return int(fields[19]) if fields else None


def command(pid: int) -> str:
    """The process title."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descriptors(pid: int) -> list[str]:
    """What each of a process's descriptors is, such as ``socket:[4711]`` or a path."""
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return found


def rss(pid: int) -> int:
    """Resident memory of one process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def peak(pid: int) -> int:
    """The most resident memory that one process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak(pid: int) -> None:
    """Let ``peak`` begin anew, from what the process has now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
