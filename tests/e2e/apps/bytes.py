"""Large bodies: ``/count`` says how much it was sent, ``/zeros?N`` answers with N bytes."""

PIECE = bytes(65536)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/count":
        count = 0
        while piece := environ["wsgi.input"].read(65536):
            count += len(piece)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % count]
    if environ["PATH_INFO"] == "/zeros":
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Length", str(size))])
        return zeros(size)
    body = environ["SERVER_PROTOCOL"].encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def zeros(size):
    while size:
        piece = PIECE[:size]
        yield piece
        size -= len(piece)
