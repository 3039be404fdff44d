"""Says which node it is; holds a request as long as it is told to."""

import os
import time
from urllib.parse import parse_qs

NODE = os.environ.get("NODE", "").encode()


def application(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        hold(parse_qs(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(NODE)))])
    return [NODE]


def hold(options):
    """Make a file, and wait until it is gone."""
    path = options["file"][0]
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while os.path.exists(path):
        time.sleep(0.01)
