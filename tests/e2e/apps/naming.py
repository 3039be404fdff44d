"""Says that it ran; ``/name?field=value`` sends that field, too."""

from __future__ import annotations

from urllib.parse import unquote


def application(environ, start_response):
    field, _, value = unquote(environ["QUERY_STRING"]).partition("=")
    environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    fields = [("Content-Type", "text/x-application"), ("X-Ran", "yes")]
    if path == "/name":
        fields.append((field, value))
    if path == "/name-streamed":
        fields.append((field, value))
        start_response("200 OK", fields)
        return (b"x" * 20000 for _ in range(10))
    start_response("200 OK", fields)
    return [b"application: " + path.encode("latin-1")]
