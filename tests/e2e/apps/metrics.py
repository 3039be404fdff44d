"""Counts: /inc adds one to ``calls``; what is answered is the metric that QUERY_STRING names."""

import uwsgi


def application(environ, start_response):
    if environ["PATH_INFO"] == "/inc":
        uwsgi.metric_inc("calls")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(uwsgi.metric_get(environ["QUERY_STRING"])).encode()]
