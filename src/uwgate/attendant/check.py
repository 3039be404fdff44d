"""What is wrong with commands and daemons can be told without starting anything."""

from __future__ import annotations

from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings


def check(settings: Settings) -> None:
    """See that the legions exist of which commands and daemons speak.

    Raises:
        ConfigError: one does not.
    """
    options = settings.attendant
    used = [(field, cron.legion) for field, cron in options.crons_by_option()]
    used += [(field, spec.legion) for field, spec in options.daemons_by_option()]
    for field, legion in used:
        if legion and legion not in settings.legion.names:
            option = field.replace("_", "-")
            raise ConfigError(f"{option}: there is no legion {legion} in this configuration")
