"""An application that leaves a trace of each request in a file, and does as it is told."""

import os
import time
from urllib.parse import parse_qs

BORN = f"{os.getpid()}-{time.monotonic_ns()}"  # once in each spawner: a generation
LARGE = b"0123456789abcde\n" * 3840  # 60 KiB


def application(environ, start_response):
    path = environ["PATH_INFO"]
    trace = os.environ.get("TRACE")
    if trace:
        with open(trace, "a") as file:
            file.write(f"{environ['REQUEST_METHOD']} {path}\n")
    options = parse_qs(environ["QUERY_STRING"])
    body = PAGES.get(path, page)(environ, options)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def page(environ, options):
    return b"ok\n"


def born(environ, options):
    return BORN.encode()


def sleep(environ, options):
    marker = options.get("marker")
    if marker:
        with open(marker[0], "w") as file:
            file.write(str(os.getpid()))
    time.sleep(float(options["seconds"][0]))
    return b"slept\n"


def large(environ, options):
    return LARGE


def size(environ, options):
    total = 0
    while piece := environ["wsgi.input"].read(65536):
        total += len(piece)
    return str(total).encode()


def kill(environ, options):
    os.kill(os.getpid(), 9)
    return b"never\n"


def text(environ, options):
    return "a str"


def error(environ, options):
    raise RuntimeError("as asked for")


PAGES = {
    "/born": born,
    "/sleep": sleep,
    "/large": large,
    "/size": size,
    "/kill": kill,
    "/error": error,
}
