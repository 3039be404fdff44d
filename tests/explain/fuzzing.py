"""Random rules in all chains, random requests: ``python -m tests.explain.fuzzing --seconds 600``.

Whatever meets: a story with an end, in no more steps than there are rules, a head that can be
sent, and no file outside of the folder that the rules name.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.routing import test_properties as known
from uwgate.conf.errors import ConfigError
from uwgate.explain.answers import Answers
from uwgate.explain.document import document_of
from uwgate.explain.files import Files
from uwgate.explain.page import Page
from uwgate.explain.request import Asked, Side
from uwgate.explain.story import Response, Story, tell
from uwgate.routing.headers import HeaderRules
from uwgate.routing.outside import Outside
from uwgate.routing.rule import SUBJECTS
from uwgate.routing.rules import Rules, compile_rules
from uwgate.routing.ruleset import RuleSet
from uwgate.routing.transformations.stream import Pipeline

CHAINS = ("", "response-", "error-", "final-")
CONTROL = frozenset(range(32)) - {9} | {127}
MAX_CPU = 5.0  # seconds of one request; a pattern that hangs takes for ever
WAYS = ("../outside", "..%2foutside", "link", "%2e%2e/outside", "./../folder/../../outside", "a")

paths = st.one_of(
    st.sampled_from([f"/{way}" for way in WAYS]),
    st.sampled_from(["/", "/a", "/folder/", "/%00", "/a%0d%0aX: y", "/$%7BPATH_INFO%7D", "*"]),
    st.text("abx/.%2eE0?&$1{}~:", max_size=12).map(lambda text: f"/{text}"),
    st.text(st.characters(max_codepoint=0x2FF), max_size=20).map(lambda text: f"/{text}"),
)
values = st.one_of(
    st.sampled_from(WAYS),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    st.sampled_from(["a=../outside; b=2", "Basic eDp5", "gzip", "a=link"]),
)
requests = st.builds(
    lambda method, path, query, headers: Asked(method, path + query, tuple(headers)),
    st.sampled_from(["GET", "HEAD", "POST", "X"]),
    paths,
    st.sampled_from(["", "?a=../outside", "?a=link&b=1", "?"]),
    st.lists(
        st.tuples(
            st.sampled_from(["Cookie", "Host", "User-Agent", "Referer", "Authorization", "X-A"]),
            values,
        ),
        max_size=4,
    ),
)
FILES = [
    "static:@/$1",
    "static-next:@/$1",
    "static:@/${cookie[a]}",
    "static-next:@/${qs[a]}",
    "file:filename=@/$1",
    "file-next:filename=@/${qs[a]}",
    "sendfile:filename=@/folder/$1",
    "fastfile-next:filename=@/${HTTP_X_A},mime=1",
]
texts = st.one_of(
    st.sampled_from(FILES).map(lambda action: f"^/(.*)$ {action}"),
    st.builds(
        lambda shape, action: f"{shape} {action}", st.sampled_from(known.SHORT), known.actions
    ),
)


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, str]:
    """One rule of any chain."""
    chain = draw(st.sampled_from(CHAINS))
    if draw(st.integers(0, 3)) == 0:
        return chain + "route", f"^/(.*)$ {draw(st.sampled_from(FILES))}"
    option, value = draw(
        st.one_of(
            known.rules,
            st.tuples(st.sampled_from([f"route{suffix}" for suffix in SUBJECTS]), texts),
            st.tuples(st.just("route-status"), known.actions.map(lambda action: f"404 {action}")),
        )
    )
    return ("" if option == "route-status" and not chain else chain) + option, value


responses = st.none() | st.builds(
    lambda status, headers: Response(status, b"", tuple(headers)),
    st.sampled_from([200, 204, 304, 404, 500]),
    st.lists(
        st.tuples(
            st.sampled_from([b"Content-Type", b"Content-Length", b"X-A"]),
            st.sampled_from([b"text/html", b"5", b"gzip"]),
        ),
        max_size=3,
    ),
)


@dataclass(slots=True)
class World:
    """A folder that no file may come from outside of, and what was counted."""

    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    files: Files = field(default_factory=Files)

    def make(self) -> None:
        """Files, a link that leads out, and something outside."""
        root = self.folder / "root"
        (root / "folder").mkdir(parents=True)
        (root / "a").write_text("inside")
        (self.folder / "outside").write_text("outside")
        (root / "link").symlink_to(self.folder / "outside")

    def compile(self, rules: list[tuple[str, str]]) -> Rules | None:
        """The rules without those that are refused; None if none is left."""
        labels = [("route-label", label, "x") for label in ("l1", "l2", "a")]
        kept: list[tuple[str, str, object]] = []
        for number, (option, value) in enumerate(rules):
            filled = value.replace("@", str(self.folder / "root"))
            try:
                compile_rules([(option, filled, f"x:{number}"), *labels])
            except ConfigError:
                self.counts["rules refused"] += 1
            else:
                kept.append((option, filled, f"x:{number}"))
        try:
            return compile_rules([*kept, *labels])
        except ConfigError:  # a jump back to a label
            self.counts["chains refused"] += 1
            return None

    def check(
        self,
        rules: list[tuple[str, str]],
        asked: Asked,
        assumed: Response | None,
        body: list[bytes],
    ) -> None:
        """One request, and all that has to be so."""
        compiled = self.compile(rules)
        if compiled is None:
            return
        began = time.process_time()
        try:
            story = tell(
                RuleSet(compiled, HeaderRules()),
                asked,
                side=Side(),
                files=self.files,
                answers=Answers((("cache", b"/a=x"), ("rpc", b"f=goto l1"))),
                assumed=assumed,
            )
        except ConfigError:
            self.counts["requests refused"] += 1
            return
        self._look(story, compiled)
        pipeline = Pipeline(story.transaction, Outside())
        for piece in body:
            pipeline.feed(piece)
        pipeline.finish()
        self.slowest = max(self.slowest, time.process_time() - began)
        assert self.slowest < MAX_CPU, (rules, asked)
        self.counts["requests"] += 1
        self.counts["rules"] += sum(len(tale.steps) for tale in story.tales)

    def _look(self, story: Story, compiled: Rules) -> None:
        of = {
            chain.name: len(chain.rules)
            for chain in (compiled.request, compiled.response, compiled.error, compiled.final)
        }
        assert all(len(tale.steps) <= of[tale.chain] for tale in story.tales)
        assert Page(colours=True).text(story)
        document = document_of(story)
        self.counts[document["kind"]] += 1
        if story.response is not None:
            for name, value in story.response.headers:
                assert not CONTROL & set(name + value), story.response
        if story.found is not None and story.found.is_there:
            self.counts["files found"] += 1
            real = os.path.realpath(story.found.path)
            assert real.startswith(bytes(self.folder / "root") + b"/"), story.found


arguments = (
    st.lists(lines(), min_size=1, max_size=12),
    requests,
    responses,
    st.lists(st.binary(max_size=40), max_size=3),
)


def main() -> int:
    """Run for a while, and say how it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    given_arguments = parser.parse_args()
    end = time.monotonic() + given_arguments.seconds
    number = given_arguments.seed
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(os.path.realpath(name)))
        world.make()
        while time.monotonic() < end:

            @seed(number)
            @settings(
                max_examples=100,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )
            @given(*arguments)
            def run(
                rules: list[tuple[str, str]],
                asked: Asked,
                assumed: Response | None,
                body: list[bytes],
            ) -> None:
                world.check(rules, asked, assumed, body)

            run()
            number += 1
        for what, count in sorted(world.counts.items()):
            sys.stdout.write(f"{count:9} {what}\n")
        sys.stdout.write(f"seeds {given_arguments.seed} to {number - 1}\n")
        sys.stdout.write(f"slowest request: {world.slowest * 1000:.1f} ms of processor time\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
