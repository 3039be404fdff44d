"""The examples in README.md and docs/ are run: what a page shows works as it stands there.

A page's blocks are executed from top to bottom in one empty folder. The word behind the language
says what to do with a block:

    ```python app.py     write it to that file
    ```ini app.ini       write it to that file, and see that uwgate accepts it
    ```sh                run it; every command has to succeed
    ```sh serves         run it, see that it answers, and stop it with Ctrl-C
    ```sh not-run        it changes the machine, or needs another terminal

Addresses with port 8080 get a free port instead.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import uwgate
from uwgate.cli import main
from uwgate.conf.option import options_of
from uwgate.conf.settings import GROUPS

from .certificates import Authority
from .e2e.client import ask, request
from .e2e.peers import program
from .e2e.processes import PATIENCE, Process, free_port

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "reference" not in path.parts),
]
FENCE = re.compile(r"^```([a-z-]+)?(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
SKIPPED = {"text", "nginx", "ini-unit", ""}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the word behind that, its text."""

    language: str
    word: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = FENCE.findall(page.read_text("utf-8"))
    return [Block(language, word, text) for language, word, text in found]


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``uwgate`` is the program that is being tested."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "uwgate"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m uwgate "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(uwgate.__file__).parents[1]),
    }


def with_certificates(text: str, folder: Path) -> str:
    """A configuration whose certificates in /etc/uwgate are made for this test."""
    if "/etc/uwgate" not in text:
        return text
    (folder / "names").mkdir()
    Authority().server("shop.example").write(folder, "default")
    return text.replace("/etc/uwgate", str(folder))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page_work(page: Path, tmp_path: Path, commands: dict[str, str]) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    port = free_port()
    for number, block in enumerate(blocks(page)):
        text = block.text.replace(":8080", f"127.0.0.1:{port}")
        text = text.replace("127.0.0.1127.0.0.1", "127.0.0.1")
        match block.language, block.word:
            case (("python" | "ini"), name) if name.startswith("conf/examples/"):
                assert block.text == (ROOT / name).read_text(), f"{name} is not what {page} shows"
                (folder / "example.ini").write_text(with_certificates(text, folder))
                check("example.ini", folder)
            case "python", name:
                (folder / name).write_text(text)
            case "ini", name:
                (folder / name).write_text(text)
                check(name, folder)
            case "sh", "":
                run(["bash", "-euc", text], folder, commands)
            case "sh", "serves":
                serve(text, folder, commands, port, f"{number}")
            case "sh", "not-run":
                pass
            case language, _:
                assert language in SKIPPED, f"what is a block of {language} in {page}?"


def check(name: str, folder: Path) -> None:
    """``uwgate --check``, in this process: there are dozens of files."""
    said = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        status = main(["--check", name])
    assert status == 0, said.getvalue()


def run(argv: list[str], folder: Path, env: dict[str, str]) -> None:
    """Run a command that ends by itself, and well."""
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **env},
        timeout=PATIENCE,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}"


def serve(text: str, folder: Path, env: dict[str, str], port: int, name: str) -> None:
    """Run a command that serves, get a page from it, and stop it."""
    process = Process(["bash", "-euc", f"exec {text}"], folder=folder, name=name, env=env)
    try:
        process.wait_for_socket(("127.0.0.1", port))
        assert ask(("127.0.0.1", port), request()).status == 200
        process.popen.send_signal(signal.SIGINT)
        assert process.wait() == 0, process.log
    finally:
        process.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in titles}
            assert anchor[1:] in anchors, f"{page.name}: {target}{anchor}"


def test_the_defaults_on_the_page_for_users_of_uwsgi_are_the_programs() -> None:
    defaults = {
        option.name: option.default
        for group, options in GROUPS.items()
        for option in options_of(options, group).values()
    }
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([^|]+) \| \[",
        (ROOT / "docs/from-uwsgi.md").read_text(),
        re.M,
    )
    told = {name: {"on": True, "off": False}.get(value) for name, value in rows}
    told |= {name: float(value) for name, value in rows if re.fullmatch(r"[\d.]+", value)}
    del told["master"]  # not an option here: there always is one
    assert told == {name: defaults[name] for name in told}
    assert len(told) > 10


def test_the_nginx_example_is_one_that_nginx_takes(tmp_path: Path) -> None:
    parameters = Path("/etc/nginx/uwsgi_params")
    nginx = program("nginx")
    if not parameters.exists():
        pytest.skip("nginx came without uwsgi_params")
    shutil.copy(parameters, tmp_path)
    page = ROOT / "docs/howto/nginx.md"
    servers = [block.text for block in blocks(page) if block.language == "nginx"]
    assert servers
    text = "".join(servers).replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ access_log off;\n{temporary}{text} }}\n"
    )
    run([nginx, "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(config)], tmp_path, {})
