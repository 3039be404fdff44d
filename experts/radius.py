"""Whether a password is right, asked of a RADIUS server (``radius:``), by the package pyrad.

PAP in an Access-Request (RFC 2865 section 4.1), with a Message-Authenticator (RFC 3579
section 3.2). Whose answer is not authenticated by the secret is not heard.
"""

from __future__ import annotations

import importlib
import io
import socket
from collections.abc import Mapping
from typing import Any

from uwgate.experts.credentials import Denied, Unreachable, read_basic

TRIES = 3
TIMEOUT = 2.0  # seconds for each
MAX_NAME = 253  # bytes (RFC 2865 section 5.1: an attribute)
MAX_PASSWORD = 128  # bytes (RFC 2865 section 5.2)
_ACCEPT, _REJECT, _CHALLENGE = 2, 3, 11  # codes (RFC 2865 section 3)
_DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Message-Authenticator 80 octets
"""


class Radius:
    """Asks servers."""

    def __init__(self) -> None:
        self._client: Any = importlib.import_module("pyrad.client")
        self._packet_error: Any = importlib.import_module("pyrad.packet").PacketError
        dictionary: Any = importlib.import_module("pyrad.dictionary")
        self._dictionary = dictionary.Dictionary(io.StringIO(_DICTIONARY))

    def check(self, token: bytes, parameters: Mapping[str, bytes]) -> bytes:
        """The name of the user.

        Raises:
            Denied: the server says no, or wants to know more than a password.
            Unreachable: it says nothing.
        """
        user, password = read_basic(token)
        if len(user) > MAX_NAME or len(password) > MAX_PASSWORD:
            raise Denied("longer than a packet can say")
        server = parameters["server"].decode()
        host, _, port = server.rpartition(":")
        client = self._client.Client(
            server=host.strip("[]"),
            authport=int(port),
            secret=parameters["secret"],
            dict=self._dictionary,
            retries=TRIES,
            timeout=TIMEOUT,
            enforce_ma="message_authenticator" in parameters,
        )
        packet = client.CreateAuthPacket()
        packet[1] = [user]
        packet[2] = [packet.PwCrypt(password)]
        packet["NAS-Port"] = int(parameters.get("nas_port", b"0"))
        name = parameters.get("nas_address", b"").decode() or socket.gethostname()
        address = _address_of(name)
        if address is None:
            packet["NAS-Identifier"] = name
        else:
            packet["NAS-IP-Address"] = address
        try:
            code = client.SendPacket(packet).code
        except self._client.Timeout:
            raise Unreachable(f"{server}: no answer, {TRIES} times in {TIMEOUT:g} s") from None
        except (OSError, self._packet_error) as error:
            raise Unreachable(f"{server}: {error}") from error
        finally:
            client._CloseSocket()  # there is no other way; the next one has its own port
        if code == _ACCEPT:
            return user
        if code == _CHALLENGE:
            raise Denied("the server wants more than a password")
        if code == _REJECT:
            raise Denied("the server says no")
        raise Unreachable(f"{server}: answered with the code {code}")


def _address_of(name: str) -> str | None:
    try:
        return socket.gethostbyname(name)
    except (OSError, UnicodeError):
        return None
