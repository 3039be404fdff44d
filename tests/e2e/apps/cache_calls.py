"""Calls what the path names of the module uwsgi, with the arguments in the body, as JSON."""

import json

import uwsgi

FORKED_WITH = uwsgi.cache_set("import", "time") if hasattr(uwsgi, "cache_set") else None


def application(environ, start_response):
    arguments = json.loads(environ["wsgi.input"].read() or b"[]")
    try:
        result = repr(getattr(uwsgi, environ["PATH_INFO"][1:])(*arguments))
    except Exception as error:
        result = type(error).__name__
    body = result.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
