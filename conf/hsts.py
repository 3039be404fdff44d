"""Strict-Transport-Security (RFC 6797 section 6.1), as an option writes it."""

from __future__ import annotations

import re

from uwgate.conf.errors import ConfigError

# What the list that browsers ship asks for (hstspreload.org).
PRELOAD_AGE = 31536000  # seconds
_AGE = re.compile(r"(?:max-age=)?([0-9]{1,10})")
_DIRECTIVES = {"includesubdomains": "includeSubDomains", "preload": "preload"}


def parse_hsts(text: str) -> str:
    """The field's value for ``MAX-AGE[,includeSubDomains][,preload]``; the age in seconds.

    Raises:
        ConfigError: the text is no such list, or asks for a preload that would be refused.
    """
    first, *words = (word.strip() for word in text.replace(";", ",").split(","))
    age = _AGE.fullmatch(first)
    if age is None:
        raise ConfigError(f"{text!r}: expected MAX-AGE[,includeSubDomains][,preload]")
    directives = [f"max-age={int(age[1])}"]
    for word in words:
        directive = _DIRECTIVES.get(word.lower())
        if directive is None or directive in directives:
            raise ConfigError(f"{word!r}: expected includeSubDomains or preload, each once")
        directives.append(directive)
    if "preload" in directives and (
        int(age[1]) < PRELOAD_AGE or "includeSubDomains" not in directives
    ):
        raise ConfigError(
            f"{text!r}: preload needs includeSubDomains and a max-age of {PRELOAD_AGE} or more"
        )
    return "; ".join(directives)
