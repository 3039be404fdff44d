"""Whether a password is right, asked of an LDAP server (``ldapauth:``), by the package ldap3.

The user's entry is looked for, and then bound to (RFC 4513 section 5.1.3).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from uwgate.experts.credentials import Denied, Unreachable, read_basic

CONNECT = 3  # seconds until a server has to take the connection
RECEIVE = 4  # seconds for each answer; ldap3 wants a whole number
MAX_ENTRIES = 100  # that match one name
# RFC 4511 appendix A.2: what says nothing about the password.
_NOT_NOW = {1: "operationsError", 51: "busy", 52: "unavailable", 80: "other"}


class Ldap:
    """Asks servers. ``say`` takes lines for the log, which a rule wants by ``loglevel``."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._ldap3: Any = importlib.import_module("ldap3")
        self._tls: Any = None
        self._errors: Any = importlib.import_module("ldap3.core.exceptions")
        self._escape: Any = importlib.import_module("ldap3.utils.conv").escape_filter_chars

    def check(self, token: bytes, parameters: Mapping[str, bytes]) -> bytes:
        """The name of the user.

        Raises:
            Denied: there is no such user, or the password is wrong.
            Unreachable: the server cannot be asked.
        """
        user, password = read_basic(token)
        name = _text(user)
        url = _text(parameters["url"])
        level = int(parameters.get("loglevel", b"0"))
        try:
            self._ask(url, name, password, parameters)
        except Denied as error:
            if level > 0:
                self._say(f"{url}: {name!r}: {error}")
            raise
        except self._errors.LDAPException as error:
            raise Unreachable(f"{url}: {_first_line(error)}") from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            # The latter: ldap3 reads answers as if all of them were as they should be.
            raise Unreachable(f"{url}: {error or type(error).__name__}") from error
        if level > 1:
            self._say(f"{url}: {name!r} came in")
        return user

    def _ask(self, url: str, name: str, password: bytes, parameters: Mapping[str, bytes]) -> None:
        ldap3 = self._ldap3
        server = ldap3.Server(
            url,
            connect_timeout=CONNECT,
            get_info=ldap3.NONE,
            tls=self._make_tls() if url.startswith("ldaps:") else None,
        )
        account: dict[str, str] = {}
        if parameters.get("binddn"):
            account = {
                "user": _text(parameters["binddn"]),
                "password": _text(parameters["bindpw"]),
                "authentication": ldap3.SIMPLE,
            }
        connection = ldap3.Connection(
            server,
            receive_timeout=RECEIVE,
            auto_referrals=False,
            check_names=False,
            read_only=True,
            **account,
        )
        try:
            if account:
                if not connection.bind():
                    raise Unreachable(f"{url}: {account['user']}: {_said(connection)}")
            else:
                connection.open()
            entry = self._find(connection, url, name, parameters)
            self._log_in(connection, url, entry, password)
        finally:
            self._leave(connection)

    def _make_tls(self) -> Any:
        """How ldap3 is to speak TLS; the system's certificates are read once."""
        if self._tls is None:
            context = importlib.import_module("ssl").create_default_context()

            def wrap_socket(tls: Any, connection: Any, do_handshake: bool = False) -> None:
                """In place of ldap3's own, which compares names itself and leaves sockets open."""
                del tls, do_handshake
                host = connection.server.host.strip("[]")
                connection.socket = context.wrap_socket(connection.socket, server_hostname=host)

            self._tls = type("Tls", (self._ldap3.Tls,), {"wrap_socket": wrap_socket})
        return self._tls()

    def _find(self, connection: Any, url: str, name: str, parameters: Mapping[str, bytes]) -> str:
        """The name of the entry whose attribute is that of the user, letter by letter."""
        attribute = _text(parameters.get("attr", b"uid"))
        more = _text(parameters.get("filter", b"(objectClass=*)"))
        connection.search(
            _text(parameters["basedn"]),
            f"(&({attribute}={self._escape(name)}){more})",
            attributes=[attribute],
            size_limit=MAX_ENTRIES,
            time_limit=RECEIVE,
        )
        if connection.result["result"] not in (0, 4, 32):  # 4: there are more; 32: no base
            raise Unreachable(f"{url}: search: {_said(connection)}")
        for entry in connection.response or ():
            if entry["type"] != "searchResEntry":
                continue
            values = entry["raw_attributes"].get(attribute)
            if values is None:  # the server writes it otherwise
                values = [one for some in entry["raw_attributes"].values() for one in some]
            if name.encode() in values:
                return str(entry["dn"])
        raise Denied("no such user")

    def _log_in(self, connection: Any, url: str, entry: str, password: bytes) -> None:
        # Bytes go out as the client sent them; of a text ldap3 makes another one, by SASLprep.
        if connection.rebind(user=entry, password=password, authentication=self._ldap3.SIMPLE):
            return
        if connection.result["result"] in _NOT_NOW:
            raise Unreachable(f"{url}: {_said(connection)}")
        raise Denied(_said(connection))

    def _leave(self, connection: Any) -> None:
        with contextlib.suppress(self._errors.LDAPException, OSError):
            connection.unbind()
        if connection.socket is not None:  # of a connection that did not come about
            connection.socket.close()


def _said(connection: Any) -> str:
    result: Mapping[str, Any] = connection.result or {}
    text = f"{result.get('description', 'no answer')} {result.get('message', '')}"
    return _first_line(text.strip())


def _first_line(what: object) -> str:
    return (str(what).splitlines() or [type(what).__name__])[0][:200]


def _text(data: bytes) -> str:
    """UTF-8 (RFC 7617 section 2.1, RFC 4511 section 4.1.2), or what browsers sent before."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
