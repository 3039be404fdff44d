"""A client that keeps requesting: prints when it asked, how long that took, and who answered.

    python caller.py HOST PORT

One line for each request: seconds of CLOCK_MONOTONIC, seconds, node (``-``: nobody).
"""

from __future__ import annotations

import http.client
import json
import sys
import time

PATIENCE = 0.3  # seconds for one request
PAUSE = 0.05  # seconds between two


def ask(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return str(json.loads(connection.getresponse().read())["node"])
    except (OSError, http.client.HTTPException, ValueError):
        return "-"
    finally:
        connection.close()


def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    while True:
        began = time.monotonic()
        node = ask(host, port)
        print(f"{began:.3f} {time.monotonic() - began:.3f} {node}", flush=True)  # noqa: T201  # its output
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
