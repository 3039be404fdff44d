"""An application with a page that says how it is."""

import os


def application(environ, start_response):
    is_asked = environ["PATH_INFO"] == "/status" and environ["HTTP_HOST"] == "shop.example"
    status = os.environ.get("HEALTH", "200 OK") if is_asked else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
