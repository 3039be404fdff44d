"""A child that obeys the contract of the spawner; its workers serve the http-sockets."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from tests.master.fake_gateway import open_listener, serve
from uwgate.conf import control
from uwgate.conf.start import Start


def run_worker(start: Start, number: int) -> None:
    stopping: list[int] = []
    wake_read, wake_write = os.pipe()

    def stop(*_: object) -> None:
        stopping.append(1)
        os.write(wake_write, b".")

    signal.signal(signal.SIGHUP, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    listeners = [open_listener(one) for one in start.listeners]
    served = [
        sock for sock, one in zip(listeners, start.listeners, strict=True) if one.role != "lease"
    ]
    identity: dict[str, object] = {
        "pid": os.getpid(),
        "generation": start.generation,
        "worker": number,
    }
    while not stopping:
        readable, _, _ = select.select(
            [start.life_fd, wake_read, *(one.fileno() for one in served)], [], []
        )
        if start.life_fd in readable:
            os._exit(0)
        for listener in served:
            if listener.fileno() in readable:
                try:
                    client, _ = listener.accept()
                except BlockingIOError:
                    continue
                serve(client, identity)
    if start.settings.application.pyargv == "stubborn":
        time.sleep(60)
    os._exit(0)


def main() -> None:
    start = Start.from_memory_file(int(sys.argv[1]))
    link = socket.socket(fileno=start.control_fd)
    behaviour = start.settings.application.pyargv or ""
    if behaviour == "fail":
        reason = "Traceback (most recent call last):\nImportError: no app here"
        os.write(2, f"{reason}\n".encode())
        link.send(control.encode("failed", reason=reason, code=22))
        sys.exit(22)
    if behaviour == "die":
        sys.exit(3)
    if behaviour == "hang":
        time.sleep(60)
    if behaviour.startswith("wait for "):
        while not os.path.exists(behaviour.removeprefix("wait for ")):
            time.sleep(0.01)
    workers: dict[int, int] = {}
    # Else a worker that is told to end before it knows how to would not end well.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    for number in range(1, start.settings.workers.processes + 1):
        pid = os.fork()
        if pid == 0:
            link.close()
            run_worker(start, number)
        workers[pid] = number
        link.send(control.encode("worker", worker=number, pid=pid))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    link.send(control.encode("ready"))
    readable, _, _ = select.select([link.fileno(), start.life_fd], [], [])
    packet = link.recv(control.MAX_MESSAGE) if link.fileno() in readable else b""
    while packet and control.decode(packet)["type"] in ("pause", "resume"):
        os.write(2, b"spawner: " + packet + b"\n")
        readable, _, _ = select.select([link.fileno(), start.life_fd], [], [])
        packet = link.recv(control.MAX_MESSAGE) if link.fileno() in readable else b""
    graceful = not packet or control.decode(packet)["type"] == "drain"
    for pid in workers:
        os.kill(pid, signal.SIGHUP if graceful else signal.SIGKILL)
    for pid in workers:
        _, status = os.waitpid(pid, 0)
        if packet:
            link.send(control.encode("gone", worker=workers[pid], pid=pid, status=status))


if __name__ == "__main__":
    main()
