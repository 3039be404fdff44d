"""Who takes part, and how each is started: two workers, no logging, nothing else tuned.

Everyone serves ``pages.application`` on loopback. Where one server is two programs, both
are started, and both are in its CPU time and memory.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
WORKERS = "2"
KEEP, CLOSE = "keep-alive", "close"

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 10000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            uwsgi_pass unix:{folder}/uwsgi.sock;
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param CONTENT_TYPE $content_type;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param DOCUMENT_ROOT $document_root;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param REQUEST_SCHEME $scheme;
            uwsgi_param HTTPS $https if_not_empty;
            uwsgi_param REMOTE_ADDR $remote_addr;
            uwsgi_param REMOTE_PORT $remote_port;
            uwsgi_param SERVER_PORT $server_port;
            uwsgi_param SERVER_NAME $server_name;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Contender:
    """A server. ``commands`` gives the programs to start for a port, with a folder of its own.

    ``modes`` are those it is measured in. ``note`` says what a reader has to know. ``tls``:
    it speaks HTTPS.
    """

    name: str
    programs: tuple[str, ...]
    modes: tuple[str, ...]
    commands: Callable[[int, Path], list[list[str]]]
    note: str = ""
    tls: bool = False


def find(program: str) -> str | None:
    """The path of a program: beside this Python, or installed; None if there is none."""
    beside = Path(sys.executable).with_name(program)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    return str(beside) if beside.exists() else shutil.which(program, path=path)


def _path(program: str) -> str:
    return find(program) or program


def _uwgate(port: int, folder: Path) -> list[list[str]]:
    argv = [sys.executable, "-m", "uwgate", "--http", f"127.0.0.1:{port}"]
    return [[*argv, "--wsgi-file", str(HERE / "pages.py"), "-p", WORKERS, "--disable-logging"]]


def _uwsgi(*where: str) -> list[str]:
    argv = [_path("uwsgi"), *where, "--master", "--die-on-term", "--disable-logging"]
    return [*argv, "--wsgi-file", str(HERE / "pages.py"), "--processes", WORKERS]


def _uwsgi_keepalive(port: int, folder: Path) -> list[list[str]]:
    return [_uwsgi("--http", f"127.0.0.1:{port}", "--http-keepalive")]


def _uwsgi_close(port: int, folder: Path) -> list[list[str]]:
    # uWSGI closes without saying so, and wrk would count each of its closes as an error.
    return [_uwsgi("--http", f"127.0.0.1:{port}", "--add-header", "Connection: close")]


def _nginx(port: int, folder: Path) -> list[list[str]]:
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(folder=folder, port=port, user=user))
    front = [_path("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)]
    return [_uwsgi("--socket", f"{folder}/uwsgi.sock"), front]


def _gunicorn(*extra: str) -> Callable[[int, Path], list[list[str]]]:
    def commands(port: int, folder: Path) -> list[list[str]]:
        argv = [_path("gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", WORKERS]
        argv += ["--log-level", "error", "--chdir", str(HERE), "--no-control-socket"]
        return [[*argv, *extra, "pages:application"]]

    return commands


def _waitress(port: int, folder: Path) -> list[list[str]]:
    program = "import sys, waitress, pages; "
    program += f"waitress.serve(pages.application, listen='127.0.0.1:{port}', threads={WORKERS})"
    return [[sys.executable, "-c", f"import sys; sys.path.insert(0, {str(HERE)!r}); {program}"]]


CONTENDERS = (
    Contender("uwgate", (), (KEEP, CLOSE), _uwgate),
    Contender("uwsgi-keepalive", ("uwsgi",), (KEEP,), _uwsgi_keepalive, "--http-keepalive"),
    Contender("uwsgi", ("uwsgi",), (CLOSE,), _uwsgi_close, "--http alone"),
    Contender("nginx-uwsgi", ("nginx", "uwsgi"), (KEEP, CLOSE), _nginx, "1 nginx worker"),
    Contender("gunicorn-sync", ("gunicorn",), (KEEP, CLOSE), _gunicorn(), "always closes"),
    Contender(
        "gunicorn-gthread",
        ("gunicorn",),
        (KEEP, CLOSE),
        _gunicorn("--worker-class", "gthread", "--threads", "4"),
        "2 workers of 4 threads",
    ),
    Contender("waitress", (), (KEEP, CLOSE), _waitress, "1 process of 2 threads"),
)
# What each mode of uwgate is held against.
REFERENCE = {KEEP: "uwsgi-keepalive", CLOSE: "uwsgi"}
TARGET = {KEEP: 1.3, CLOSE: 1.0}
