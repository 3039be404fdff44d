"""``uwgate legion simulate CONFIG``: lives of the configured legions under a virtual clock."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

from uwgate import exits
from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load
from uwgate.legion.check import check
from uwgate.legion.sharing import processors, simulate
from uwgate.subscriptions.legion.configuration import read_legions
from uwgate.subscriptions.legion.scenario import Scenario
from uwgate.subscriptions.legion.schedule import Schedule
from uwgate.subscriptions.legion.simulation import make_progress
from uwgate.subscriptions.legion.spec import LegionSpec

WORDS = ("legion", "simulate")


def main(argv: Sequence[str]) -> int:
    """The command, without its two words. Status 1: two lords overlapped, or a term fell.

    Raises:
        ConfigError: the configuration cannot be used, or has no legion.
    """
    given = parser().parse_args(argv)
    loaded = load([given.config], dict(os.environ))
    check(loaded)
    specs = read_legions(loaded.settings.legion)
    if not specs:
        raise ConfigError(f"{given.config}: there is no legion in it")
    failed = False
    for spec in specs.values():
        scenario = scenario_of(spec, given)
        show(
            f"legion {spec.name}: {scenario.mode}, {scenario.nodes} nodes, quorum"
            f" {scenario.majority}, announcements every {scenario.times.period:g} s, tolerance"
            f" {scenario.times.tolerance:g} s"
        )
        if given.trace:
            for seed in range(given.seed, given.seed + given.schedules):
                Schedule(seed, scenario, show).run()
        report = simulate(
            scenario,
            given.seed,
            given.schedules,
            make_progress(given.schedules),
            processes=given.processes,
        )
        for line in report.lines():
            show(line)
        # A compatible legion cannot exclude it, whatever it does (docs/design.md).
        failed |= report.has_failed and spec.is_sealed
    return exits.ERROR if failed else exits.OK


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="uwgate legion simulate",
        description="Simulate lives of the legions of a configuration, with faults from a seed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("config", help="the configuration of any of the nodes")
    made.add_argument("--schedules", type=positive, default=1000, help="how many lives")
    made.add_argument("--seed", type=int, default=0, help="of the first one")
    made.add_argument(
        "--processes", type=positive, default=processors(), help="that share the work"
    )
    made.add_argument("--trace", action="store_true", help="print all that happens")
    made.add_argument("--nodes", type=positive, help="how many, if the options do not say")
    made.add_argument("--faults", type=int, default=4, help="faults in a life")
    made.add_argument("--loss", type=float, default=0.3, help="most of the packets lost")
    return made


def scenario_of(spec: LegionSpec, given: argparse.Namespace) -> Scenario:
    """What a life of this legion is like.

    Raises:
        ConfigError: nobody says how many nodes it has, or it is one alone.
    """
    countable = all(not node.is_multicast and not node.is_broadcast for node in spec.nodes)
    nodes = given.nodes or (len(spec.nodes) + 1 if countable else 0)
    if nodes < 2:
        raise ConfigError(f"legion {spec.name}: give --nodes, two or more")
    if not 0 <= given.loss < 1 or given.faults < 0:
        raise ConfigError("--loss is a fraction below 1, --faults at least 0")
    suspension = spec.times.suspension or 2 * spec.times.tolerance
    return Scenario(
        mode="sealed" if spec.is_sealed else "compatible",
        nodes=nodes,
        quorum=max(spec.votes_needed, 1),
        faults=given.faults,
        loss=given.loss,
        timing=dataclasses.replace(spec.times, suspension=suspension),
    )


def positive(text: str) -> int:
    """A number above 0.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return int(text)


def show(line: str) -> None:
    """A line of the report."""
    sys.stdout.write(line + "\n")
