"""Functions for other instances; /NODE?function calls one there."""

import uwsgi

uwsgi.register_rpc("join", lambda *given: b"+".join(given))
uwsgi.register_rpc("large", lambda: b"x" * 100_000)


def application(environ, start_response):
    function, *arguments = environ["QUERY_STRING"].encode().split(b",")
    result = uwsgi.rpc(environ["PATH_INFO"].encode(), function, *arguments)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [result]
