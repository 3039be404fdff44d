"""Whole configurations: what becomes of them, and what is said about them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load
from uwgate.conf.pair import Command, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conf.conftest import Configure
    from uwgate.conf.loading import Loaded


def said(loaded: Loaded, severity: Severity = Severity.WARNING) -> list[str]:
    return [note.text for note in loaded.notes if note.severity is severity]


def refused(configure: Configure, text: str, *arguments: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configure(text, *arguments, environ=environ)
    return str(caught.value)


# Where values come from


def test_files_win_over_the_command_line_and_that_over_the_environment(
    configure: Configure,
) -> None:
    environ = {"UWSGI_PROCESSES": "2", "UWSGI_THREADS": "2", "UWSGI_LISTEN": "2"}
    text = "[uwsgi]\nprocesses = 4\n"
    loaded = configure(text, "--processes", "3", "--threads", "3", environ=environ)
    workers = loaded.settings.workers
    assert (workers.processes, workers.threads, loaded.settings.sockets.listen) == (4, 3, 2)


def test_an_ini_option_is_expanded_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[uwsgi]\nprocesses = 2\nthreads = 2\n")
    loaded = load(["--processes", "3", "--ini", f"{tmp_path}/a.ini", "--threads", "3"], {})
    assert loaded.settings.workers.processes == 2
    assert loaded.settings.workers.threads == 3


def test_repeatable_options_accumulate_in_order(configure: Configure) -> None:
    loaded = configure("[uwsgi]\npythonpath = /b\npp = /c\n", "--pythonpath", "/a")
    assert loaded.settings.application.pythonpath == ("/a", "/b", "/c")


@pytest.mark.parametrize("prefix", ["UWSGI", "UWGATE"])
def test_environment_variables_are_options(prefix: str) -> None:
    loaded = load([], {f"{prefix}_WSGI_FILE": "app.py", "OTHER": "x"})
    assert loaded.settings.application.wsgi_file == "app.py"


def test_environment_variables_for_processes_are_no_options() -> None:
    assert load([], {"UWSGI_RELOADS": "1", "UWSGI_ORIGINAL_PROC_NAME": "x"}).notes == ()


def test_an_unknown_environment_variable_stops_nothing() -> None:
    loaded = load([], {"UWSGI_PORT": "tcp://10.0.0.1:80"})
    assert said(loaded, Severity.NOTE) == [
        "there is no option 'port'; did you mean 'import'?; ignored"
    ]


@pytest.mark.parametrize(
    ("argument", "field", "value"),
    [
        ("app.py", "wsgi_file", "app.py"),
        ("./my app.wsgi", "wsgi_file", "./my app.wsgi"),
        ("app.py:main", "callable", "main"),
        ("pkg.mod:app", "module", "pkg.mod:app"),
        ("pkg:create_app()", "module", "pkg:create_app()"),
    ],
)
def test_an_application_may_be_a_positional_argument(argument: str, field: str, value: str) -> None:
    assert getattr(load([argument], {}).settings.application, field) == value


def test_a_positional_argument_in_brackets_is_skipped() -> None:
    assert load(["[marker]"], {}).settings == load([], {}).settings


@pytest.mark.parametrize("argument", ["app", "site.conf", "dir/", "a:b:c"])
def test_any_other_positional_argument_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match="cannot tell what"):
        load([argument], {})


def test_loading_changes_nothing_in_the_process(configure: Configure) -> None:
    before = (dict(os.environ), os.getcwd())
    configure("[uwsgi]\nenv = UWGATE_TEST=1\nchdir = /\nunenv = PATH\numask = 077\n")
    assert (dict(os.environ), os.getcwd()) == before


def test_the_files_that_were_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[uwsgi]\nini = %db.ini\n")
    (tmp_path / "b.ini").write_text("[uwsgi]\nvacuum = 1\n")
    files = load([f"{tmp_path}/a.ini"], {}).files
    assert files == (f"{tmp_path}/a.ini", f"{tmp_path}/b.ini")


def test_the_application_sees_the_pairs_as_written(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nmy_key = 1\nmaster\nx = %(my_key)\n")
    assert loaded.settings.pairs[-3:] == (("my_key", "1"), ("master", ""), ("x", "1"))


# Sections


def test_both_sections_of_a_file_are_read(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nprocesses = 2\n[uwgate]\nhttp-head-limit = 4096\n")
    assert loaded.settings.workers.processes == 2
    assert loaded.settings.http.http_head_limit == 4096


def test_a_section_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[uwsgi]\nprocesses=2\n[live]\nprocesses=4\n")
    assert load([f"{tmp_path}/a.ini:live"], {}).settings.workers.processes == 4


def test_a_missing_section_is_a_warning(configure: Configure) -> None:
    assert said(configure("[other]\nx=1\n")) == [
        "there is no section [uwsgi] or [uwgate]: nothing was read"
    ]


@pytest.mark.parametrize("header", ["[ uwsgi ]", "[uwsgi] ; mine", "[uWSGI]"])
def test_a_header_that_is_almost_right_is_pointed_out(configure: Configure, header: str) -> None:
    assert any("is skipped" in text for text in said(configure(f"{header}\nvacuum=1\n")))


def test_a_byte_order_mark_hides_no_section(configure: Configure) -> None:
    loaded = configure("\ufeff[uwsgi]\nprocesses = 2\n")
    assert loaded.settings.workers.processes == 2


# Unknown names


def test_an_unknown_key_that_nothing_refers_to_is_a_warning(configure: Configure) -> None:
    assert said(configure("[uwsgi]\nvaccum = true\n")) == [
        "there is no option 'vaccum'; did you mean 'vacuum'?; nothing refers to %(vaccum)"
    ]


@pytest.mark.parametrize(
    "use", ["chdir = %(base)", "processes = %(base * 2)", "if-env = NO\nx = %(base)\nendif"]
)
def test_an_unknown_key_that_is_referred_to_is_a_variable(configure: Configure, use: str) -> None:
    assert all("'base'" not in text for text in said(configure(f"[uwsgi]\nbase = 1\n{use}\n")))


def test_a_variable_may_be_used_by_the_file_that_includes(tmp_path: Path) -> None:
    (tmp_path / "vars.ini").write_text("[uwsgi]\nbase = /srv\nwww_dir = /www\n")
    (tmp_path / "a.ini").write_text(
        "[uwsgi]\nini = %dvars.ini\nchdir = %(base)\nlogto = %(www-dir)/x\n"
    )
    loaded = load([f"{tmp_path}/a.ini"], {})
    assert loaded.notes == ()
    assert loaded.settings.log.logto == "/www/x"


def test_strict_makes_every_unknown_key_fatal(configure: Configure) -> None:
    text = refused(configure, "[uwsgi]\nbase = /\nchdir = %(base)\nstrict = true\n")
    assert "app.ini:2: there is no option 'base' (strict)" in text


def test_strict_leaves_set_placeholder(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nstrict = true\nset-ph = base=/srv\nchdir = %(base)\n")
    assert loaded.settings.application.chdir == "/srv"


def test_our_section_is_strict(configure: Configure) -> None:
    text = refused(configure, "[uwgate]\nvaccum = true\n")
    assert "app.ini:2: there is no option 'vaccum'; did you mean 'vacuum'?" in text


def test_our_section_takes_no_odd_boolean(configure: Configure) -> None:
    text = refused(configure, "[uwgate]\nvacuum = certainly\n")
    assert "app.ini:2: vacuum: 'certainly': expected true or false" in text


def test_the_name_of_a_log_variable_is_no_reference(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nuser = bob\nlog-format = %(user) %(host) %(mine)\nmine = m\n")
    assert loaded.settings.log.log_format == "%(user) %(host) m"
    assert said(loaded) == ["there is no option 'user'; nothing refers to %(user)"]


# Accepted and not offered


def test_one_quiet_note_lists_what_needs_nothing(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nmaster\nenable-threads = true\nthunder-lock = 1\nmaster=1\n")
    assert said(loaded, Severity.NOTE) == [
        "accepted, nothing to do here: master, enable-threads, thunder-lock"
    ]
    assert said(loaded) == []


def test_all_options_that_are_not_offered_are_told_at_once(configure: Configure) -> None:
    text = refused(
        configure, "[uwsgi]\nemperor = /etc/v\nprocesses = x\nstats = :1717\n", "--harakiri=3"
    )
    places = [line.partition(": ")[0].rpartition("/")[2] for line in text.splitlines()]
    assert places == ["command line", "app.ini:2", "app.ini:3", "app.ini:4"]
    assert "emperor = /etc/v: not offered yet; instead: start one uwgate per file" in text


@pytest.mark.parametrize(
    "line",
    [
        "cheap = false",
        "harakiri = 0",
        "harakiri = 0 ; off",
        "offload-threads = 0",
        "hook-master-start = unix_signal:15 gracefully_kill_them_all",
    ],
)
def test_what_is_switched_off_needs_nothing(configure: Configure, line: str) -> None:
    assert said(configure(f"[uwsgi]\n{line}\n"), Severity.NOTE) != []


@pytest.mark.parametrize(
    "plugins",
    ["python3", "http,python", "a, b".replace("a", "python").replace("b", "http"), "0:python",
     "/usr/lib/uwsgi/python311_plugin.so", "router_redirect", "logfile", ""],
)  # fmt: skip
def test_plugins_that_are_built_in_are_accepted(configure: Configure, plugins: str) -> None:
    assert said(configure(f"[uwsgi]\nplugin = {plugins}\n")) == []


@pytest.mark.parametrize("plugin", ["sentry", "./escape_json_plugin.so", "php"])
def test_other_plugins_are_warned_about_by_name(configure: Configure, plugin: str) -> None:
    warnings = said(configure(f"[uwsgi]\nplugins = python, {plugin}\n"))
    assert len(warnings) == 1
    assert plugin in warnings[0]


def test_a_needed_plugin_must_exist(configure: Configure) -> None:
    assert "sentry" in refused(configure, "[uwsgi]\nneed-plugin = sentry\n")


def test_lazy_acts_as_lazy_apps(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nlazy = true\n")
    assert loaded.settings.application.lazy_apps
    assert said(loaded) == ["lazy = true: acts as lazy-apps"]


# Better than uWSGI


def test_options_that_act_at_once_see_references(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nbacklog = 64\nlisten = %(backlog)\n")
    assert loaded.settings.sockets.listen == 64


def test_the_queue_length_may_come_from_a_file(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "somaxconn").write_text("4096\n")
    loaded = configure(f"[uwsgi]\nlisten = @({tmp_path}/somaxconn)\n")
    assert loaded.settings.sockets.listen == 4096


def test_a_section_may_come_from_the_environment(configure: Configure) -> None:
    text = "[uwsgi]\nini = :$(STAGE)\n[live]\nprocesses = 8\n"
    assert configure(text, environ={"STAGE": "live"}).settings.workers.processes == 8


def test_parentheses_group_in_arithmetic(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nn = 3\nprocesses = %((%(n) * 2) + 1)\n")
    assert loaded.settings.workers.processes == 7
    assert said(loaded, Severity.NOTE) == ["processes = 7: parentheses group here; uWSGI miscounts"]


def test_a_nested_reference_is_no_arithmetic(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nstage = live\ndir-live = /srv\nchdir = %(dir-%(stage))\n")
    assert loaded.settings.application.chdir == "/srv"
    assert loaded.notes == ()


def test_a_reference_at_the_start_of_a_value_is_expanded(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nset-ph = b=/srv\nset-ph = a=%(b)\nchdir = %(a)\n")
    assert loaded.settings.application.chdir == "/srv"


def test_unknown_magic_stays_with_a_warning(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nlog-date = %Y\n")
    assert loaded.settings.log.log_date == "%Y"
    assert "'%Y' is no magic variable" in said(loaded)[0]


@pytest.mark.parametrize("text", ["# 100%\n[uwsgi]\n; %Z %\nvacuum=1\n[x]\ny=%Q%\n"])
def test_magic_in_comments_and_foreign_sections_is_left_alone(
    configure: Configure, text: str
) -> None:
    loaded = configure(text)
    assert loaded.settings.sockets.vacuum
    assert loaded.notes == ()


def test_merge_conflict_lines_are_pointed_out(configure: Configure) -> None:
    loaded = configure("[uwsgi]\n<<<<<<< HEAD\nvacuum=1\n=======\nvacuum=0\n>>>>>>> x\n")
    places = [note.place.line for note in loaded.notes if note.place]
    assert places == [2, 4, 6]


def test_an_empty_key_is_skipped_with_a_warning(configure: Configure) -> None:
    assert "no option in front" in said(configure("[uwsgi]\n = 5\n"))[0]


# What is inherited comes last


def test_inherited_values_win(tmp_path: Path) -> None:
    (tmp_path / "b.ini").write_text("[uwsgi]\nprocesses = 8\npythonpath = /last\n")
    (tmp_path / "a.ini").write_text("[uwsgi]\nprocesses = 2\npythonpath = /first\n")
    loaded = load(["--inherit", f"{tmp_path}/b.ini", "--ini", f"{tmp_path}/a.ini"], {})
    assert loaded.settings.workers.processes == 8
    assert loaded.settings.application.pythonpath == ("/first", "/last")


# Logic, lists, declared options


def test_blocks_cannot_be_nested(configure: Configure) -> None:
    text = refused(configure, "[uwsgi]\nfor = a b\nif-env = HOME\nendif\nendfor\n")
    assert "app.ini:3: if-env inside for of" in text


def test_a_block_that_never_ends_is_pointed_out(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nif-env = HOME\nprocesses = 2\n", environ={"HOME": "/"})
    assert loaded.settings.workers.processes == 2
    assert said(loaded) == ["if-env is never ended"]


def test_an_end_without_a_block_is_pointed_out(configure: Configure) -> None:
    assert said(configure("[uwsgi]\nendif =\n")) == ["endif ends nothing"]


def test_conditions_work_on_the_command_line() -> None:
    arguments = ["--if-env", "LIVE", "--processes", "4", "--endif", "--threads", "2"]
    assert load(arguments, {"LIVE": "1"}).settings.workers.processes == 4
    assert load(arguments, {}).settings.workers.processes == 1


def test_a_reload_is_told_from_a_start() -> None:
    arguments = ["--if-reload", "--processes", "4", "--endif"]
    assert load(arguments, {}, reloading=True).settings.workers.processes == 4
    assert load(arguments, {}).settings.workers.processes == 1


@pytest.mark.parametrize("word", ["declare-option", "declare-option2"])
def test_a_declared_option_stands_for_others(configure: Configure, word: str) -> None:
    loaded = configure(f"[uwsgi]\n{word} = app=chdir=/srv/$1;module=$2\nbase=x\napp = %(base) m\n")
    assert loaded.settings.application.chdir == "/srv/x"
    assert loaded.settings.application.module == "m"


def test_declare_option2_covers_uses_in_front_of_it(configure: Configure) -> None:
    loaded = configure("[uwsgi]\napp = a m\ndeclare-option2 = app=chdir=/srv/$1;module=$2\n")
    assert loaded.settings.application.chdir == "/srv/a"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("blacklist = uid gid\nuid = root\n", "uid is blacklisted here"),
        ("whitelist = uid end-whitelist\ngid = root\n", "gid is not on the whitelist"),
        ("set-ph = chdir=/x\n", "'chdir' is an option, not free"),
        ("set = nonsense\n", "expected NAME=value"),
        ("declare-option = nonsense\n", "expected NAME=option=value"),
        ("for-times = many\n", "'many', expected a number"),
        ("if-hostname-match = (\n", "no regular expression"),
        ("exit\n", "asks to exit here"),
        ("declare-option = a=a=$1\na = 1\n", "a is declared by itself"),
        ("a = 1\ndeclare-option2 = a=a=$1\n", "must be declared in front"),
        ("x = " + "%(" * 20000 + "\n", "references in one value"),
        ("x = %(x)\n", "circle"),
        ("chdir = @(/nowhere/at-all)\n", "No such file"),
        ("ini = /nowhere/a.ini\n", "No such file"),
        ("include = /nowhere/a.conf\n", "cannot tell the format"),
        ("for-readline = /nowhere\n", "for-readline: cannot read"),
        ("envdir = /nowhere\n", "envdir: cannot read"),
    ],
)
def test_mistakes_are_told_with_their_line(configure: Configure, text: str, reason: str) -> None:
    message = refused(configure, f"[uwsgi]\n{text}")
    assert reason in message
    assert "app.ini:" in message


def test_files_that_include_each_other_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[uwsgi]\nini = %db.ini\n")
    (tmp_path / "b.ini").write_text("[uwsgi]\nini = %da.ini\n")
    with pytest.raises(ConfigError, match=r"b\.ini:2: files include each other: .*a\.ini -> .*"):
        load([f"{tmp_path}/a.ini"], {})


def test_files_in_files_end_at_a_limit(tmp_path: Path) -> None:
    source = "[uwsgi]\nini = exec://sh %da.sh 1\n"
    script = "n=$(($1 + 1)); echo '[uwsgi]'; echo \"ini = exec://sh $0 $n\"\n"
    (tmp_path / "a.sh").write_text(script)
    (tmp_path / "a.ini").write_text(source)
    with pytest.raises(ConfigError, match="files in files, limit 32"):
        load([f"{tmp_path}/a.ini"], {})


def test_an_environment_directory_sets_variables(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "NAME").write_text("value \nmore\n")
    loaded = configure(f"[uwsgi]\nenvdir = {tmp_path}/env\n")
    assert loaded.settings.application.env == ("NAME=value",)


def test_print_shows_a_text(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nbase = /srv\nprint = base is %(base)\n")
    assert said(loaded, Severity.PRINT) == ["base is /srv"]


def test_show_config_asks_for_a_listing(configure: Configure) -> None:
    assert configure("[uwsgi]\nshow-config = true\n").show_config
    assert not configure("[uwsgi]\nshow-config = false\n").show_config


# Commands


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--help"], Command(name="help")),
        (["-h"], Command(name="help")),
        (["--help", "http"], Command(name="help", arguments=("http",))),
        (["--version"], Command(name="version")),
        (["--python-version"], Command(name="python-version")),
        (["--stop", "/run/x.pid"], Command(name="stop", arguments=("/run/x.pid",))),
        (["--reload", "/run/x.pid"], Command(name="reload", arguments=("/run/x.pid",))),
        (["--check", "--processes", "2"], Command(name="check")),
        (["--set", "a=1", "--set=a=2", "--get", "a"], Command(name="get", arguments=("1",))),
        (["--get", "nothing", "--get=http"], Command(name="get", arguments=("", ""))),
        (["--processes", "2"], None),
    ],
)
def test_commands_are_done_instead_of_running(
    arguments: list[str], command: Command | None
) -> None:
    assert load(arguments, {}).command == command


def test_a_value_can_be_asked_of_a_file_with_problems(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nharakiri = 30\nemperor = x\n", "--get", "harakiri")
    assert loaded.command == Command(name="get", arguments=("30",))


def test_commands_in_files_are_pointed_out(configure: Configure) -> None:
    assert said(configure("[uwsgi]\nstop = x.pid\n")) == [
        "stop has a meaning on the command line only"
    ]


def test_problems_come_with_the_warnings(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        configure("[uwsgi]\nvaccum = 1\nstats = :1\n")
    assert [note.severity for note in caught.value.remarks] == [Severity.WARNING]
