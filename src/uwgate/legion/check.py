"""Whether the options of the legions can be used, told with the place where they stand."""

from __future__ import annotations

from uwgate.attendant.check import check as check_attendant
from uwgate.conf.alarms import alarms_by_name
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.legion import LegionOptions
from uwgate.conf.loading import Loaded


def check(loaded: Loaded) -> None:
    """Read the legions of a configuration, and see that those exist of which others speak.

    Raises:
        ConfigError: one cannot be used; the text says where it stands, if one value is at fault.
    """
    check_attendant(loaded.settings)
    if loaded.settings.legion == LegionOptions():
        return
    # Here, because cryptography is large, and most have no use for it.
    from uwgate.subscriptions.legion.configuration import read_legions
    from uwgate.subscriptions.legion.spec import LegionOptionError

    try:
        legions = read_legions(loaded.settings.legion)
    except LegionOptionError as error:
        places = [
            pair.place
            for pair in loaded.pairs
            if (pair.name, pair.value) == (error.option, error.value)
        ]
        where = f"{places[-1]}: " if places else ""
        raise ConfigError(f"{where}{error}") from error
    alarms = alarms_by_name(loaded.settings.alarm.alarm)
    for legion in legions.values():
        for event, hooks in legion.hooks.items():
            for hook in hooks:
                name = hook.argument.partition(" ")[0]
                if hook.action == "alarm" and name not in alarms:
                    raise ConfigError(f"legion-{event.value} = {legion.name} {hook}: no such alarm")
