"""A child that obeys the contract of a gateway, and answers each request with who it is."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
import time

from uwgate.conf import control
from uwgate.conf.start import Listener, Start


def serve(client: socket.socket, identity: dict[str, object]) -> None:
    with client:
        client.settimeout(60)
        request = b""
        while b"\r\n\r\n" not in request:
            data = client.recv(4096)
            if not data:
                return
            request += data
        path = request.split(b" ")[1].decode()
        while path.startswith("/until/") and not os.path.exists(path.removeprefix("/until")):
            time.sleep(0.01)
        if path == "/noise":
            os.write(2, b"noise\n")
        body = json.dumps(identity).encode()
        client.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)


def main() -> None:
    start = Start.from_memory_file(int(sys.argv[1]))
    behaviour = start.settings.http.http_server_header or ""
    if behaviour == "die":
        sys.exit(7)
    link = socket.socket(fileno=start.control_fd)
    listeners = [open_listener(one) for one in start.listeners]
    identity: dict[str, object] = {
        "pid": os.getpid(),
        "generation": start.generation,
        "instance": start.instance,
        "lease": start.lease_address,
    }
    link.send(control.encode("ready"))
    while True:
        readable, _, _ = select.select(
            [link.fileno(), start.life_fd, *(one.fileno() for one in listeners)], [], []
        )
        if link.fileno() in readable:
            packet = link.recv(control.MAX_MESSAGE)
            if not packet or control.decode(packet)["type"] == "stop":
                os._exit(0)
            break
        if start.life_fd in readable:
            os._exit(0)
        accept(listeners, identity)
    if behaviour == "stubborn":
        time.sleep(60)
    accept(listeners, identity)
    # The interpreter waits for the threads: running requests end before the process does.


def open_listener(listener: Listener) -> socket.socket:
    return socket.socket(fileno=listener.fd)


def accept(listeners: list[socket.socket], identity: dict[str, object]) -> None:
    for listener in listeners:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            continue
        threading.Thread(target=serve, args=(client, identity)).start()


if __name__ == "__main__":
    main()
