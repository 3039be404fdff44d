"""Who holds a Kerberos ticket for us (``spnego:``, RFC 4559), by the package gssapi.

The keys are in the keytab that the library finds: KRB5_KTNAME, or its own default.
"""

from __future__ import annotations

import base64
import importlib
from collections.abc import Mapping
from typing import Any

from uwgate.experts.credentials import Denied, Unreachable, read_token
from uwgate.routing.results import Admitted


class Negotiate:
    """Reads tickets. One token has to be enough: a request knows nothing of another one."""

    def __init__(self) -> None:
        self._gssapi: Any = importlib.import_module("gssapi")
        self._error: Any = importlib.import_module("gssapi.exceptions").GSSError

    def check(self, token: bytes, parameters: Mapping[str, bytes]) -> Admitted:
        """The name of the client's principal, and what proves to it who we are.

        Raises:
            Denied: there is no such ticket.
            Unreachable: we have no key for the service.
        """
        gssapi = self._gssapi
        data = read_token(token)
        service = parameters["service"].decode("utf-8", "surrogateescape") or "HTTP"
        try:
            name = gssapi.Name(service, gssapi.NameType.hostbased_service)
            keys = gssapi.Credentials(name=name, usage="accept")
        except self._error as error:
            raise Unreachable(f"{service}: {_line(error)}") from error
        except (ValueError, UnicodeError) as error:
            raise Unreachable(f"{service!r}: {error}") from error
        try:
            context = gssapi.SecurityContext(creds=keys, usage="accept")
            answer = context.step(data)
            if not context.complete:
                raise Denied("the ticket does not come in one token")
            user = str(context.initiator_name).encode("utf-8", "surrogateescape")
        except self._error as error:
            raise Denied(_line(error)) from error
        return Admitted(user, base64.b64encode(answer or b""))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
