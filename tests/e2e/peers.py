"""The programs that uwgate meets in the field, each with a configuration of its own.

Everything runs in the foreground below a temporary folder; nothing of the system's own
configuration is read. A peer that is not installed skips the test that wants it; in CI it
fails it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .processes import APPS, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODULES = Path("/usr/lib/apache2/modules")

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_header_buffer_size 4k;
    large_client_header_buffers 8 32k;
    merge_slashes off;
    underscores_in_headers on;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            uwsgi_pass unix:{backend};
            uwsgi_buffer_size 64k;
            uwsgi_buffers 8 64k;
            uwsgi_busy_buffers_size 128k;
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

APACHE = """
ServerRoot {folder}
ServerName example.com
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_uwsgi_module {modules}/mod_proxy_uwsgi.so
LimitRequestFieldSize 32760
LimitRequestFields 200
AllowEncodedSlashes NoDecode
ProxyPass / unix:{backend}|uwsgi://uwgate/
"""


def program(name: str) -> str:
    """The path of an installed program; without it the test is skipped."""
    nearby = Path(sys.executable).with_name(name)
    found = str(nearby) if nearby.exists() else shutil.which(name, path=PATH)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed: .ci/packages is to install it")
        pytest.skip(f"{name} is not installed")
    return found


PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@contextlib.contextmanager
def running(process: Process, *, stop: int) -> Iterator[Process]:
    """A peer for the length of a block."""
    try:
        yield process
    finally:
        process.stop(stop)


@contextlib.contextmanager
def nginx(folder: Path, backend: str) -> Iterator[tuple[str, int]]:
    """nginx with ``uwsgi_pass`` to a UNIX socket; gives its address."""
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(folder=folder, port=port, backend=backend, user=user))
    argv = [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(config)]
    # SIGTERM: nginx would wait for open connections at SIGQUIT.
    with running(Process(argv, folder=folder, name="nginx"), stop=signal.SIGTERM) as process:
        process.wait_for_socket(("127.0.0.1", port))
        yield "127.0.0.1", port


@contextlib.contextmanager
def apache(folder: Path, backend: str) -> Iterator[tuple[str, int]]:
    """Apache with mod_proxy_uwsgi to a UNIX socket; gives its address.

    Started by root it runs as another user, so the way to ``backend`` has to be open to all.
    """
    executable = program("apache2")
    port = free_port()
    config = folder / "apache.conf"
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    config.write_text(
        APACHE.format(folder=folder, port=port, backend=backend, modules=MODULES, user=user)
    )
    argv = [executable, "-f", str(config), "-DFOREGROUND"]
    with running(Process(argv, folder=folder, name="apache"), stop=signal.SIGTERM) as process:
        process.wait_for_socket(("127.0.0.1", port))
        yield "127.0.0.1", port


@contextlib.contextmanager
def uwsgi(
    folder: Path,
    *arguments: str,
    name: str = "uwsgi",
    app: str = "mirror.py",
    env: Mapping[str, str] | None = None,
    processes: int = 2,
) -> Iterator[Process]:
    """The real uWSGI with one of the applications; ``arguments`` say where it listens."""
    argv = [program("uwsgi"), "--master", "--die-on-term", "--processes", str(processes)]
    argv += ["--buffer-size", "65535", "--max-vars", "1024", "--need-app"]
    argv += ["--wsgi-file", str(APPS / app), "--disable-logging", *arguments]
    with running(Process(argv, folder=folder, name=name, env=env), stop=signal.SIGINT) as process:
        process.wait_for_log(rf"spawned uWSGI worker {processes}\b")
        yield process
