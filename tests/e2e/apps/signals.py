"""Handlers of uWSGI signals; the paths raise them: /1 to /3."""

import uwsgi


def say(number):
    uwsgi.log(f"signal {number} in worker {uwsgi.worker_id()}")


uwsgi.register_signal(1, "", say)
uwsgi.register_signal(2, "workers", say)
uwsgi.register_signal(3, "worker2", say)


def application(environ, start_response):
    number = int(environ["PATH_INFO"].strip("/"))
    uwsgi.signal(number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(uwsgi.signal_registered(number)).encode()]
