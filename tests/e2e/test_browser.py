"""A real browser: pages, forms, uploads and streams, over every protocol that it speaks."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority, Certificate

from . import peers
from .browser import Browser, BrowserError, Page
from .processes import APPS, free_port, running_uwgate

APP = ("--wsgi-file", str(APPS / "browsed.py"), "--threads", "8")
CODINGS = ("--http-auto-gzip", "--http-auto-brotli", "--http-auto-zstd")
PARTS = 24  # of the page, as the application has it
# 3 MB in the browser, and here.
FILE = "new Uint8Array(3_000_000).map((_, index) => index * 7)"
FILE_BYTES = bytes(index * 7 & 255 for index in range(3_000_000))
FILE_SEEN = {"size": len(FILE_BYTES), "sha256": hashlib.sha256(FILE_BYTES).hexdigest()}


@dataclass(frozen=True)
class Site:
    """Where the application is, and how the browser is to come there."""

    url: str
    protocol: str


@contextlib.contextmanager
def plain(folder: Path, certificate: Certificate) -> Iterator[Site]:
    with running_uwgate("--http", "127.0.0.1:0", *CODINGS, *APP, folder=folder) as program:
        host, port = program.address
        yield Site(f"http://{host}:{port}", "http/1.1")


@contextlib.contextmanager
def encrypted(folder: Path, certificate: Certificate) -> Iterator[Site]:
    certificate.write(folder, "site")
    where = ("--https", "127.0.0.1:0,site.crt,site.key")
    with running_uwgate(*where, *CODINGS, *APP, folder=folder) as program:
        _, port = program.address
        yield Site(f"https://localhost:{port}", "http/1.1")


SITES = {"http": plain, "https": encrypted}


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Authority().server("localhost")


@pytest.fixture(scope="module")
def browser(shared_folder: Path, certificate: Certificate) -> Iterator[Browser]:
    with Browser(shared_folder, [certificate.chain[0]]) as browser:
        yield browser


@pytest.fixture(scope="module", params=SITES)
def site(
    request: pytest.FixtureRequest, shared_folder: Path, certificate: Certificate
) -> Iterator[Site]:
    folder = shared_folder / request.param
    folder.mkdir()
    with SITES[request.param](folder, certificate) as site:
        yield site


@pytest.fixture
def page(browser: Browser, site: Site) -> Page:
    """A page that has just been opened."""
    page = browser.page()
    page.open(site.url)
    return page


def test_a_page_comes_with_all_its_parts(page: Page, site: Site) -> None:
    assert page.text("h1") == "A page"
    assert page.run("return getComputedStyle(title).color") == "rgb(1, 2, 3)"
    assert page.run("return window.loaded") == "script"
    widths = page.run("return Array.from(document.images, image => image.naturalWidth)")
    assert widths == [100 + number for number in range(PARTS)]
    assert page.protocol() == site.protocol


def test_the_application_sees_how_it_was_asked(page: Page, site: Site) -> None:
    seen = page.run("return await (await fetch('/seen?a=%20b')).json()")
    scheme, _, host = site.url.partition("://")
    assert seen["scheme"] == scheme
    assert seen["HTTP_HOST"] == host
    assert seen["QUERY_STRING"] == "a=%20b"


def test_a_form_is_posted(page: Page) -> None:
    page.follow(
        """
        document.forms.words.name.value = 'Grüße & mehr';
        document.forms.words.text.value = 'one\\ntwo';
        document.forms.words.submit();
        """
    )
    assert json.loads(page.text("#seen")) == {"name": ["Grüße & mehr"], "text": ["one\r\ntwo"]}


def test_a_file_is_uploaded(page: Page) -> None:
    page.follow(
        f"""
        var list = new DataTransfer();
        list.items.add(new File([{FILE}], 'data.bin'));
        document.forms.file.file.files = list.files;
        document.forms.file.note.value = 'x';
        document.forms.file.submit();
        """
    )
    seen = json.loads(page.text("#seen"))
    assert seen["file"] == FILE_SEEN
    assert seen["note"]["size"] == 1


def test_many_requests_at_once_all_come_back(page: Page) -> None:
    answers = page.run(
        """
        const ask = async number => (await (await fetch('/seen?' + number)).json()).QUERY_STRING;
        return Promise.all(Array.from({length: 200}, (_, number) => ask(number)));
        """
    )
    assert answers == [str(number) for number in range(200)]


def test_many_uploads_at_once_all_arrive(page: Page) -> None:
    seen = page.run(
        f"""
        const body = {FILE};
        const send = async () => (await fetch('/receive', {{method: 'POST', body}})).json();
        return Promise.all(Array.from({{length: 6}}, send));
        """
    )
    assert seen == [FILE_SEEN] * 6


@pytest.mark.parametrize("encoding", ["", "?encoding=gzip", "?encoding=br", "?encoding=zstd"])
def test_a_stream_is_read_piece_by_piece(page: Page, encoding: str) -> None:
    """The next piece is sent only when the one before has been read."""
    answer = page.run(
        f"""
        const response = await fetch('/stream{encoding}');
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const pieces = [];
        for (;;) {{
            const {{done, value}} = await reader.read();
            if (done) break;
            pieces.push(value);
            await fetch('/more');
        }}
        return {{pieces, coding: response.headers.get('content-encoding')}};
        """
    )
    assert answer["pieces"] == [f"piece {number}\n" for number in range(5)]
    assert answer["coding"] == (encoding.removeprefix("?encoding=") or None)


@pytest.mark.parametrize("encoding", ["", "?encoding=gzip"])
def test_events_arrive_one_by_one(page: Page, encoding: str) -> None:
    pieces = page.run(
        f"""
        return new Promise((resolve, reject) => {{
            const source = new EventSource('/events{encoding}');
            const pieces = [];
            source.onmessage = event => {{
                pieces.push(event.data);
                fetch('/more');
                if (pieces.length == 5) {{ source.close(); resolve(pieces); }}
            }};
            source.onerror = () => reject(new Error('after ' + pieces));
        }});
        """
    )
    assert pieces == [f"piece {number}" for number in range(5)]


def test_a_request_that_is_given_up_harms_no_other(page: Page) -> None:
    answer = page.run(
        """
        const controller = new AbortController();
        const response = await fetch('/stream', {signal: controller.signal});
        const reader = response.body.getReader();
        await reader.read();
        controller.abort();
        const outcome = await reader.read().then(() => 'read', error => error.name);
        for (let left = 4; left; left--) await fetch('/more');
        const next = await (await fetch('/seen')).json();
        return [outcome, next.REQUEST_METHOD];
        """
    )
    assert answer == ["AbortError", "GET"]


def test_a_certificate_of_somebody_else_is_refused(browser: Browser, folder: Path) -> None:
    stranger = Authority().server("localhost", number=1)
    with (
        encrypted(folder, stranger) as site,
        pytest.raises(BrowserError, match="ERR_CERT_AUTHORITY_INVALID"),
    ):
        browser.page().open(site.url)


def test_where_nobody_listens_there_is_no_page(browser: Browser) -> None:
    with pytest.raises(BrowserError, match="ERR_CONNECTION_REFUSED"):
        browser.page().open(f"http://127.0.0.1:{free_port()}/")


@pytest.fixture(scope="module")
def echo(shared_folder: Path, certificate: Certificate) -> Iterator[Site]:
    """A page beside a WebSocket, on a real uWSGI behind our TLS."""
    folder = shared_folder / "echo"
    folder.mkdir()
    certificate.write(folder, "site")
    backend = f"{folder}/uwsgi.sock"
    where = ("--https", "127.0.0.1:0,site.crt,site.key", "--http-to", backend)
    with (
        peers.uwsgi(folder, "--socket", backend, app="echo_socket.py"),
        running_uwgate(*where, folder=folder) as program,
    ):
        _, port = program.address
        yield Site(f"https://localhost:{port}", "http/1.1")


def test_a_websocket_echoes(browser: Browser, echo: Site) -> None:
    page = browser.page()
    page.open(echo.url)
    answers = page.run(
        """
        const messages = ['Grüße', '', 'x'.repeat(70_000), 'end'];
        const socket = new WebSocket(location.href.replace('http', 'ws') + 'echo');
        const answers = [];
        await new Promise((resolve, reject) => {
            socket.onopen = () => messages.forEach(message => socket.send(message));
            socket.onerror = () => reject(new Error('after ' + answers.length));
            socket.onclose = event => reject(new Error('closed with ' + event.code));
            socket.onmessage = event => {
                answers.push(event.data);
                if (event.data == 'end') resolve();
            };
        });
        socket.close();
        return answers;
        """
    )
    assert answers == ["Grüße", "", "x" * 70_000, "end"]
