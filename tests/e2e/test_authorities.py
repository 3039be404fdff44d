"""Who may come in, by real servers that know users; and documents made of others.

Experts are asked directly, and by the rules of one program, in its gateway and in its workers.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.routing.examples import basic
from uwgate.experts.experts import Experts
from uwgate.routing.results import Admitted, Authority, CheckCredentials, Failed

from . import authorities
from .authorities import SECRET, Directory, Domain
from .processes import PATIENCE, free_port, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .processes import Process

pytest.importorskip("ldap3")
pytest.importorskip("pyrad")
pytest.importorskip("lxml")
HAS_KERBEROS = importlib.util.find_spec("gssapi") is not None
needs_kerberos = pytest.mark.skipif(not HAS_KERBEROS, reason="gssapi is not installed")

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/xml")])
    return [b"<user>", environ.get("REMOTE_USER", "nobody").encode("latin-1"), b"</user>"]
"""
SHEET = """\
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="html"/><xsl:param name="name"/>
<xsl:template match="/"><p><xsl:value-of select="$name"/>: <xsl:value-of select="."/></p>
</xsl:template></xsl:stylesheet>
"""
RULES = """\
[uwsgi]
cache2 = name=c,items=10
add-cache-item = greeting=<b>hello</b>
route = ^/ldap/ ldapauth:Area,url={ldap};basedn=dc=example;filter=(employeeType=staff)
route = ^/down/ ldapauth:Area,url=ldap://127.0.0.1:1;basedn=dc=example
route = ^/either/ ldapauth-next:Area,url=ldap://127.0.0.1:1;basedn=dc=example
route = ^/either/ ldapauth-next:Area,url={ldap};basedn=dc=example;loglevel=1
route = ^/either/ radius-next:realm=Area,server={radius},secret={secret}
route = ^/either/ basicauth:Area,carol:last
route = ^/radius/ radius:realm=Area,server={radius},secret={secret},nas_port=7
{spnego}
route = ^/xslt/(.*) xslt:doc={folder}/documents/$1,stylesheet={folder}/s.xsl,params=name=${{qs[n]}}
route = ^/toxslt/ toxslt:stylesheet={folder}/s.xsl,params=name=user
route = ^/ssi/(.*) ssi:{folder}/documents/$1
"""
PAGE = (
    '<i><!--#echo var="QUERY_STRING"--></i><!--#include file="part"--><!--#cache key="greeting"-->'
)


@pytest.fixture(scope="module")
def people(shared_folder: Path) -> Iterator[Directory]:
    folder = shared_folder / "ldap"
    folder.mkdir()
    with authorities.directory(folder) as found:
        yield found


@pytest.fixture(scope="module")
def radius(shared_folder: Path) -> Iterator[str]:
    folder = shared_folder / "radius"
    folder.mkdir()
    with authorities.radius(folder) as found:
        yield found


@pytest.fixture(scope="module")
def domain(shared_folder: Path) -> Iterator[Domain | None]:
    """None: there is no library for it."""
    if not HAS_KERBEROS:
        yield None
        return
    folder = shared_folder / "krb5"
    folder.mkdir()
    with authorities.domain(folder) as found:
        yield found


@dataclass(frozen=True, slots=True)
class Doors:
    """A running program. ``addresses`` by who runs the rules."""

    process: Process
    addresses: dict[str, tuple[str, int]]

    def ask(
        self, door: str, target: str, headers: dict[str, str] | None = None
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """Status, body and headers."""
        connection = http.client.HTTPConnection(*self.addresses[door], timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", target, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers


@pytest.fixture(scope="module")
def doors(
    shared_folder: Path, people: Directory, radius: str, domain: Domain | None
) -> Iterator[Doors]:
    folder = shared_folder
    documents = folder / "documents"
    documents.mkdir()
    (documents / "doc.xml").write_text("<r>one</r>")
    (documents / "broken.xml").write_text("<r>")
    (documents / "page").write_text(PAGE)
    (documents / "part").write_text("<hr>")
    (folder / "s.xsl").write_text(SHEET)
    (folder / "app.py").write_text(APP)
    config = folder / "uwgate.ini"
    config.write_text(
        RULES.format(
            ldap=people.url,
            radius=radius,
            secret=SECRET,
            folder=folder,
            spnego="route = ^/spnego/ spnego:HTTP@localhost" if domain else "",
        )
    )
    ports = {"gateway": free_port(), "worker": free_port()}
    with running_uwgate(
        *("--ini", str(config), "--wsgi-file", str(folder / "app.py")),
        *("--http", f"127.0.0.1:{ports['gateway']}"),
        *("--http-socket", f"127.0.0.1:{ports['worker']}"),
        folder=folder,
        env=domain.environ if domain else None,
    ) as program:
        program.wait_for_log("generation 1 serves")
        yield Doors(program, {name: ("127.0.0.1", port) for name, port in ports.items()})


both = pytest.mark.parametrize("door", ["gateway", "worker"])


# What the program does


@both
def test_a_directory_says_who_may_come_in(doors: Doors, door: str) -> None:
    status, body, _ = doors.ask(door, "/ldap/x", basic("alice:wonder:land"))
    assert (status, body) == (200, "<user>alice</user>")
    for wrong in ("alice:wonder", "bob:builder", "alice:", "*:wonder:land"):
        status, body, headers = doors.ask(door, "/ldap/x", basic(wrong))
        assert (status, body) == (401, "Unauthorized")
        assert headers["WWW-Authenticate"] == 'Basic realm="Area"'
    assert doors.ask(door, "/ldap/x")[0] == 401


@both
def test_a_radius_server_says_who_may_come_in(doors: Doors, door: str) -> None:
    status, body, _ = doors.ask(door, "/radius/x", basic("alice:wonder:land"))
    assert (status, body) == (200, "<user>alice</user>")
    assert doors.ask(door, "/radius/x", basic("alice:x"))[0] == 401
    assert doors.ask(door, "/radius/x", basic("bob:"))[0] == 401


@both
def test_nobody_comes_in_while_a_server_is_down(doors: Doors, door: str) -> None:
    assert doors.ask(door, "/down/x", basic("alice:wonder:land"))[0] == 503
    assert "Connection refused" in doors.process.log
    assert doors.ask(door, "/down/x")[0] == 401


@both
@pytest.mark.parametrize("user", ["alice:wonder:land", "bob:builder", "carol:last"])
def test_one_server_can_stand_in_for_another(doors: Doors, door: str, user: str) -> None:
    status, body, _ = doors.ask(door, "/either/x", basic(user))
    assert (status, body) == (200, f"<user>{user.partition(':')[0]}</user>")
    assert doors.ask(door, "/either/x", basic(f"{user}!"))[0] == 401


@needs_kerberos
@both
def test_a_ticket_lets_its_holder_in_once(doors: Doors, door: str, domain: Domain) -> None:
    header = {"Authorization": f"Negotiate {domain.ticket()}"}
    status, body, headers = doors.ask(door, "/spnego/x", header)
    assert (status, body) == (200, "<user>alice@EXAMPLE.TEST</user>")
    assert base64.b64decode(headers["WWW-Authenticate"].removeprefix("Negotiate "))
    assert doors.ask(door, "/spnego/x", header)[0] == 401  # somebody has read it on the way
    status, _, headers = doors.ask(door, "/spnego/x")
    assert (status, headers["WWW-Authenticate"]) == (401, "Negotiate")


@both
def test_a_document_comes_as_a_stylesheet_makes_it(doors: Doors, door: str) -> None:
    status, body, headers = doors.ask(door, "/xslt/doc.xml?n=<b>")
    assert (status, body) == (200, "<p>&lt;b&gt;: one</p>\n")
    assert headers["Content-Type"] == "text/html"
    assert doors.ask(door, "/xslt/none.xml")[0] == 404
    assert doors.ask(door, "/xslt/broken.xml")[0] == 500


@both
def test_a_response_comes_as_a_stylesheet_makes_it(doors: Doors, door: str) -> None:
    status, body, headers = doors.ask(door, "/toxslt/x")
    assert (status, body) == (200, "<p>user: nobody</p>\n")
    assert headers["Content-Type"] == "text/html"


@both
def test_a_page_comes_filled_in(doors: Doors, door: str) -> None:
    status, body, headers = doors.ask(door, "/ssi/page?<x>")
    assert (status, body) == (200, "<i>&lt;x&gt;</i><hr><b>hello</b>")
    assert headers["Content-Type"] == "text/html"
    assert doors.ask(door, "/ssi/none")[0] == 404


# What the servers are asked


def ask(authority: Authority, credentials: str, **parameters: str) -> object:
    token = base64.b64encode(credentials.encode())
    pairs = tuple((name, value.encode()) for name, value in parameters.items())
    experts = Experts(lambda question: None, lambda line: None)
    return experts.answer(CheckCredentials(authority, token, pairs))


def ask_people(people: Directory, credentials: str, url: str = "", **more: str) -> object:
    parameters = {"url": url or people.url, "basedn": "dc=example", **more}
    return ask(Authority.LDAP, credentials, **parameters)


def test_a_directory_would_let_somebody_without_a_password_in(people: Directory) -> None:
    name = b"uid=alice,ou=people,dc=example"
    # RFC 4511 section 4.2: version 3, a name, and a password of no bytes.
    bind = b"\x02\x01\x03\x04" + bytes([len(name)]) + name + b"\x80\x00"
    message = b"\x02\x01\x01\x60" + bytes([len(bind)]) + bind
    with socket.create_connection(("127.0.0.1", people.port), PATIENCE) as sock:
        sock.sendall(b"\x30" + bytes([len(message)]) + message)
        assert b"\x0a\x01\x00" in sock.recv(4096)  # success
    assert ask_people(people, "alice:") is None


@pytest.mark.parametrize("credentials", ["alice:wonder:land", "jürgen:grüße", "s*(r):stars"])
def test_a_name_is_taken_letter_by_letter(people: Directory, credentials: str) -> None:
    assert ask_people(people, credentials) == credentials.partition(":")[0].encode()


@pytest.mark.parametrize(
    "name", ["*", "a*", "Alice", "alice ", "alice)(uid=*", "*)(|(uid=*", "al\\69ce", "\u00ad", ""]
)
def test_a_name_is_no_filter(people: Directory, name: str) -> None:
    assert ask_people(people, f"{name}:wonder:land") is None


def test_another_attribute_can_be_the_name(people: Directory) -> None:
    credentials = "alice@example.com:wonder:land"
    assert ask_people(people, credentials, attr="mail") == b"alice@example.com"
    assert ask_people(people, credentials) is None


def test_who_looks_for_people_may_need_a_name_and_a_password(people: Directory) -> None:
    account = {"binddn": "cn=reader,dc=example", "bindpw": "reads;all"}
    assert ask_people(people, "eve:hidden") is None
    assert ask_people(people, "eve:hidden", **account) == b"eve"
    assert ask_people(people, "eve:wrong", **account) is None
    found = ask_people(people, "eve:hidden", **{**account, "bindpw": "wrong"})
    assert isinstance(found, Failed)
    assert found.status == 503


def test_a_directory_can_be_behind_a_unix_socket(people: Directory) -> None:
    assert ask_people(people, "bob:builder", people.local_url) == b"bob"


def test_a_directory_has_to_prove_who_it_is(
    people: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(ask_people(people, "bob:builder", people.tls_url), Failed)
    monkeypatch.setenv("SSL_CERT_FILE", people.ca)
    assert ask_people(people, "bob:builder", people.tls_url) == b"bob"
    another = people.tls_url.replace("127.0.0.1", "localhost")
    assert isinstance(ask_people(people, "bob:builder", another), Failed)


def test_a_radius_server_knows_our_port_and_address(radius: str) -> None:
    def come(credentials: str, **more: str) -> object:
        return ask(Authority.RADIUS, credentials, server=radius, secret=SECRET, **more)

    assert come("alice:wonder:land") is None
    assert come("alice:wonder:land", nas_port="7") == b"alice"
    assert come("bob:builder", nas_address="192.0.2.1") == b"bob"
    assert come("bob:builder", nas_address="no such host") == b"bob"
    assert come(f"bob:{'x' * 128}") is None
    assert come(f"bob:{'x' * 129}") is None


@needs_kerberos
def test_only_a_ticket_for_us_counts(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in domain.environ.items():
        monkeypatch.setenv(name, value)

    def come(token: str, service: str = "HTTP@localhost") -> object:
        question = CheckCredentials(
            Authority.NEGOTIATE, token.encode(), (("service", service.encode()),)
        )
        return Experts(lambda question: None, print).answer(question)

    found = come(domain.ticket(), "")
    assert isinstance(found, Admitted)
    assert found.user == b"alice@EXAMPLE.TEST"
    assert come(domain.ticket("other@localhost")) is None
    assert come(domain.ticket()[:400]) is None
    assert come("TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw==") is None  # NTLM
    found = come(domain.ticket(), "HTTP@example.com")  # no key for that
    assert isinstance(found, Failed)
    assert found.status == 503
