"""An application that says what it was asked: the other end of the request matrix."""

import hashlib
import json


def application(environ, start_response):
    """Everything that came over the wire, as JSON."""
    digest = hashlib.sha256()
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        digest.update(piece)
        size += len(piece)
    seen = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "script": environ.get("SCRIPT_NAME", ""),
        "query": environ["QUERY_STRING"],
        "uri": environ["REQUEST_URI"],
        "protocol": environ["SERVER_PROTOCOL"],
        "scheme": environ["wsgi.url_scheme"],
        "type": environ.get("CONTENT_TYPE", ""),
        "length": environ.get("CONTENT_LENGTH", ""),
        "size": size,
        "sha256": digest.hexdigest(),
        "headers": {key: environ[key] for key in environ if key.startswith("HTTP_")},
    }
    body = json.dumps(seen).encode()
    start_response(
        "200 OK",
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("X-Method", environ["REQUEST_METHOD"]),
            ("X-Size", str(size)),
        ],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
