"""Says on which node it runs, and what that node knows of its legion."""

import json
import os

import uwsgi


def application(environ, start_response):
    answer = {
        "node": os.environ.get("NODE", ""),
        "is_lord": uwsgi.i_am_the_lord("ring"),
        "term": uwsgi.legion_term("ring"),
        "lord_scroll": (uwsgi.lord_scroll("ring") or b"").decode(),
        "scrolls": [scroll.decode() for scroll in uwsgi.scrolls("ring") or []],
        "unknown": [uwsgi.i_am_the_lord("x"), uwsgi.lord_scroll("x"), uwsgi.scrolls("x")],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
