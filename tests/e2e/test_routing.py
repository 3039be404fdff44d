"""Routing rules in the HTTP gateway, with real processes: the examples of uWSGI's documents."""

from __future__ import annotations

import base64
import gzip
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Answer, Connection, ask, request
from .conftest import Start
from .peers import program
from .processes import Uwgate, finish_uwgate, start_uwgate

APP = Path(__file__).parents[1] / "routing" / "mirror.py"
RULES = r"""
[uwsgi]
http = 127.0.0.1:0
http2-prior-knowledge = true
wsgi-file = {app}
processes = 1

route = ^/old/(\d+)$ redirect-permanent:/new/$1?from=${PATH_INFO}

route-uri = ^/u/([a-z]+) rewrite:/index?name=$1
route = ^/index$ addvar:TAG=rewritten-$1

route = ^/private basicauth-next:Area,bob:pw1
route = ^/private basicauth:Area,{users}
route-remote-user = ^(.+)$ addheader:X-User: $1

error-route-status = 404 redirect:/not-found?u=${REQUEST_URI}

collect-header = Content-Type RESP_CT
response-route-if = startswith:${RESP_CT};text/html goto:html
response-route-run = last:
response-route-label = html
response-route-run = addheader:X-Html: ${RESP_CT}

route = ^/pieces goto:encoded
route-run = goto:not-encoded
route-label = encoded
route-if = contains:${HTTP_ACCEPT_ENCODING};gzip gzip:
route-run = chunked:
route-label = not-encoded

route-if = isfile:{files}${PATH_INFO} static:{files}${PATH_INFO}
route-if = ipv4in:${REMOTE_ADDR};127.0.0.0/8 addvar:TAG3=local
route-if = regexp:${QUERY_STRING};(^|&)t=(\w+) addvar:TAG3=$2

cache2 = name=pages,items=10
route = ^/c/(.*)$ cache:key=page-$1,name=pages,content_type=text/plain
route = ^/c/(.*)$ cachestore:key=page-$1,name=pages,expires=60

route = ^/teapot$ return:418
route = ^/close$ break:
route = ^/hash/(.*)$ hash:key=$1,var=TAG2,items=n1;n2;n3
route = ^/elsewhere http:{dead}
final-route-run = log:MYLOG ${uwsgi[status]} ${PATH_INFO}

route-host = ^(admin)\. goto:$1
route-run = last:
route-label = admin
route-remote-addr = ^127\. addheader:X-Zone: admin
route-if-not = startswith:${HTTP_USER_AGENT};curl break:403 Forbidden
route-run = addvar:TAG=admin
"""


@pytest.fixture(scope="module")
def site(shared_folder: Path) -> Iterator[Uwgate]:
    files = shared_folder / "files"
    files.mkdir()
    (files / "file.txt").write_bytes(b"hello world\n")
    (files / "large.bin").write_bytes(b"0123456789abcdef" * (1 << 18))
    users = shared_folder / "users"
    users.write_text("eve:{SHA}8Wyi36Noi/CMek4hVErxW9WYy3A=\n")  # "pw2"
    names = {"app": APP, "users": users, "files": files, "dead": shared_folder / "dead.sock"}
    ini = shared_folder / "site.ini"
    text = RULES
    for name, value in names.items():
        text = text.replace("{" + name + "}", str(value))
    ini.write_text(text)
    found = start_uwgate(str(ini), folder=shared_folder)
    found.wait_for_log("generation 1 serves")
    yield found
    finish_uwgate(found)


def get(
    site: Uwgate,
    target: str,
    *headers: tuple[str, str],
    method: str = "GET",
    host: str = "example.com",
) -> Answer:
    return ask(site.address, request(method, target, headers, host=host), method)


def shown(answer: Answer) -> dict[str, str]:
    """What the application saw."""
    pairs = (line.partition("=") for line in answer.body.decode().splitlines())
    return {name: value for name, _, value in pairs if value}


def basic(text: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(text.encode()).decode()


def test_a_redirect_has_groups_and_variables(site: Uwgate) -> None:
    answer = get(site, "/old/42")
    assert (answer.status, answer.reason) == (301, "Moved Permanently")
    assert answer["Location"] == "/new/42?from=/old/42"
    assert answer.body == b"Moved Permanently"
    assert shown(get(site, "/old/x"))["PATH_INFO"] == "/old/x"


def test_a_rewritten_request_keeps_its_query_and_loses_the_groups(site: Uwgate) -> None:
    seen = shown(get(site, "/u/bob?x=1"))
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/index", "name=bob&x=1")
    assert seen["TAG"] == "rewritten-"


def test_a_goto_leads_to_the_rules_of_a_host(site: Uwgate) -> None:
    assert "TAG" not in shown(get(site, "/"))
    answer = get(site, "/", ("User-Agent", "curl/8"), host="admin.example")
    assert (answer["X-Zone"], shown(answer)["TAG"]) == ("admin", "admin")
    refused = get(site, "/", ("User-Agent", "Moz"), host="admin.example")
    assert (refused.status, refused["Connection"], refused.body) == (403, "close", b"")


def test_two_users_come_in_and_nobody_else(site: Uwgate) -> None:
    answer = get(site, "/private")
    assert (answer.status, answer.reason) == (401, "Authorization Required")
    assert answer["WWW-Authenticate"] == 'Basic realm="Area"'
    for user, password in (("bob", "pw1"), ("eve", "pw2")):
        answer = get(site, "/private", basic(f"{user}:{password}"))
        assert (answer["X-User"], shown(answer)["REMOTE_USER"]) == (user, user)
    assert get(site, "/private", basic("eve:bad")).status == 401


def test_an_error_of_the_application_becomes_a_redirect(site: Uwgate) -> None:
    answer = get(site, "/missing")
    assert (answer.status, answer.body) == (302, b"Moved")
    assert answer["Location"] == "/not-found?u=/missing"


def test_a_rule_for_responses_sees_a_collected_header(site: Uwgate) -> None:
    assert get(site, "/a.html")["X-Html"] == "text/html"
    assert "X-Html" not in get(site, "/a.txt")


def test_who_accepts_gzip_gets_it_and_all_get_chunks(site: Uwgate) -> None:
    answer = get(site, "/pieces", ("Accept-Encoding", "gzip"))
    assert (answer["Content-Encoding"], answer["Transfer-Encoding"]) == ("gzip", "chunked")
    assert gzip.decompress(answer.body) == b"alpha-beta\n"
    answer = get(site, "/pieces")
    assert "Content-Encoding" not in answer
    assert (answer["Transfer-Encoding"], answer.body) == ("chunked", b"alpha-beta\n")


def test_a_file_is_served_if_there_is_one(site: Uwgate) -> None:
    answer = get(site, "/file.txt")
    assert (answer["Content-Type"], answer.body) == ("text/plain", b"hello world\n")
    assert get(site, "/file.txt", ("If-None-Match", answer["ETag"])).status == 304
    large = get(site, "/large.bin")
    assert large.body == b"0123456789abcdef" * (1 << 18)
    assert get(site, "/large.bin", ("Range", "bytes=16-19")).body == b"0123"
    assert shown(get(site, "/nofile"))["TAG3"] == "local"
    assert shown(get(site, "/nofile?a=1&t=zed"))["TAG3"] == "zed"


def test_answers_without_an_application(site: Uwgate) -> None:
    answer = get(site, "/teapot")
    assert (answer.status, answer.reason, answer.body) == (418, "I'm a teapot", b"I'm a teapot")
    assert get(site, "/teapot", method="HEAD").body == b""
    with Connection(site.address) as connection:
        connection.send(request("GET", "/close"))
        assert connection.ended()
    assert shown(get(site, "/hash/alpha"))["TAG2"] == "n3"
    site.wait_for_log(r"MYLOG 418 /teapot")
    site.wait_for_log(r"MYLOG 200 /hash/alpha")


def test_a_page_comes_from_the_cache_the_second_time(site: Uwgate) -> None:
    first = get(site, "/c/a")
    assert "X-App" in first
    site.wait_for(lambda: "X-App" not in get(site, "/c/a"), "answer from the cache")
    cached = get(site, "/c/a")
    assert cached.body == first.body
    assert cached["Content-Length"] == str(len(first.body))
    assert "Expires" in cached


def test_a_dead_backend_of_a_rule_is_a_502(site: Uwgate) -> None:
    assert get(site, "/elsewhere").status == 502


def test_http2_clients_get_the_same(site: Uwgate) -> None:
    host, port = site.address

    def curl(*arguments: str) -> str:
        argv = [program("curl"), "-sS", "-m", "60", "--http2-prior-knowledge", *arguments]
        return subprocess.run(argv, capture_output=True, check=True, text=True).stdout

    url = f"http://{host}:{port}"
    assert "location: /new/42?from=/old/42" in curl("-i", f"{url}/old/42")
    assert "PATH_INFO=/index" in curl(f"{url}/u/bob")
    assert curl(f"{url}/file.txt") == "hello world\n"
    assert curl("--compressed", f"{url}/pieces") == "alpha-beta\n"
    assert "x-user: eve" in curl("-i", "-u", "eve:pw2", f"{url}/private")
    assert curl("-o", "/dev/null", "-w", "%{size_download}", f"{url}/large.bin") == "4194304"
    broken = [program("curl"), "-sS", "-m", "60", "--http2-prior-knowledge", f"{url}/close"]
    assert subprocess.run(broken, capture_output=True, check=False).returncode == 92  # reset


def test_mistakes_stop_the_start_with_file_and_line(folder: Path) -> None:
    ini = folder / "wrong.ini"
    ini.write_text("[uwsgi]\nhttp = 127.0.0.1:0\nroute = ^/( last:\nroute-run = brake:\n")
    wrong = start_uwgate("--check", str(ini), folder=folder)
    assert wrong.wait() == 1
    assert re.search(r"wrong\.ini:3: route = \^/\( last:: bad regular expression", wrong.log)
    assert "wrong.ini:4: route-run = brake:: unknown action 'brake'" in wrong.log


def test_a_reload_brings_other_rules_and_a_broken_one_none(uwgate: Start, folder: Path) -> None:
    ini = folder / "site.ini"
    text = f"[uwsgi]\nhttp = 127.0.0.1:0\nwsgi-file = {APP}\nroute-run = redirect:/{{}}\n"
    ini.write_text(text.format("old"))
    running = uwgate(str(ini))
    running.wait_for_log("generation 1 serves")
    assert get(running, "/")["Location"] == "/old"
    ini.write_text(text.format("${nonsense[x]}"))
    running.popen.send_signal(signal.SIGHUP)
    running.wait_for_log(r"site\.ini:4: route-run = redirect:/\$\{nonsense\[x\]\}")
    assert get(running, "/")["Location"] == "/old"
    ini.write_text(text.format("new"))
    running.popen.send_signal(signal.SIGHUP)
    # The old gateway may take connections for another moment.
    running.wait_for(lambda: get(running, "/")["Location"] == "/new", "answer by the new rules")
