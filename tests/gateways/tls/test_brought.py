"""Certificates that nodes bring."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.certificates import Authority, Certificate
from tests.gateways.tls.conftest import ADDRESS, MakeRing, Write
from tests.gateways.tls.conversation import serves, talk
from uwgate.gateways.tls.brought import BroughtCertificates
from uwgate.gateways.tls.ring import Ring
from uwgate.subscriptions.change import SniBrought, SniGone, SniPaths


def brought(ring: Ring, *folders: Path) -> BroughtCertificates:
    return BroughtCertificates(ring, None, [str(folder) for folder in folders], interval=0.02)


def paths(written: str, ca: str = "") -> SniPaths:
    crt, key = written.split(",")
    return SniPaths(key=key, crt=crt, ca=ca)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await trio.sleep(0.02)
    raise AssertionError("it never comes")


def put(path: str, data: bytes) -> bytes:
    """Replace what is in a file; returns what was there."""
    before = Path(path).read_bytes()
    Path(path).write_bytes(data)
    return before


async def test_a_brought_certificate_is_served_until_its_last_node_goes(
    ring: MakeRing,
    write: Write,
    root: Authority,
    default: Certificate,
    nursery: trio.Nursery,
) -> None:
    shop = root.server("shop.example")
    made = ring()
    certificates = brought(made)
    nursery.start_soon(certificates.run)
    certificates.change(SniBrought("shop.example", paths(write(shop, "shop"))))
    await until(lambda: serves(talk(made.context(ADDRESS), "Shop.example"), shop))
    assert serves(talk(made.context(ADDRESS), "www.shop.example"), default)
    certificates.change(SniGone("shop.example"))
    assert serves(talk(made.context(ADDRESS), "shop.example"), default)
    nursery.cancel_scope.cancel()


async def test_a_name_with_a_leading_dot_is_for_all_that_end_so(
    ring: MakeRing,
    write: Write,
    root: Authority,
    default: Certificate,
    nursery: trio.Nursery,
) -> None:
    shop = root.server("*.shop.example")
    made = ring()
    certificates = brought(made)
    nursery.start_soon(certificates.run)
    certificates.change(SniBrought(".shop.example", paths(write(shop, "shop"))))
    await until(lambda: serves(talk(made.context(ADDRESS), "a.shop.example"), shop))
    assert serves(talk(made.context(ADDRESS), "b.a.shop.example"), shop)
    assert serves(talk(made.context(ADDRESS), "shop.example"), default)
    nursery.cancel_scope.cancel()


async def test_what_the_options_name_goes_before(
    ring: MakeRing,
    write: Write,
    root: Authority,
    nursery: trio.Nursery,
) -> None:
    own, other, star = (root.server("shop.example", number=number) for number in (1, 2, 3))
    options = (f"shop.example {write(own, 'own')}", f"*.example {write(star, 'star')}")
    made = ring(sni=options)
    certificates = brought(made)
    nursery.start_soon(certificates.run)
    certificates.change(SniBrought("shop.example", paths(write(other, "other"))))
    certificates.change(SniBrought("a.example", paths(write(other, "other"))))
    await until(lambda: serves(talk(made.context(ADDRESS), "a.example"), other))
    assert serves(talk(made.context(ADDRESS), "shop.example"), own)
    assert serves(talk(made.context(ADDRESS), "b.example"), star)
    nursery.cancel_scope.cancel()


async def test_a_bad_file_is_told_once_and_tried_again(
    ring: MakeRing,
    write: Write,
    root: Authority,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = root.server("shop.example")
    written = paths(write(shop, "shop"))
    good = put(written.crt, b"nonsense")
    made = ring()
    certificates = brought(made)
    nursery.start_soon(certificates.run)
    certificates.change(SniBrought("shop.example", written))
    await until(lambda: "ERROR" in caplog.text)
    await trio.sleep(0.1)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert written.crt in errors[0].getMessage()
    put(written.crt, good)
    await until(lambda: serves(talk(made.context(ADDRESS), "shop.example"), shop))
    nursery.cancel_scope.cancel()


async def test_a_file_that_has_changed_is_loaded_anew_unless_it_is_bad(
    ring: MakeRing,
    write: Write,
    root: Authority,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = (root.server("shop.example", number=number) for number in (1, 2))
    made = ring()
    certificates = brought(made)
    nursery.start_soon(certificates.run)
    certificates.change(SniBrought("shop.example", paths(write(first, "shop"))))
    await until(lambda: serves(talk(made.context(ADDRESS), "shop.example"), first))
    put(paths(write(first, "shop")).crt, b"")
    await until(lambda: "what was served before stays" in caplog.text)
    assert serves(talk(made.context(ADDRESS), "shop.example"), first)
    write(second, "shop")
    await until(lambda: serves(talk(made.context(ADDRESS), "shop.example"), second))
    nursery.cancel_scope.cancel()


async def refused(
    caplog: pytest.LogCaptureFixture, ring: Ring, found: SniPaths, *folders: Path
) -> None:
    """Returns when an error was logged."""
    certificates = brought(ring, *folders)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(certificates.run)
        certificates.change(SniBrought("shop.example", found))
        await until(lambda: "ERROR" in caplog.text)
        nursery.cancel_scope.cancel()


async def test_a_link_must_not_lead_out_of_the_folder(
    ring: MakeRing,
    write: Write,
    root: Authority,
    default: Certificate,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = paths(write(root.server("shop.example"), "shop"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "shop.crt").symlink_to(written.crt)
    (folder / "shop.key").symlink_to(written.key)
    found = SniPaths(key=str(folder / "shop.key"), crt=str(folder / "shop.crt"))
    made = ring()
    await refused(caplog, made, found, folder)
    assert "a link leads out of subscription-sni-folder" in caplog.text
    assert serves(talk(made.context(ADDRESS), "shop.example"), default)


@pytest.mark.parametrize("path", ["shop.crt", "-----BEGIN CERTIFICATE-----", "PIPE", "/none"])
async def test_a_path_that_is_no_file_is_refused(
    ring: MakeRing,
    write: Write,
    root: Authority,
    default: Certificate,
    tmp_path: Path,
    path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = paths(write(root.server("shop.example"), "shop"))
    os.mkfifo(tmp_path / "pipe")
    path = path.replace("PIPE", str(tmp_path / "pipe"))
    made = ring()
    await refused(caplog, made, SniPaths(key=written.key, crt=path))
    assert "no such file" in caplog.text or "no absolute path" in caplog.text
    assert serves(talk(made.context(ADDRESS), "shop.example"), default)


def test_a_name_that_is_none_is_refused(ring: MakeRing, caplog: pytest.LogCaptureFixture) -> None:
    certificates = brought(ring())
    certificates.change(SniBrought("../etc", SniPaths(key="/k", crt="/c")))
    assert "no server name" in caplog.text
    certificates.change(SniGone("../etc"))


async def test_a_name_that_verifies_clients_guards_its_host(
    ring: MakeRing,
    write: Write,
    root: Authority,
    people: Authority,
    tmp_path: Path,
    nursery: trio.Nursery,
) -> None:
    ca = tmp_path / "people.pem"
    await trio.Path(ca).write_bytes(people.pem)
    made = ring()
    made.expect_names()
    certificates = brought(made)
    nursery.start_soon(certificates.run)
    written = write(root.server("shop.example"), "shop")
    certificates.change(SniBrought("shop.example", paths(written, f"!{ca}")))
    await until(lambda: not made.admits("other.example", "shop.example", ADDRESS))
    assert made.admits("shop.example", "shop.example", ADDRESS)
    nursery.cancel_scope.cancel()
