"""What routing rules that do not match cost a request.

Usage: PYTHONPATH=src python -m benchmarks.rules_cost [--runs N]

Microseconds to run a chain of 100 rules, none of which matches, over one request: the smallest
time of all runs. The target is 50, and 5 is hoped for.
"""

from __future__ import annotations

import argparse
import time

from uwgate.routing.chain import Chain
from uwgate.routing.outside import Outside
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction

REQUESTS = 5_000
COUNT = 100
TARGET = 50.0  # microseconds

VARIABLES = {
    b"PATH_INFO": b"/section99/77/articles/index.html",
    b"REQUEST_URI": b"/section99/77/articles/index.html?a=b",
    b"HTTP_HOST": b"www.example.com",
    b"HTTP_USER_AGENT": b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    b"REMOTE_ADDR": b"203.0.113.7",
}
MIXED = (
    r"route = ^/old{n}/(\d+)$ redirect:/new/$1",
    r"route = \.ext{n}$ break:403",
    r"route-host = ^(www\.)?host{n}\.com$ last:",
    r"route-if = equal:${{REMOTE_ADDR}};10.0.0.{n} last:",
    r"route-user-agent = (?i)(bot{n}x|spider{n}x) break:403",
)
CHAINS = {
    "anchored patterns": (r"route = ^/old{n}/(\d+)$ redirect:/new/$1",),
    "endings": (r"route = \.ext{n}$ break:403",),
    "patterns without a fixed text": (r"route = ^/(\w)\w{{{n}}}(\d)$ last:",),
    "conditions": ("route-if = equal:${{REMOTE_ADDR}};10.0.0.{n} last:",),
    "negated conditions": ("route-if-not = startswith:${{PATH_INFO}};/section last:",),
    "a mixture": MIXED,
}


def chain_of(lines: tuple[str, ...]) -> Chain:
    """100 rules, made of these in turn."""
    rules = [lines[n % len(lines)].format(n=n + 1).split(" = ", 1) for n in range(COUNT)]
    return compile_rules((option, value, "benchmark") for option, value in rules).request


def cost(chain: Chain) -> float:
    """Microseconds for one request."""
    outside = Outside()
    began = time.perf_counter()
    for _ in range(REQUESTS):
        chain.start(Transaction(VARIABLES), outside)
    return (time.perf_counter() - began) / REQUESTS * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs: int = parser.parse_args().runs
    for name, lines in CHAINS.items():
        chain = chain_of(lines)
        best = min(cost(chain) for _ in range(runs))
        note = "" if best <= TARGET else f"  above the target of {TARGET:.0f}"
        print(f"{name:32} {best:6.1f} us{note}")  # noqa: T201


if __name__ == "__main__":
    main()
