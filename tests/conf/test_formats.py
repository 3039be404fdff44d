"""YAML, JSON, TOML and XML files: pairs, lines, mistakes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conf.conftest import Configure
    from uwgate.conf.loading import Loaded


def pairs(loaded: Loaded) -> list[tuple[str, str | None]]:
    return [(pair.key, pair.value) for pair in loaded.pairs]


def lines(loaded: Loaded) -> list[int]:
    return [pair.place.line for pair in loaded.pairs]


def refused(configure: Configure, text: str, name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configure(text, name=name)
    return str(caught.value)


YAML = """\
galaxy: {"broken
uwsgi:  # comment
  socket: :5000
  socket: 127.0.0.1:0   # a second one
  module: x:uwsgi_app()
  mount: /=server:app
  chdir: %d
  logto: %(base)/a
  procname: *:80
  pidfile: @(exec://echo /run/x.pid)
  log-format: {"uri": "%(uri)"}
  umask: 0022
  vacuum: True
  master: 1
  env:
    - A=1
    - B=it's
  pythonpath: [/a, "/b "]
  base: /srv
  uid: 'root'
  master:
other:
  processes: 9
"""


def test_a_yaml_block_yields_its_pairs_as_text(configure: Configure, tmp_path: Path) -> None:
    assert pairs(configure(YAML, name="app.yml")) == [
        ("socket", ":5000"),
        ("socket", "127.0.0.1:0"),
        ("module", "x:uwsgi_app()"),
        ("mount", "/=server:app"),
        ("chdir", f"{tmp_path}/"),
        ("logto", "/srv/a"),
        ("procname", "*:80"),
        ("pidfile", "/run/x.pid"),
        ("log-format", '{"uri": "%(uri)"}'),
        ("umask", "0022"),
        ("vacuum", "True"),
        ("master", "1"),
        ("env", "A=1"),
        ("env", "B=it's"),
        ("pythonpath", "/a"),
        ("pythonpath", "/b "),
        ("base", "/srv"),
        ("uid", "root"),
        ("master", None),
    ]


def test_yaml_pairs_know_their_lines(configure: Configure) -> None:
    assert lines(configure(YAML, name="app.yaml"))[:4] == [3, 4, 5, 6]


@pytest.mark.parametrize("text", ["uwsgi:\r\n  processes: 2\r\n", '"uwsgi": {processes: 2}\n'])
def test_yaml_may_have_other_shapes(configure: Configure, text: str) -> None:
    assert pairs(configure(text, name="app.yaml")) == [("processes", "2")]


def test_an_empty_yaml_section_yields_nothing(configure: Configure) -> None:
    assert pairs(configure("uwsgi:\n", name="app.yaml")) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("uwsgi:\n  a: 1\n  b: [1\n", "app.yml:4: no YAML"),
        ("uwsgi:\n  a: 1\n  b:\n    c: 1\n", "app.yml:3: b: expected a value"),
        ("uwsgi:\n  - a\n", "app.yml:1: expected 'option: value' lines"),
        ("uwsgi: text\n", "app.yml:1: expected 'option: value' lines"),
    ],
)
def test_broken_yaml_is_told_with_its_line(configure: Configure, text: str, reason: str) -> None:
    assert reason in refused(configure, text, "app.yml")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("app.yaml", "yaml", "uwgate[yaml]"), ("app.xml", "defusedxml", "uwgate[xml]")],
)
def test_a_missing_extra_is_named(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install '{extra}'" in refused(configure, "uwsgi:\n  a: 1\n", name)


def test_json_members_are_options(configure: Configure) -> None:
    text = """{"other": [1],
    "uwsgi": {
      "processes": 2,
      "vacuum": true,
      "lazy-apps": false,
      "die-on-term": null,
      "socket": [":1", ":2"],
      "chdir": "%d", "env": "A=1",
      "env": "B=1"}}"""
    loaded = configure(text, name="app.json")
    assert [value for key, value in pairs(loaded) if key != "chdir"] == [
        "2", "1", "0", "0", ":1", ":2", "A=1", "B=1",
    ]  # fmt: skip
    assert lines(loaded) == [3, 4, 5, 6, 7, 7, 8, 8, 9]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"uwsgi": {"a": 1,\n}}', "app.json:2: no JSON"),
        ('{"uwsgi": {"a": 1,\n}}', "a comma behind the last member"),
        ('{"uwsgi": {"a": {"b": 1}}}', "app.json:1: a: expected a value"),
        ('{"uwsgi": [1]}', "must be an object"),
        ('{"uwsgi": 1}', "must be an object"),
        ("1", "expected an object"),
    ],
)
def test_broken_json_is_told(configure: Configure, text: str, reason: str) -> None:
    assert reason in refused(configure, text, "app.json")


def test_toml_tables_are_sections(configure: Configure) -> None:
    text = '[uwsgi]\nprocesses = 2\nvacuum = true\nenv = ["A=1", "B=2"]\n[uwgate]\nthreads = 3\n'
    loaded = configure(text, name="app.toml")
    assert pairs(loaded) == [
        ("processes", "2"),
        ("vacuum", "1"),
        ("env", "A=1"),
        ("env", "B=2"),
        ("threads", "3"),
    ]
    assert lines(loaded) == [2, 3, 4, 4, 6]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[uwsgi]\na = \n", "app.toml:2: no TOML"),
        ("[uwsgi]\na = {b = 1}\n", "app.toml:2: a: expected a value"),
        ("uwsgi = 1\n", "'uwsgi' must be a table"),
    ],
)
def test_broken_toml_is_told(configure: Configure, text: str, reason: str) -> None:
    assert reason in refused(configure, text, "app.toml")


XML = """\
<!-- comment -->
<uwsgi id="one">
  <master/>
  <processes>2</processes>
  <!-- comment -->
  <app mountpoint="/x"><script>x.py</script></app>
  <env>A=größe</env>
  <threads mode="live">8</threads>
</uwsgi>
"""


def test_xml_elements_are_options(configure: Configure) -> None:
    loaded = configure(XML, name="app.xml")
    assert pairs(loaded) == [
        ("master", "1"),
        ("processes", "2"),
        ("mount", "/x=x.py"),
        ("env", "A=größe"),
    ]
    assert lines(loaded) == [3, 4, 6, 7]


def test_xml_elements_of_a_mode_are_used_in_that_mode(configure: Configure) -> None:
    loaded = configure(XML, "--mode", "live", name="app.xml")
    assert loaded.settings.workers.threads == 8


def test_xml_is_chosen_by_id(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        f"<root>{XML}<uwsgi id='two'><threads>3</threads></uwsgi></root>"
    )
    assert load([f"{tmp_path}/a.xml:two"], {}).settings.workers.threads == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<uwsgi>\n<a></uwsgi>", "app.xml:2: no XML"),
        ("<uwsgi><a><b/></a></uwsgi>", "<a>: expected text"),
        ("<uwsgi><app/></uwsgi>", "<app> needs"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><uwsgi/>', "refused"),
    ],
)
def test_broken_xml_is_told(configure: Configure, text: str, reason: str) -> None:
    assert reason in refused(configure, text, "app.xml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "other:\n  a: 1\n"),
        ("a.json", '{"other": {}}'),
        ("a.toml", "[other]\n"),
        ("a.xml", "<other/>"),
    ],
)
def test_a_file_without_our_section_is_a_warning(
    configure: Configure, name: str, text: str
) -> None:
    assert "there is no section" in configure(text, name=name).notes[0].text
