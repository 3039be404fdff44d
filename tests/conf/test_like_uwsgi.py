"""The same file means the same to the real uWSGI 2.0.31 and to us (ini-usage section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uwgate.conf.commandline import parse
from uwgate.conf.loading import load
from uwgate.conf.logic import Frame, is_opener
from uwgate.conf.pair import Place
from uwgate.conf.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.conf.conftest import Uwsgi

ENVIRON = {"HOME": "/home/bob", "PORT": "9000", "A": "/a", "EMPTY": ""}

# What is compared is the list of all keys and values, in order.
FILES = {
    "booleans": "[uwsgi]\nmaster\nvacuum = True\ndie-on-term=1\nlazy-apps = false\nneed-app =\n",
    "inline comments are in the raw value": "[uwsgi]\nprocesses = 3 ; three\nmaster=true # yes\n",
    "text values keep ; and #": "[uwsgi]\nprocname = a;b # c\nlog-format = %(uri) ; # x\n",
    "repeated keys": "[uwsgi]\nenv = A=1\nenv = B=2\npythonpath = /a\npythonpath = /b\n",
    "free variable": "[uwsgi]\nbase = /srv\nchdir = %(base)/app\n",
    "variable with underscore": "[uwsgi]\nmy_base = /srv\nchdir = %(my_base)\n",
    "option as variable": "[uwsgi]\nchdir = /srv\npidfile = %(chdir)/x.pid\n",
    "a later definition": "[uwsgi]\nchdir = %(base)/x\nbase = /late\n",
    "first wins in lookups": "[uwsgi]\nw = 1\nw = 2\nx = %(w)\n",
    "unknown reference stays": "[uwsgi]\nx = %(nothing).old\ny = $(NOTHING)\nz = %()\n",
    "unterminated reference stays": "[uwsgi]\nx = %(a\na = 1\ny = $(HOME\n",
    "known without a value stays": "[uwsgi]\nmaster\nx = -%(master)-\n",
    "environment": "[uwsgi]\nhttp-socket = :$(PORT)\nmount = $(A)=$(HOME)/x\nx = $(EMPTY)|\n",
    "placeholder in environment name": "[uwsgi]\nn = HOME\nx = %(n)$(HOME)\n",
    "percent does not yield dollar": "[uwsgi]\nx = -$(HOME)\ny = -%(x)\n",
    "arithmetic": "[uwsgi]\nn=4\na=%(n + 1)\nb=%(n * 2 + 1)\nc=%(n ++)\nd=%(n 1)\ne=%(n foo)\n"
    "f=%(n / 0)\ng=%(n+1)\nh=%(2 * 1024 * 1024 * 1024)\ni=%(n - 9)\nj=%(n --)\nk=%(9 / 2)\n",
    "arithmetic on cores": "[uwsgi]\nprocesses = %(%k * 2)\nworkers = %(%k*2)\n",
    "magic": "[uwsgi]\na=%n\nb=%s\nc=%e\nd=%c\ne=%d\nf=%p\ng=%0\nh=%1\ni=%9|\nj=%o\nk=%x|\n"
    "l=%k\nm=%u%U%g%G\nn=%h\no=%i %j\np=%v\nq=%%Y-%%m\nr=%D%N%S%P\ns=%dbase.ini\n",
    "percent in front of a name": "[uwsgi]\nattach = celery -n x@%%h\n",
    "set": "[uwsgi]\nset = a=1\nset-ph = b=2\nset-placeholder = c=x=y\nx=-%(b)%(c)\n",
    "set of an option": "[uwsgi]\nset = processes=3\nx = %(processes)\n",
    "if-env": "[uwsgi]\nif-env = HOME\n  x = %(_)/y\nendif =\nif-env = NOTHING\ny=1\nendif\n",
    "if-env with a value": "[uwsgi]\nif-env=PORT=9000\nx=%(_)\nendif\nif-env=A=1\ny=1\nendif\n",
    "if-not-env": "[uwsgi]\nif-not-env = NOTHING\nx = %(_)\nendif\nif-not-env=HOME\ny=1\nendif=\n",
    "if-opt": "[uwsgi]\nfoo = 1\nif-opt = foo\nx=%(_)\nendif\nif-opt = foo=2\ny=1\nendif\n"
    "if-opt = foo=1\nz=1\nendif\nif-not-opt = bar\nv=1\nendif\nif-not-opt = foo\nw=1\nend\n",
    "if-file": "[uwsgi]\nif-file = app.ini\nx=%(_)\nendif\nif-not-file = app.ini\ny=1\nendif\n",
    "if-dir": "[uwsgi]\nif-dir = .\nx=%(_)\nendif\nif-not-dir = nowhere\ny=%(_)\nendif\n",
    "if-exists": "[uwsgi]\nif-exists = nowhere\nx=1\nendif\nif-not-exists = nowhere\ny=1\nendif\n",
    "if-reload": "[uwsgi]\nif-reload =\nx=1\nendif\nif-not-reload =\ny=%(_)\nendif\n",
    "default and override": "[uwsgi]\nworkers=4\nif-env = PORT\nworkers = %(_)\nendif\n",
    "for": "[uwsgi]\nfor = a b  c\n  mount = /%(_)=%(_).py\nendfor = \n",
    "for repeats each line": "[uwsgi]\nfor = a b\nx=%(_)\ny=%(_)\nendfor\n",
    "for-times": "[uwsgi]\nfor-times = 3\nx=%(_)\nendfor\n",
    "for-glob": "[uwsgi]\nfor-glob = app.*\nx=%(_)\nendfor\nfor-glob = no*such\ny=%(_)\nendfor\n",
    "for-readline": "[uwsgi]\nfor-readline = lines.txt\nx=%(_)\nendfor\n",
    "file content": "[uwsgi]\nx = <@(line.txt)>\ny = @(exec://echo hello)\n",
    "include": "[uwsgi]\nworkers=1\nini = other.ini\nworkers=3\n",
    "include with a section": "[uwsgi]\nini = other.ini:second\n",
    "include of the same file": "[uwsgi]\nini = :common\nx=1\n[common]\ny=2\n",
    "include by suffix": "[uwsgi]\nbase = /b\ninclude = other.ini\n",
    "include twice": "[uwsgi]\nini = other.ini\nini = other.ini:second\n",
    "foreign sections": "[app:main]\nuse = egg:x %(here)s 100\n[uwsgi]\nx=1\n[other]\ny=\n",
    "section in two parts": "[uwsgi]\nx=1\n[other]\ny=1\n[uwsgi]\nz=1\n",
    "section with blanks is another": "[uwsgi]\nx=1\n[ uwsgi ]\ny=1\n",
    "CRLF": "[uwsgi]\r\nx = 1\r\n; comment\r\nmaster\r\ny = a b \r\n",
    "tabs and blanks": "[uwsgi]\n\tx\t=\t1\n  y=2  \nz=a = b\nkey with blank = 1\n",
    "text before the section": "# about [uwsgi]\n\nstray = 1\n;# more\n[uwsgi]\nx=1",
    "non-ASCII": "[uwsgi]\n# комментарий 中文\nx = größe\n",
    "quotes stay": '[uwsgi]\nlogformat = "a \\"b\\""\nx=\'y\'\n',
    "declare-option": "[uwsgi]\ndeclare-option = hi=set=a=$1;set=b=$2\nhi = one two\nx=%(a)%(b)\n",
    "log format of unknown names": "[uwsgi]\nlog-format = %(addr) %(method) %(var.HTTP_X) %%\n",
    "lists": "[uwsgi]\nblacklist = chroot\nx=1\nend-blacklist\nwhitelist = y end-whitelist\n"
    "y=1\nend-whitelist=\nz=1\n",
    "plugins": "[uwsgi]\nplugin = python3\nplugins = http, corerouter\n",
    "strict with known names": "[uwsgi]\nset-ph = free=1\nstrict = true\nprocesses = 2\n",
    "strict taken back": "[uwsgi]\nstrict = true\nstrict = false\nfree = 1\n",
}

OTHER = "[uwsgi]\nworkers = 2\nfrom = %(base) %n %N %s\n[second]\nfrom = %x %X\n"
MARKS = frozenset({"end", "endif", "endfor", "end-if", "end-for"})


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "other.ini").write_text(OTHER)
    (tmp_path / "line.txt").write_text("one line\n")
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def our_pairs(*arguments: str, environ: Mapping[str, str] = ENVIRON) -> list[tuple[str, str]]:
    reader = Reader(environ)
    line = parse(arguments)
    frame = Frame()
    for pair in line.pairs:
        reader.feed(pair, frame)
    for positional in line.positionals:
        reader.load(positional, Place("command line"))
    reader.finish()
    assert reader.problems == []
    return shown((pair.key, pair.value) for pair in reader.pairs if pair.visible)


def shown(pairs: Iterable[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """Pairs as ``--show-config`` prints them: no value is shown as true."""
    return [(key, "true" if value is None else value) for key, value in pairs]


def compared(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # Marks of blocks are no options of ours; their effect shows in the other pairs.
    return [pair for pair in pairs if pair[0] not in MARKS and not is_opener(pair[0])]


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_a_file_yields_the_same_pairs(uwsgi: Uwsgi, directory: Path, text: str) -> None:
    (directory / "app.ini").write_bytes(text.encode())
    theirs = uwsgi.pairs(directory, "--ini", "app.ini", **ENVIRON)
    assert compared(our_pairs("--ini", "app.ini")) == compared(theirs)


YAML_FILE = """\
uwsgi:
  socket: :5000
  socket: 127.0.0.1:0 # second
  chdir: %d
  base: /srv
  touch-exec: %(base)/a
  procname: *:80
  umask: 0022
  master: 1
  module: x:uwsgi_app()
"""

XML_FILE = """\
<!-- comment -->
<uwsgi>
  <master/>
  <processes>2</processes>
  <chdir>%d</chdir>
  <env>A=1</env>
  <env>B=%(processes)</env>
</uwsgi>
"""


@pytest.mark.parametrize(("kind", "text"), [("yaml", YAML_FILE), ("xml", XML_FILE)])
def test_other_formats_yield_the_same_pairs(
    uwsgi: Uwsgi, directory: Path, kind: str, text: str
) -> None:
    (directory / f"app.{kind}").write_text(text)
    theirs = uwsgi.pairs(directory, f"--{kind}", f"app.{kind}", **ENVIRON)
    assert our_pairs(f"--{kind}", f"app.{kind}") == theirs


ARGUMENTS = {
    "order": ["--set", "x=1", "--env=A=1", "-p", "4", "-p5", "--ini", "other.ini", "-Mi"],
    "file behind all options": ["line.ini", "--processes", "3"],
    "abbreviation": ["--processe", "3", "--disable-logg"],
    "optional value": ["-C666", "--need-app", "--need-app=false"],
    "a declared option": ["--declare-option", "hi=set=a=$1", "--hi", "x"],
    "command as file": ["--ini", "exec://cat other.ini:second"],
    "magic of a command": ["--ini", "exec://echo '[uwsgi]'; echo 'x=%p%d%n|'"],
    "inherit": ["--inherit", "line.ini", "--ini", "other.ini"],
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_a_command_line_yields_the_same_pairs(
    uwsgi: Uwsgi, directory: Path, arguments: list[str]
) -> None:
    (directory / "line.ini").write_text("[uwsgi]\nprocesses = 7\nx = %n\n")
    assert our_pairs(*arguments) == uwsgi.pairs(directory, *arguments, **ENVIRON)


def test_the_environment_comes_first(uwsgi: Uwsgi, directory: Path) -> None:
    environ = {"UWSGI_PROCESSES": "2", "UWSGI_ENABLE_THREADS": "true", "UWSGI_RELOADS": "1"}
    theirs = uwsgi.pairs(directory, "--ini", "other.ini", **environ)
    loaded = load(["--ini", "other.ini"], environ)
    assert shown(loaded.settings.pairs) == theirs


@pytest.mark.parametrize("name", ["w", "free", "processes", "nothing", "master", "a"])
def test_get_prints_the_same(uwsgi: Uwsgi, directory: Path, name: str) -> None:
    text = "[uwsgi]\nw=1\nw=2\nfree=%(w)x\nprocesses = 3 ; three\nmaster\nset=a=b=%(free)\n"
    (directory / "app.ini").write_text(text)
    command = load(["--get", name, "--ini", "app.ini"], ENVIRON).command
    assert command is not None
    assert "\n".join(command.arguments) == uwsgi.get(directory, name, "--ini", "app.ini", **ENVIRON)
