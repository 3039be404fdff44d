"""What one types in a checkout: ``make run``, ``make bench``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .client import ask, request
from .peers import program
from .processes import Process, free_port

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="not run by make test: .venv would have to be made"
)
def test_make_run_serves_the_demo_until_ctrl_c(folder: Path) -> None:
    address = ("127.0.0.1", free_port())
    argv = ["make", "-C", str(ROOT), "run", f"ADDRESS=127.0.0.1:{address[1]}"]
    # A make that runs this test must not pass its own arguments on.
    env = {"MAKEFLAGS": "", "MAKEOVERRIDES": "", "ARGS": ""}
    process = Process(argv, folder=folder, name="make", env=env)
    try:
        process.wait_for_socket(address)
        page = ask(address, request())
        assert page.status == 200
        assert b"worker" in page.body
        assert ask(address, request("POST", "/echo", (), b"hello")).body == b"hello"
        assert ask(address, request("GET", "/stream")).body.startswith(b"line 1 of 10")
        assert b"wsgi.file_wrapper" in ask(address, request("GET", "/environ")).body
        assert b"def application(" in ask(address, request("GET", "/file")).body
        assert ask(address, request("GET", "/nothing")).status == 404
        assert ask(address, request("GET", "/error")).status == 500
        assert f"curl -i http://127.0.0.1:{address[1]}/" in process.log
    finally:
        # Ctrl-C goes to make and to what it runs; a signal to make alone would only end make.
        process.interrupt_group()
        process.stop(signal.SIGINT)
    assert "goodbye" in process.log


@pytest.mark.alone
def test_the_benchmark_prints_its_table() -> None:
    program("wrk")
    program("uwsgi")
    argv = [sys.executable, "-m", "benchmarks", "--runs=1", "--seconds=1", "--mode=keep-alive"]
    done = subprocess.run(
        [*argv, "--page=/", "--only", "uwgate", "uwsgi-keepalive"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    row = next(line.split() for line in lines if line.startswith("  uwgate"))
    assert float(row[1].replace(",", "")) > 100
    assert any("target 1.3" in line for line in lines)


@pytest.mark.alone
def test_the_benchmark_of_https_prints_its_ratios() -> None:
    for name in ("wrk", "uwsgi", "openssl"):
        program(name)
    argv = [sys.executable, "-m", "benchmarks.https", "--runs=1", "--seconds=1"]
    done = subprocess.run(
        [*argv, "--only", "uwgate", "uwsgi"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    row = next(line.split() for line in lines if line.startswith("  uwgate"))
    assert all(float(figure.replace(",", "")) > 10 for figure in row[1:])
    assert any("times uwsgi, target 1.3" in line for line in lines)
