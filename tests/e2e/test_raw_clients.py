"""Programs that know nothing of a rawrouter: PostgreSQL, Redis, and thousands who say nothing."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import peers
from .processes import PATIENCE, Process, descriptors, free_port, rss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start
    from .processes import Uwgate

ROWS = 50_000
COMMANDS = 20_000  # in one pipeline
IDLE = 4000
# Measured: 2,600 bytes and two sockets.
MEMORY_EACH = 8192
DESCRIPTORS_EACH = 2
SPARE_DESCRIPTORS = 16  # pipes that stay open, and the like


def rawrouter(uwgate: Start, to: str, *arguments: str) -> Uwgate:
    program = uwgate("--rawrouter=127.0.0.1:0", f"--rawrouter-to={to}", *arguments)
    assert program.address
    program.wait_for_log("generation 1 serves")
    return program


def run(*argv: str, given: str | bytes = b"") -> str:
    """What a program writes that has to end well."""
    data = given.encode() if isinstance(given, str) else given
    done = subprocess.run(argv, input=data, capture_output=True, timeout=2 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


# PostgreSQL


def postgres_program(name: str) -> str:
    """Debian keeps the server's programs out of the way."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else peers.program(name)


def as_nobody_special() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    return [peers.program("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@pytest.fixture
def postgres(folder: Path) -> Iterator[str]:
    """A server with an empty database; its address."""
    initdb, server = postgres_program("initdb"), postgres_program("postgres")
    data = folder / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(data, "nobody", "nogroup")
    drop = as_nobody_special()
    run(*drop, initdb, "--no-sync", "--auth=trust", "--username=ann", f"--pgdata={data}")
    port = free_port()
    argv = [*drop, server, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    argv += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
    # SIGQUIT: at once; there is nothing to be kept.
    with peers.running(
        Process(argv, folder=folder, name="postgres"), stop=signal.SIGQUIT
    ) as process:
        process.wait_for_log("ready to accept connections")
        yield f"127.0.0.1:{port}"


def psql_command(program: Uwgate) -> list[str]:
    host, port = program.address
    argv = [peers.program("psql"), "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]
    return [*argv, "-h", host, "-p", str(port), "-U", "ann", "--set=ON_ERROR_STOP=1", "postgres"]


def test_a_session_of_postgresql(uwgate: Start, postgres: str) -> None:
    psql = psql_command(rawrouter(uwgate, postgres))
    rows = "".join(f"{number}\t{'row ' * (number % 50)}\n" for number in range(ROWS))
    script = f"""
create table stock (number int primary key, name text);
copy stock from stdin;
{rows}\\.
begin;
savepoint here;
\\set ON_ERROR_STOP 0
insert into stock values (1, 'again');
\\set ON_ERROR_STOP 1
rollback to here;
declare walk cursor for select number from stock order by number;
fetch 2 from walk;
commit;
listen news;
notify news, 'hello';
select count(*), sum(length(name)) from stock;
"""
    length = sum(4 * (number % 50) for number in range(ROWS))
    lines = run(*psql, given=script).splitlines()
    news = [line for line in lines if 'notification "news" with payload "hello"' in line]
    assert [line for line in lines if line not in news] == ["0", "1", f"{ROWS}|{length}"]
    assert len(news) == 1
    # As much as comes back in one answer.
    copy = run(*psql, "--command=copy (select * from stock order by number) to stdout")
    assert copy == rows


def test_a_query_of_postgresql_is_cancelled_over_a_second_connection(
    uwgate: Start, folder: Path, postgres: str
) -> None:
    program = rawrouter(uwgate, postgres)
    psql = psql_command(program)
    question = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'"
    argv = [*psql, "--command=select pg_sleep(600)"]
    sleeper = Process(argv, folder=folder, name="sleeper")
    sleeper.wait_for(lambda: run(*psql, f"--command={question}") == "1\n", "query")
    sleeper.popen.send_signal(signal.SIGINT)
    assert sleeper.wait() == 1
    assert "canceling statement due to user request" in sleeper.log


# Redis


@pytest.fixture
def redis(folder: Path) -> Iterator[Path]:
    """A server; its socket's path."""
    path = folder / "redis.sock"
    argv = [peers.program("redis-server"), "--port", "0", "--unixsocket", str(path), "--save", ""]
    with peers.running(Process(argv, folder=folder, name="redis"), stop=signal.SIGTERM) as process:
        process.wait_for_socket(str(path))
        yield path


def test_a_pipeline_of_redis(uwgate: Start, redis: Path) -> None:
    host, port = rawrouter(uwgate, str(redis)).address
    cli = [peers.program("redis-cli"), "-h", host, "-p", str(port)]
    value = "x" * 500
    commands = "".join(
        f"*3\r\n$3\r\nSET\r\n${len(str(number))}\r\n{number}\r\n$500\r\n{value}\r\n"
        for number in range(COMMANDS)
    )
    told = run(*cli, "--pipe", given=commands)
    assert f"errors: 0, replies: {COMMANDS}" in told
    assert run(*cli, "DBSIZE") == f"{COMMANDS}\n"
    assert run(*cli, "GET", "4711") == f"{value}\n"


def test_many_clients_of_redis_with_pipelines(uwgate: Start, redis: Path) -> None:
    host, port = rawrouter(uwgate, str(redis)).address
    argv = [peers.program("redis-benchmark"), "-h", host, "-p", str(port), "-P", "16"]
    told = run(*argv, "-c", "20", "-n", "20000", "-t", "incr", "--csv")
    assert re.search(r'^"INCR","[\d.]+"', told, re.MULTILINE), told
    cli = [peers.program("redis-cli"), "-h", host, "-p", str(port)]
    assert run(*cli, "GET", "counter:__rand_int__") == "20000\n"


# Thousands


@contextlib.contextmanager
def descriptors_for(count: int) -> Iterator[None]:
    """This process and its children may have so many, else the test is skipped."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"{hard} descriptors are all that a process may have here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def receive(sock: socket.socket, size: int) -> bytes:
    with sock.makefile("rb") as file:
        return file.read(size)


def test_thousands_of_idle_connections_cost_little_and_one_more_is_refused(uwgate: Start) -> None:
    with descriptors_for(2 * IDLE + 1000), contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        program = rawrouter(
            uwgate, f"127.0.0.1:{listener.getsockname()[1]}", f"--rawrouter-max-connections={IDLE}"
        )
        (pid,) = program.wait_for_processes("rawrouter", 1)
        memory, before = rss(pid), len(descriptors(pid))
        for number in range(IDLE):
            client = stack.enter_context(socket.create_connection(program.address, PATIENCE))
            # Some send more than is copied: they have a pipe for a moment.
            size = 20_000 if number % 10 == 0 else 1
            client.sendall(b"x" * size)
            backend = stack.enter_context(listener.accept()[0])
            backend.settimeout(PATIENCE)
            assert len(receive(backend, size)) == size
        kinds = [one.partition(":")[0] for one in descriptors(pid)]
        assert len(kinds) - before <= DESCRIPTORS_EACH * IDLE + SPARE_DESCRIPTORS
        assert kinds.count("pipe") <= SPARE_DESCRIPTORS
        assert (rss(pid) - memory) / IDLE < MEMORY_EACH
        with (
            pytest.raises(ConnectionResetError),
            socket.create_connection(program.address, PATIENCE) as refused,
        ):
            refused.recv(1)
        program.wait_for_log(f"{IDLE} connections, the limit .*: others are refused")
        client.sendall(b"still here")
        assert receive(backend, 10) == b"still here"
