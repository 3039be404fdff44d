"""The ciphers of uWSGI's legions (spec/legion.md 3.2).

No key is derived: the secret's bytes are the key, filled up with NUL or cut; the IV is the
configured text, filled up with the character ``0`` or cut, and the same for every datagram.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.refusal import Reason, Refused

# Name: class in the library, bytes of key, bytes of block. The key length is OpenSSL's default
# for the cipher, which is also what uWSGI uses when the secret is shorter.
ALGORITHMS = {
    "aes-128": ("AES", 16, 16),
    "aes-192": ("AES", 24, 16),
    "aes-256": ("AES", 32, 16),
    "camellia-128": ("Camellia", 16, 16),
    "camellia-192": ("Camellia", 24, 16),
    "camellia-256": ("Camellia", 32, 16),
    "sm4": ("SM4", 16, 16),
    "seed": ("SEED", 16, 16),
    "bf": ("Blowfish", 16, 8),
    "cast5": ("CAST5", 16, 8),
    "des-ede3": ("TripleDES", 24, 8),
}
MODES = {"cbc": "CBC", "ecb": "ECB", "cfb": "CFB", "ofb": "OFB"}
PADDED = ("cbc", "ecb")
ALIASES = {
    "aes128": "aes-128-cbc",
    "aes192": "aes-192-cbc",
    "aes256": "aes-256-cbc",
    "blowfish": "bf-cbc",
    "bf": "bf-cbc",
    "des3": "des-ede3-cbc",
    "cast": "cast5-cbc",
    "cast-cbc": "cast5-cbc",
    "sm4": "sm4-cbc",
    "seed": "seed-cbc",
}
REPLACEMENT = "aes-256-cbc, or without uWSGI nodes aes-256-gcm"
# Both homes of the less common ones: the library moves them out one by one.
HOMES = (
    "cryptography.hazmat.decrepit.ciphers.",
    "cryptography.hazmat.primitives.ciphers.",
)


@dataclass(frozen=True, slots=True)
class LegionCipher:
    """One cipher, its key and its IV. Deterministic: equal plaintexts encrypt equally."""

    name: str
    key: bytes = field(repr=False)
    iv: bytes
    block: int
    padded: bool
    cipher: Cipher[CBC] = field(repr=False, compare=False)

    @property
    def is_padded_key(self) -> bool:
        """Whether the secret was shorter than the key, which then ends in known bytes."""
        return self.key.endswith(b"\0")

    def encrypt(self, plaintext: bytes) -> bytes:
        """The whole output of the cipher, padding included."""
        if self.padded:
            count = self.block - len(plaintext) % self.block
            plaintext += bytes([count]) * count
        encryptor = self.cipher.encryptor()
        return encryptor.update(plaintext) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The plaintext without its padding.

        Raises:
            Refused: not whole blocks, or the padding is not one (FORGED).
        """
        if not ciphertext or (self.padded and len(ciphertext) % self.block):
            raise Refused(
                Reason.FORGED, f"{len(ciphertext)} bytes are not whole blocks of {self.block}"
            )
        decryptor = self.cipher.decryptor()
        plaintext = decryptor.update(ciphertext) + decryptor.finalize()
        if not self.padded:
            return plaintext
        count = plaintext[-1]
        if not 1 <= count <= self.block or plaintext[-count:] != bytes([count]) * count:
            raise Refused(Reason.FORGED, "wrong padding: another secret, cipher or IV")
        return plaintext[:-count]


def make_cipher(text: str) -> LegionCipher:
    """A cipher from the last part of ``legion``: ``CIPHER:SECRET[ IV]``.

    Raises:
        ConfigError: no secret, or a cipher that is unknown or that the library has dropped.
    """
    name, colon, rest = text.partition(":")
    secret, _, iv_text = rest.partition(" ")
    if not colon or not secret:
        raise ConfigError(f"{name!r}: expected CIPHER:SECRET")
    name = name.lower()
    full = ALIASES.get(name, name)
    algorithm_name, _, mode_name = full.rpartition("-")
    if algorithm_name not in ALGORITHMS or mode_name not in MODES:
        raise ConfigError(f"cipher {name!r} cannot be used in a legion; use {REPLACEMENT}")
    class_name, key_size, block = ALGORITHMS[algorithm_name]
    key = secret.encode("utf-8", "surrogateescape")[:key_size].ljust(key_size, b"\0")
    iv = iv_text.encode("utf-8", "surrogateescape")[:block].ljust(block, b"0")
    try:
        # The warnings are about ciphers that new clusters should not use; nor should they use
        # this mode at all, and the start of a compatible legion says so.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            algorithm = find("algorithms", class_name)(key)
            mode_class = find("modes", MODES[mode_name])
            mode = mode_class() if mode_name == "ecb" else mode_class(iv)
            cipher: Cipher[CBC] = Cipher(algorithm, mode)  # or any mode, to mypy
            cipher.encryptor()
    except (LookupError, UnsupportedAlgorithm):
        raise ConfigError(
            f"cipher {name!r}: the installed cryptography library no longer offers it;"
            f" use {REPLACEMENT}"
        ) from None
    return LegionCipher(full, key, iv, block, mode_name in PADDED, cipher)


def find(module: str, name: str) -> type:
    """A class of the library, wherever this version of it keeps that.

    Raises:
        LookupError: this version does not have it.
    """
    for home in HOMES:
        try:
            found: type = getattr(importlib.import_module(home + module), name)
        except (ImportError, AttributeError):
            continue
        return found
    raise LookupError(name)
