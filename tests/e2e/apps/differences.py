"""An application that does what uWSGI and uwgate answer differently (docs/from-uwsgi.md)."""

import sys


def application(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)


def leave(environ, start_response):
    sys.exit(3)


def correct_itself(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ValueError("noticed late")
    except ValueError:
        start_response("503 Service Unavailable", [("X-Late", "yes")], sys.exc_info())
    return [b"late\n"]


def split(environ, start_response):
    start_response("200 OK", [("X-Split", "a\r\nX-Injected: b")])
    return [b"split\n"]


def body_for_head(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"a body, whatever the method\n"]


def nothing_but_a_body(environ, start_response):
    start_response("204 No Content", [])
    return [b"a body\n"]


def read(environ, start_response):
    source = environ["wsgi.input"]
    pieces = [source.read(0), source.readline(2), source.read(3), source.read()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"|".join(pieces)]


def rest_of_file(environ, start_response):
    file = open(__file__, "rb")  # noqa: SIM115 - the server closes it
    file.seek(4)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](file)


kept = []


def keep(environ, start_response):
    kept.append(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [",".join(one.get("QUERY_STRING", "gone") for one in kept).encode()]


def show(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    lines = [f"{key}={value!r}" for key, value in environ.items()]
    return ["\n".join([*lines, f"executable={sys.executable!r}"]).encode()]


def break_off(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"x" * 100_000
    raise RuntimeError("in the middle")


PAGES = {
    "/exit": leave,
    "/late": correct_itself,
    "/split": split,
    "/head": body_for_head,
    "/204": nothing_but_a_body,
    "/read": read,
    "/file": rest_of_file,
    "/keep": keep,
    "/show": show,
    "/b": show,
    "/broken": break_off,
}
