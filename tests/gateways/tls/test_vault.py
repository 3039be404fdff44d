"""What the keeper hands out, and how it notices that files have changed."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import pytest

from tests.certificates import PASSWORD, Authority, Certificate
from tests.gateways.tls.conftest import ADDRESS, Write
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.material import Material
from uwgate.gateways.tls.vault import Vault


def age(*paths: Path | str) -> None:
    """Make files look as if they had been written long ago."""
    for path in paths:
        old = os.stat(path).st_mtime - 10
        os.utime(path, (old, old))


@pytest.fixture
def options(write: Write, default: Certificate) -> HttpsOptions:
    """One address whose certificate was written long ago."""
    files = write(default, "default")
    age(*files.split(","))
    return HttpsOptions(https=(f"{ADDRESS},{files}",))


@pytest.fixture
def folder(tmp_path: Path) -> HttpsOptions:
    """A folder of names."""
    return HttpsOptions(sni_dir=str(tmp_path), sni_dir_ciphers="AESGCM")


def leaf(material: Material | None) -> bytes:
    """The chain of the first certificate."""
    assert material is not None
    return material.pairs[0].chain


def test_an_address_has_the_material_that_its_option_names(
    options: HttpsOptions, default: Certificate
) -> None:
    material = Vault(options).material(ADDRESS)
    assert leaf(material) == default.pem


def test_material_survives_its_way_to_a_gateway(options: HttpsOptions) -> None:
    material = Vault(options).material(ADDRESS)
    assert material is not None
    assert Material.from_bytes(material.to_bytes()) == material


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"pairs": [["*", "", null]]}', b"\xff"])
def test_other_bytes_are_no_material(data: bytes) -> None:
    with pytest.raises(ConfigError, match="no certificates of ours"):
        Material.from_bytes(data)


def test_a_key_is_not_shown(options: HttpsOptions) -> None:
    assert "PRIVATE" not in repr(Vault(options).material(ADDRESS))


def test_a_name_that_nobody_named_has_nothing(options: HttpsOptions) -> None:
    assert Vault(options).material("www.example") is None


def test_pem_text_needs_no_file(default: Certificate) -> None:
    text = f"{ADDRESS},{default.pem.decode()},{default.key_pem.decode()}"
    assert leaf(Vault(HttpsOptions(https=(text,))).material(ADDRESS)) == default.pem


def test_nothing_has_changed_when_nothing_has_changed(options: HttpsOptions) -> None:
    vault = Vault(options)
    vault.material(ADDRESS)
    assert vault.changed() == []


def test_a_new_certificate_is_noticed_once(
    options: HttpsOptions, write: Write, root: Authority
) -> None:
    vault = Vault(options)
    vault.material(ADDRESS)
    new = root.server("default.example", number=7)
    write(new, "default")
    first, second = vault.changed(), vault.changed()
    assert [(name, leaf(material)) for name, material in first] == [(ADDRESS, new.pem)]
    assert second == []


def test_a_certificate_whose_key_is_still_the_old_one_is_tried_again(
    options: HttpsOptions, root: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vault = Vault(options)
    vault.material(ADDRESS)
    new = root.server("default.example", number=7)
    (tmp_path / "default.crt").write_bytes(new.pem)
    assert vault.changed() == []
    (tmp_path / "default.key").write_bytes(new.key_pem)
    assert [leaf(material) for _, material in vault.changed()] == [new.pem]
    assert caplog.records == []


def test_a_broken_pair_is_logged_once_and_the_old_one_stays(
    options: HttpsOptions, default: Certificate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vault = Vault(options)
    vault.material(ADDRESS)
    (tmp_path / "default.crt").write_text("nonsense")
    age(tmp_path / "default.crt")
    assert [vault.changed() for _ in range(3)] == [[], [], []]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "what was served before stays" in caplog.text
    assert leaf(vault.material(ADDRESS)) == default.pem


def test_a_file_that_is_gone_changes_nothing(
    options: HttpsOptions, default: Certificate, tmp_path: Path
) -> None:
    vault = Vault(options)
    vault.material(ADDRESS)
    (tmp_path / "default.key").unlink()
    assert vault.changed() == []
    assert leaf(vault.material(ADDRESS)) == default.pem


def test_what_the_options_name_has_to_be_there(write: Write, default: Certificate) -> None:
    options = HttpsOptions(https=(f"{ADDRESS},/nowhere/x.crt,/nowhere/x.key",))
    with pytest.raises(ConfigError, match=r"/nowhere/x\.crt: cannot be read: No such file"):
        Vault(options).material(ADDRESS)


def test_a_name_of_the_folder_has_its_files(
    folder: HttpsOptions, write: Write, root: Authority, people: Authority, tmp_path: Path
) -> None:
    www = root.server("www.example")
    write(www, "www.example")
    people.write(tmp_path, "www.example.ca")
    material = Vault(folder).material("www.example")
    assert leaf(material) == www.pem
    assert material is not None
    assert (material.client_ca, material.client_required) == (people.pem, False)
    assert material.ciphers == "AESGCM"


def test_a_name_of_the_folder_may_have_an_ecdsa_certificate_beside_rsa(
    folder: HttpsOptions, write: Write, root: Authority
) -> None:
    rsa, ecdsa = root.server("www.example", kind="rsa"), root.server("www.example")
    write(rsa, "www.example")
    write(ecdsa, "www.example.ecdsa")
    material = Vault(folder).material("www.example")
    assert material is not None
    assert [pair.chain for pair in material.pairs] == [rsa.pem, ecdsa.pem]


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/x", "a/b", "A.EXAMPLE", "..", ".", "", "a\0b", "a" * 254, "*.*"]
)
def test_names_that_clients_make_up_lead_out_of_no_folder(
    tmp_path: Path, root: Authority, name: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    root.server("secret.example").write(tmp_path, "secret")
    assert Vault(HttpsOptions(sni_dir=str(inner))).material(name) is None


def test_a_broken_pair_of_the_folder_is_nothing_until_it_is_whole(
    folder: HttpsOptions,
    write: Write,
    root: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    www = root.server("www.example")
    write(www, "www.example")
    (tmp_path / "www.example.key").unlink()
    age(tmp_path / "www.example.crt")
    vault = Vault(folder)
    assert [vault.material("www.example"), vault.material("www.example")] == [None, None]
    assert len(caplog.records) == 1
    write(www, "www.example")
    assert leaf(vault.material("www.example")) == www.pem


def test_an_authority_that_is_put_beside_a_certificate_is_noticed(
    folder: HttpsOptions, write: Write, root: Authority, people: Authority, tmp_path: Path
) -> None:
    write(root.server("www.example"), "www.example")
    vault = Vault(folder)
    vault.material("www.example")
    people.write(tmp_path, "www.example.ca")
    assert [(name, one.client_ca) for name, one in vault.changed()] == [("www.example", people.pem)]


def test_ten_thousand_names_cost_nothing_until_they_are_asked_for(
    tmp_path: Path, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.server("n7.example").write(tmp_path, "n7.example")
    opened: list[str] = []
    monkeypatch.setattr(os, "listdir", opened.append)
    monkeypatch.setattr(os, "scandir", opened.append)
    vault = Vault(HttpsOptions(sni_dir=str(tmp_path)))
    assert vault.changed() == []
    vault.material("n7.example")
    assert opened == []


def test_of_many_names_a_part_is_looked_at_in_each_turn_and_all_in_the_end(
    folder: HttpsOptions,
    write: Write,
    root: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uwgate.gateways.tls.vault.MAX_LOOKS", 2)
    names = [f"n{number}.example" for number in range(5)]
    vault = Vault(folder)
    for name in names:
        write(root.server(name), name)
        vault.material(name)
    vault.changed()  # the folder is new to it: all are looked at
    for name in names:  # written over: the folder itself stays as it is
        write(root.server(name, number=7), name)
    turns = [[name for name, _ in vault.changed()] for _ in range(3)]
    assert [len(turn) for turn in turns] == [2, 2, 1]
    assert sorted(itertools.chain(*turns)) == names


def test_replaced_files_are_noticed_in_the_next_turn_however_many_there_are(
    folder: HttpsOptions,
    write: Write,
    root: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uwgate.gateways.tls.vault.MAX_LOOKS", 1)
    vault = Vault(folder)
    for name in ("a.example", "b.example", "c.example"):
        write(root.server(name), name)
        vault.material(name)
    vault.changed()
    new = root.server("c.example")
    (tmp_path / "new").write_bytes(new.pem)
    (tmp_path / "new").rename(tmp_path / "c.example.crt")
    assert [name for name, _ in vault.changed()] == ["c.example"]


@pytest.fixture
def encrypted(root: Authority, tmp_path: Path) -> str:
    """An https line whose key has a password."""
    crt, key = root.server("a.example").write(tmp_path, "a", encrypted=True)
    return f"{ADDRESS},{crt},{key}"


def test_an_encrypted_key_says_how_to_give_its_password(encrypted: str) -> None:
    with pytest.raises(ConfigError, match="name its password with ssl-key-password-file"):
        Vault(HttpsOptions(https=(encrypted,))).material(ADDRESS)


def test_a_password_stands_in_a_file(encrypted: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(PASSWORD + b"\n")
    options = HttpsOptions(https=(encrypted,), ssl_key_password_file=str(path))
    material = Vault(options).material(ADDRESS)
    assert material is not None
    assert b"BEGIN PRIVATE KEY" in material.pairs[0].key


def test_a_password_stands_in_an_environment_variable(encrypted: str) -> None:
    options = HttpsOptions(https=(encrypted,), ssl_key_password_env="SECRET")
    assert Vault(options, {"SECRET": PASSWORD.decode()}).material(ADDRESS) is not None


def test_a_wrong_password_is_told(encrypted: str) -> None:
    options = HttpsOptions(https=(encrypted,), ssl_key_password_env="SECRET")
    with pytest.raises(ConfigError, match="cannot be decrypted with the password"):
        Vault(options, {"SECRET": "wrong"}).material(ADDRESS)


def test_a_variable_that_is_not_set_is_told(encrypted: str) -> None:
    options = HttpsOptions(https=(encrypted,), ssl_key_password_env="SECRET")
    with pytest.raises(ConfigError, match="SECRET: not set"):
        Vault(options, {})
