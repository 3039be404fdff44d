"""Writes down which requests begin and end here, and answers with who it is."""

import os
import time
from urllib.parse import parse_qs

NODE = os.environ["NODE"]
JOURNAL = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def application(environ, start_response):
    asked = parse_qs(environ["QUERY_STRING"])
    name = asked["id"][0]
    os.write(JOURNAL, f"begin {name} {NODE} {os.getpid()} {time.monotonic()}\n".encode())
    body = environ["wsgi.input"].read()
    time.sleep(int(asked["ms"][0]) / 1000)
    os.write(JOURNAL, f"end {name} {NODE} {os.getpid()} {time.monotonic()}\n".encode())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{NODE} {name} {len(body)}\n".encode()]
