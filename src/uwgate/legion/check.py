"""Whether the options of the legions can be used, told with the place where they stand."""

from __future__ import annotations

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.legion import LegionOptions
from uwgate.conf.loading import Loaded


def check(loaded: Loaded) -> None:
    """Read the legions of a configuration.

    Raises:
        ConfigError: one cannot be used; the text says where it stands, if one value is at fault.
    """
    if loaded.settings.legion == LegionOptions():
        return
    # Here, because cryptography is large, and most have no use for it.
    from uwgate.subscriptions.legion.configuration import read_legions
    from uwgate.subscriptions.legion.spec import LegionOptionError

    try:
        read_legions(loaded.settings.legion)
    except LegionOptionError as error:
        places = [
            pair.place
            for pair in loaded.pairs
            if (pair.name, pair.value) == (error.option, error.value)
        ]
        where = f"{places[-1]}: " if places else ""
        raise ConfigError(f"{where}{error}") from error
