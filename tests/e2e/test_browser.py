"""A real browser: pages, forms, uploads and streams, over every protocol that it speaks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority, Certificate

from . import peers
from .browser import Browser, BrowserError, Page
from .processes import APPS, PATIENCE, free_port, running_uwgate

APP = ("--wsgi-file", str(APPS / "browsed.py"), "--threads", "8")
CODINGS = ("--http-auto-gzip", "--http-auto-brotli", "--http-auto-zstd")
PARTS = 24  # of the page, as the application has it
# 3 MB in the browser, and here.
FILE = "new Uint8Array(3_000_000).map((_, index) => index * 7)"
FILE_BYTES = bytes(index * 7 & 255 for index in range(3_000_000))
FILE_SEEN = {"size": len(FILE_BYTES), "sha256": hashlib.sha256(FILE_BYTES).hexdigest()}


@dataclass(frozen=True)
class Site:
    """Where the application is, and the protocol that it comes to with the browser."""

    url: str
    protocol: str = "http/1.1"


@contextlib.contextmanager
def plain(folder: Path, certificate: Certificate) -> Iterator[Site]:
    with running_uwgate("--http", "127.0.0.1:0", *CODINGS, *APP, folder=folder) as program:
        host, port = program.address
        yield Site(f"http://{host}:{port}")


@contextlib.contextmanager
def encrypted(folder: Path, certificate: Certificate) -> Iterator[Site]:
    certificate.write(folder, "site")
    where = ("--https", "127.0.0.1:0,site.crt,site.key")
    with running_uwgate(*where, *CODINGS, *APP, folder=folder) as program:
        yield Site(f"https://localhost:{program.address[1]}", best_protocol(program.address))


def best_protocol(address: tuple[str, int]) -> str:
    """What the server chooses when a client knows everything."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(address, PATIENCE) as sock,
        context.wrap_socket(sock) as connection,
    ):
        protocol = connection.selected_alpn_protocol()
    assert protocol == "h2"
    return protocol


SITES = {"http": plain, "https": encrypted}


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Authority().server("localhost")


@pytest.fixture(scope="module")
def browser(shared_folder: Path, certificate: Certificate) -> Iterator[Browser]:
    with Browser(shared_folder, [certificate.chain[0]]) as browser:
        yield browser


@pytest.fixture(scope="module")
def old_browser(shared_folder: Path, certificate: Certificate) -> Iterator[Browser]:
    """One that does not know HTTP/2."""
    trusted = [certificate.chain[0]]
    with Browser(shared_folder, trusted, "--disable-http2", name="old-chromium") as browser:
        yield browser


@pytest.fixture(scope="module", params=SITES)
def site(
    request: pytest.FixtureRequest, shared_folder: Path, certificate: Certificate
) -> Iterator[Site]:
    folder = shared_folder / request.param
    folder.mkdir()
    with SITES[request.param](folder, certificate) as site:
        yield site


@pytest.fixture(scope="module")
def tab(browser: Browser, site: Site) -> Page:
    """One for all tests of a site: each is a process of its own, and stays."""
    return browser.page()


@pytest.fixture
def page(tab: Page, site: Site) -> Page:
    """A page that has just been opened."""
    tab.open(site.url)
    return tab


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


@contextlib.contextmanager
def before_workers(folder: Path) -> Iterator[tuple[str, ...]]:
    yield "--wsgi-file", str(APPS / "echo_socket.py"), "--threads", "4"


@contextlib.contextmanager
def before_uwsgi(folder: Path) -> Iterator[tuple[str, ...]]:
    backend = f"{folder}/uwsgi.sock"
    with peers.uwsgi(folder, "--socket", backend, app="echo_socket.py"):
        yield "--http-to", backend


ECHOES = {"before_workers": before_workers, "before_uwsgi": before_uwsgi}


@pytest.fixture(scope="module", params=ECHOES)
def echo(
    request: pytest.FixtureRequest, shared_folder: Path, certificate: Certificate
) -> Iterator[Site]:
    """A page beside a WebSocket that says what it was told, behind our TLS."""
    folder = shared_folder / request.param
    folder.mkdir()
    certificate.write(folder, "site")
    where = ("--https", "127.0.0.1:0,site.crt,site.key")
    with (
        ECHOES[request.param](folder) as backend,
        running_uwgate(*where, *backend, folder=folder) as program,
    ):
        yield Site(f"https://localhost:{program.address[1]}", best_protocol(program.address))


@pytest.mark.parametrize("age", ["old", "new"])
def test_a_websocket_echoes(browser: Browser, old_browser: Browser, echo: Site, age: str) -> None:
    page = (old_browser if age == "old" else browser).page()
    page.open(echo.url)
    assert page.protocol() == ("http/1.1" if age == "old" else echo.protocol)
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
