"""From the options to the legions that they describe, checked whole."""

from __future__ import annotations

import dataclasses

from uwgate.conf.groups.legion import LegionOptions
from uwgate.subscriptions.legion.election import Timing
from uwgate.subscriptions.legion.hook import Event
from uwgate.subscriptions.legion.spec import LegionSpec, read_all

# The declarations first: in a file they must stand first, and fields have no common order.
VALUES = (
    "legion",
    "legion-mcast",
    "legion-node",
    "legion-quorum",
    "legion-key",
    "legion-vip",
    "legion-scroll",
    *(f"legion-{event.value}" for event in Event),
)


def read_legions(options: LegionOptions) -> dict[str, LegionSpec]:
    """The legions by name, those of ``legion`` first.

    Raises:
        ConfigError: something cannot be used; an error of one value says which
            (``LegionOptionError``).
    """
    values = [
        (option, value) for option in VALUES for value in getattr(options, option.replace("-", "_"))
    ]
    specs = read_all(values, scroll_limit=options.legion_scroll_max_size)
    read = {
        name: dataclasses.replace(
            one, timing=timing(one, options), scroll_limit=options.legion_scroll_max_size
        )
        for name, one in specs.items()
    }
    for spec in read.values():
        spec.times.check()
    return read


def timing(spec: LegionSpec, options: LegionOptions) -> Timing:
    """How often and how long: what is set, else what the mode has."""
    standard = spec.times
    suspension = options.legion_death_on_lord_error
    if spec.vips and not suspension:
        # A lord that could not take its address is no use: another node shall try.
        suspension = 2 * (options.legion_tolerance or standard.tolerance)
    return Timing(
        period=options.legion_freq or standard.period,
        tolerance=options.legion_tolerance or standard.tolerance,
        skew=options.legion_skew_tolerance,
        release=options.legion_release,
        suspension=suspension,
    )
