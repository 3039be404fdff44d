"""A WebSocket that says what it was told, and a page beside it."""

import uwsgi


def application(environ, start_response):
    """``/echo`` is the WebSocket; everything else is the page."""
    if environ["PATH_INFO"] != "/echo":
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<h1>WebSocket</h1>"]
    uwsgi.websocket_handshake(environ["HTTP_SEC_WEBSOCKET_KEY"], environ.get("HTTP_ORIGIN", ""))
    while True:
        message = uwsgi.websocket_recv()
        uwsgi.websocket_send(message)
