"""Many simulated lives of a legion, and what is to be said of them.

    python -m uwgate.subscriptions.legion.simulation --schedules 20000

A failure is printed with its seed; the same command with ``--seed SEED --schedules 1 --trace``
shows that life event by event.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.scenario import Findings, Scenario
from uwgate.subscriptions.legion.schedule import Schedule

BAR = 40  # characters
MAX_SHOWN = 10  # failures that are printed


@dataclass(slots=True)
class Report:
    """Sums over lives; times in seconds. ``failures``: seed and what went wrong."""

    schedules: int = 0
    overlapping: int = 0
    repeated_terms: int = 0
    fallen_terms: int = 0
    late: int = 0
    lords: int = 0
    lasted: float = 0.0
    lordless: float = 0.0
    worst_takeover: float = 0.0
    worst_seed: int | None = None
    worst_start: float = 0.0
    takeovers: list[float] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, seed: int, findings: Findings) -> None:
        """Count one life in."""
        self.schedules += 1
        self.overlapping += bool(findings.overlaps)
        self.repeated_terms += findings.repeated_terms
        self.fallen_terms += findings.fallen_terms
        self.late += findings.late
        self.lords += findings.lords
        self.lasted += findings.lasted
        self.lordless += findings.lordless
        self.takeovers += findings.takeovers
        self.worst_start = max(self.worst_start, *findings.starts, 0.0)
        worst = max(findings.takeovers, default=0.0)
        if worst > self.worst_takeover:
            self.worst_takeover, self.worst_seed = worst, seed
        if len(self.failures) < MAX_SHOWN:
            self.failures += [(seed, text) for text in findings.overlaps[:1]]
            if findings.repeated_terms or findings.fallen_terms:
                self.failures.append((seed, "a term was not higher than all before"))

    @property
    def has_failed(self) -> bool:
        """Whether something happened that must not."""
        return bool(self.overlapping or self.repeated_terms or self.fallen_terms)

    def lines(self) -> list[str]:
        """The report, as text."""
        ordered = sorted(self.takeovers) or [0.0]
        middle = ordered[len(ordered) // 2]
        most = ordered[len(ordered) * 99 // 100]
        share = 100 * self.lordless / self.lasted if self.lasted else 0.0
        return [
            f"schedules                 {self.schedules}, {self.lasted / 3600:.1f} hours of life",
            f"lords                     {self.lords}",
            f"overlaps of lords         {self.overlapping}",
            f"terms given twice         {self.repeated_terms}",
            f"terms below one before    {self.fallen_terms}",
            f"take-over                 median {middle:.2f} s, 99 % {most:.2f} s,"
            f" worst {self.worst_takeover:.2f} s (seed {self.worst_seed})",
            f"first lord of a majority  worst {self.worst_start:.2f} s",
            f"without a lord            {share:.1f} % of the time, though a majority was connected",
            f"address on a stalled node {self.late} times while another lord rose",
            *(f"FAILED seed {seed}: {text}" for seed, text in self.failures),
        ]


def simulate(
    scenario: Scenario,
    seed: int,
    schedules: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Live ``schedules`` lives, of seeds from ``seed`` on. ``progress`` hears how many are over."""
    seeds = range(seed, seed + schedules)
    return sum_up(seeds, (live(scenario, one) for one in seeds), progress)


def live(scenario: Scenario, seed: int) -> Findings:
    """One life."""
    return Schedule(seed, scenario).run()


def sum_up(
    seeds: Sequence[int], lives: Iterable[Findings], progress: Callable[[int], None]
) -> Report:
    """The report on lives of these seeds, in the same order."""
    report = Report()
    for number, (seed, findings) in enumerate(zip(seeds, lives, strict=True), 1):
        report.add(seed, findings)
        progress(number)
    return report


def make_progress(schedules: int) -> Callable[[int], None]:
    """A progress bar on a terminal; elsewhere nothing."""
    step = max(schedules // 200, 1)

    def show(done: int) -> None:
        if done % step == 0 or done == schedules:
            filled = BAR * done // schedules
            bar = "#" * filled + "." * (BAR - filled)
            end = "\n" if done == schedules else ""
            sys.stderr.write(f"\r[{bar}] {done}/{schedules}{end}")
            sys.stderr.flush()

    return show if sys.stderr.isatty() else lambda done: None


def parser() -> argparse.ArgumentParser:
    """The command line: one option for each field of ``Scenario``, computed from them."""
    made = argparse.ArgumentParser(
        prog="python -m uwgate.subscriptions.legion.simulation",
        description="Simulate lives of a legion under a virtual clock, with faults from a seed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--schedules", type=int, default=1000, help="how many lives")
    made.add_argument("--seed", type=int, default=0, help="of the first one")
    made.add_argument("--trace", action="store_true", help="print all that happens")
    made.add_argument("--mode", choices=("sealed", "compatible"), default="sealed", help="which")
    made.add_argument("--nodes", type=int, default=3, help="how many")
    made.add_argument("--quorum", type=int, help="votes that a lord needs (more than half)")
    made.add_argument("--periods", type=int, default=30, help="announcement periods in a life")
    made.add_argument("--faults", type=int, default=4, help="faults in a life")
    made.add_argument("--loss", type=float, default=0.3, help="most of the packets lost")
    made.add_argument("--duplicates", type=float, default=0.1, help="most of them doubled")
    made.add_argument("--delay", type=float, default=2.0, help="longest, in seconds")
    for name, text in (
        ("remembers", "nodes keep the highest term over restarts"),
        ("arbiter", "the last node is one"),
        ("equal-valors", "all nodes have the same valor"),
    ):
        default = name == "remembers"
        made.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=default, help=text
        )
    made.add_argument("--period", type=float, help="seconds between announcements")
    made.add_argument("--tolerance", type=float, help="seconds after which silence is death")
    return made


def scenario_of(given: argparse.Namespace) -> Scenario:
    """What the command line asks for.

    Raises:
        ConfigError: it cannot be simulated.
    """
    names = [item.name for item in dataclasses.fields(Scenario) if item.name != "timing"]
    scenario = Scenario(**{name: getattr(given, name) for name in names})
    changes = {
        name: value
        for name in ("period", "tolerance")
        if (value := getattr(given, name)) is not None
    }
    timing = dataclasses.replace(scenario.times, **changes)
    timing.check()
    for name, least in (("nodes", 2), ("periods", 1), ("faults", 0), ("schedules", 1)):
        if getattr(given, name) < least:
            raise ConfigError(f"--{name} {getattr(given, name)}: at least {least}")
    if not 0 <= given.loss < 1 or not 0 <= given.duplicates <= 1 or given.delay < 0.001:
        raise ConfigError("--loss and --duplicates are fractions, --delay at least 0.001 s")
    return dataclasses.replace(scenario, timing=timing)


def show(line: str) -> None:
    """A line of a trace."""
    sys.stdout.write(line + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Status 1: something happened that must not."""
    arguments = parser()
    given = arguments.parse_args(argv)
    try:
        scenario = scenario_of(given)
    except ConfigError as error:
        arguments.error(str(error))
    if given.trace:
        for seed in range(given.seed, given.seed + given.schedules):
            Schedule(seed, scenario, show).run()
    report = simulate(scenario, given.seed, given.schedules, make_progress(given.schedules))
    sys.stdout.write("\n".join(report.lines()) + "\n")
    return int(report.has_failed)


if __name__ == "__main__":
    sys.exit(main())
