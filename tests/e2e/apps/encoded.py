"""An application that asks the gateway to encode its answers; the query string says how."""

from urllib.parse import parse_qs

TEXT = b"All work and no play makes Jack a dull boy.\n" * 100


def application(environ, start_response):
    """``/whole``, ``/stream`` and ``/large``, ``?encoding=`` for uWSGI-Encoding, ``&length=1``.

    ``/stream`` sends its second half only when the request's body has come.
    """
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    headers = [("Content-Type", "text/plain"), ("ETag", '"jack"')]
    headers += [("uWSGI-Encoding", name) for name in query.get("encoding", ())]
    if "length" in query:
        headers.append(("Content-Length", str(len(TEXT))))
    start_response("200 OK", headers)
    if path == "/stream":
        return stream(environ)
    if path == "/large":
        return large()
    return [TEXT]


def stream(environ):
    yield TEXT[:1000]
    assert environ["wsgi.input"].read(1) == b"x"
    yield TEXT[1000:]


def large():
    for number in range(64):
        yield (b"%08d" % number) * 32768
