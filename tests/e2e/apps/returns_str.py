"""An application with the mistake that everybody makes once."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"bytes\n"] if environ["PATH_INFO"] == "/bytes" else ["text\n"]
