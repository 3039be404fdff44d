"""Which certificate answers which name, and what survives a renewal."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.certificates import Authority, Certificate
from tests.gateways.tls.conftest import ADDRESS, MakeRing, Write, material
from tests.gateways.tls.conversation import client_context, serves, talk
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.material import Material, Pair
from uwgate.gateways.tls.ring import ABSENT_SECONDS, Ring
from uwgate.gateways.tls.vault import Vault

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def test_a_client_without_a_name_gets_the_addresss_certificate(
    ring: MakeRing, default: Certificate
) -> None:
    assert serves(talk(ring().context(ADDRESS), None), default)


def test_an_unknown_name_gets_the_addresss_certificate(
    ring: MakeRing, default: Certificate
) -> None:
    assert serves(talk(ring().context(ADDRESS), "nobody.example"), default)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["www.example", "WWW.EXAMPLE"])
def test_a_name_of_its_own_gets_its_certificate(
    ring: MakeRing, write: Write, root: Authority, name: str, version: ssl.TLSVersion
) -> None:
    www = root.server("www.example")
    made = ring(sni=(f"www.example {write(www, 'www')}",))
    client = client_context(trusted=root.pem, maximum=version)
    assert serves(talk(made.context(ADDRESS), name, client), www)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_from_before_a_renewal_resumes(
    ring: MakeRing, write: Write, root: Authority, version: ssl.TLSVersion
) -> None:
    made = ring()
    client = client_context(maximum=version)
    first = talk(made.context(ADDRESS), "a.example", client)
    renewed = root.server("default.example", number=2)
    options = HttpsOptions(https=(f"{ADDRESS},{write(renewed, 'renewed')}",))
    material = Vault(options).material(ADDRESS)
    assert material is not None
    made.renew(ADDRESS, material)
    again = talk(made.context(ADDRESS), "a.example", client, session=first.session)
    assert (first.resumed, again.resumed) == (False, True)
    assert serves(talk(made.context(ADDRESS), "a.example"), renewed)


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        ("a.wild.example", "wild"),
        ("wild.example", "default"),
        ("a.b.wild.example", "default"),
        ("exact.wild.example", "exact"),
        ("shop-12.example", "regexp"),
        ("SHOP-12.example", "regexp"),
        ("shop-x.example", "default"),
    ],
)
def test_names_are_looked_up_exact_first_then_wildcards_then_expressions(
    ring: MakeRing, write: Write, root: Authority, asked: str, answers: str
) -> None:
    certificates = {
        name: root.server(f"{name}.example") for name in ("default", "wild", "exact", "regexp")
    }
    files = {name: write(one, name) for name, one in certificates.items()}
    made = ring(
        https=(f"{ADDRESS},{files['default']}",),
        sni=(f"*.wild.example {files['wild']}", f"exact.wild.example {files['exact']}"),
        sni_regexp=(rf"^shop-\d+\.example$ {files['regexp']}",),
    )
    assert serves(talk(made.context(ADDRESS), asked), certificates[answers])


def test_of_two_expressions_the_first_that_matches_answers(
    ring: MakeRing, write: Write, root: Authority
) -> None:
    first, second = root.server("first.example"), root.server("second.example")
    made = ring(sni_regexp=(f"A {write(first, 'first')}", f"ab {write(second, 'second')}"))
    assert serves(talk(made.context(ADDRESS), "ab.example"), first)


def test_names_of_a_folder_are_loaded_when_they_are_asked_for(
    ring: MakeRing, write: Write, root: Authority, tmp_path: Path
) -> None:
    made = ring(sni_dir=str(tmp_path))
    late = root.server("late.example")
    write(late, "late.example")
    assert serves(talk(made.context(ADDRESS), "late.example"), late)


def test_a_folder_has_wildcards_too(
    ring: MakeRing, write: Write, root: Authority, tmp_path: Path
) -> None:
    made = ring(sni_dir=str(tmp_path))
    wild = root.server("*.wild.example")
    write(wild, "*.wild.example")
    assert serves(talk(made.context(ADDRESS), "a.wild.example"), wild)


def test_the_ciphers_of_a_folder_are_its_own(
    ring: MakeRing, write: Write, root: Authority, tmp_path: Path
) -> None:
    write(root.server("a.example"), "a.example")
    made = ring(sni_dir=str(tmp_path), sni_dir_ciphers="ECDHE-ECDSA-CHACHA20-POLY1305")
    client = client_context(maximum=ssl.TLSVersion.TLSv1_2)
    ciphers = [talk(made.context(ADDRESS), name, client).cipher for name in ("a.example", None)]
    assert ciphers == ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"]


class Shelf:
    """A source of certificates that counts what is asked of it."""

    def __init__(self, *names: str) -> None:
        authority = Authority()
        self.certificates = {name: authority.server(name) for name in (HOST, *names)}
        self.asked: list[str] = []

    def fetch(self, name: str) -> Material | None:
        self.asked.append(name)
        found = self.certificates.get(name.partition(":")[0])
        return None if found is None else material(found)


class Clock:
    """A time that stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


HOST = ADDRESS.partition(":")[0]
FOLDER = HttpsOptions(https=(f"{ADDRESS},a,b",), sni_dir="/nowhere", sni_max_contexts=2)


def test_a_name_is_fetched_once() -> None:
    shelf = Shelf("a.example")
    made = Ring(FOLDER, shelf.fetch)
    for _ in range(3):
        made.find("a.example", ADDRESS)
    assert shelf.asked == [ADDRESS, "a.example"]


def test_the_name_that_was_used_longest_ago_leaves_when_there_are_too_many() -> None:
    shelf = Shelf("a.example", "b.example", "c.example")
    made = Ring(FOLDER, shelf.fetch)
    for name in ("a.example", "b.example", "a.example", "c.example", "a.example", "b.example"):
        made.find(name, ADDRESS)
    assert shelf.asked[1:] == ["a.example", "b.example", "c.example", "b.example"]


def test_a_name_that_is_not_there_is_asked_for_again_only_after_a_while() -> None:
    shelf = Shelf()
    clock = Clock()
    made = Ring(FOLDER, shelf.fetch, clock=clock)
    made.find("no.example", ADDRESS)
    made.find("no.example", ADDRESS)
    assert shelf.asked[1:] == ["no.example", "*.example"]
    clock.now = ABSENT_SECONDS
    made.find("no.example", ADDRESS)
    assert shelf.asked[3:] == ["no.example", "*.example"]


def test_absent_names_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uwgate.gateways.tls.ring.MAX_ABSENT", 10)
    shelf = Shelf()
    made = Ring(FOLDER, shelf.fetch, clock=Clock())
    for number in range(20):
        made.find(f"no{number}", ADDRESS)
    shelf.asked.clear()
    made.find("no19", ADDRESS)
    made.find("no0", ADDRESS)
    assert shelf.asked == ["no0"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b.example", "..", "*", "*.example", "a..b", "-", "é.example", "a" * 300, ""]
)
def test_what_is_no_server_name_reaches_no_file(name: str) -> None:
    shelf = Shelf()
    made = Ring(FOLDER, shelf.fetch)
    assert made.find(name, ADDRESS) is made.find(None, ADDRESS)
    assert shelf.asked == [ADDRESS]


def test_broken_material_of_a_folder_counts_as_absent(caplog: pytest.LogCaptureFixture) -> None:
    good, other = Authority().server("a.example"), Authority().server("b.example", number=9)
    broken = Material(pairs=(Pair(chain=good.pem, key=other.key_pem),))
    shelf = Shelf()
    made = Ring(FOLDER, lambda name: broken if name == "a.example" else shelf.fetch(name))
    assert made.find("a.example", ADDRESS) is made.find(None, ADDRESS)
    assert "a.example: OpenSSL refuses" in caplog.text


def test_a_renewal_that_cannot_be_served_leaves_what_was(ring: MakeRing) -> None:
    made = ring()
    before = made.find(None, ADDRESS)
    good, other = Authority().server("a.example"), Authority().server("b.example", number=9)
    with pytest.raises(ConfigError, match="OpenSSL refuses"):
        made.renew(ADDRESS, Material(pairs=(Pair(chain=good.pem, key=other.key_pem),)))
    assert made.find(None, ADDRESS) is before


def test_a_renewal_of_a_name_that_was_absent_makes_it_present() -> None:
    shelf = Shelf()
    made = Ring(FOLDER, shelf.fetch, clock=Clock())
    made.find("a.example", ADDRESS)
    shelf.certificates["a.example"] = Authority().server("a.example")
    made.renew("a.example", material(shelf.certificates["a.example"]))
    assert made.find("a.example", ADDRESS) is not made.find(None, ADDRESS)


def test_an_address_without_a_certificate_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="no certificate"):
        Ring(FOLDER, lambda name: None)


def test_a_ticket_of_one_name_resumes_under_another(
    ring: MakeRing, write: Write, root: Authority
) -> None:
    made = ring(sni=(f"www.example {write(root.server('www.example'), 'www')}",))
    client = client_context()
    first = talk(made.context(ADDRESS), "www.example", client)
    assert talk(made.context(ADDRESS), "other.example", client, session=first.session).resumed


def test_the_keys_of_sessions_are_written_where_the_option_says(
    ring: MakeRing, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    talk(ring(ssl_keylog_file=str(path)).context(ADDRESS), None)
    assert "CLIENT_TRAFFIC_SECRET_0 " in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_last_as_long_as_the_option_says(ring: MakeRing, version: ssl.TLSVersion) -> None:
    made = ring(ssl_sessions_timeout=77)
    session = talk(made.context(ADDRESS), None, client_context(maximum=version)).session
    assert session is not None
    assert session.ticket_lifetime_hint == 77


def test_a_ticket_of_one_address_does_not_resume_at_another(
    write: Write, default: Certificate
) -> None:
    files = write(default, "default")
    options = HttpsOptions(https=(f":1,{files}", f":2,{files}"))
    made = Ring(options, Vault(options).material)
    client = client_context()
    first = talk(made.context(":1"), None, client)
    assert not talk(made.context(":2"), None, client, session=first.session).resumed
