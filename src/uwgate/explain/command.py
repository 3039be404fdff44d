"""``uwgate explain CONFIG 'GET /path Host: example.com'``: rule by rule, what would happen."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence

from uwgate import exits
from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load
from uwgate.conf.logs import wants_colour
from uwgate.explain.answers import KINDS, read_answers
from uwgate.explain.document import document_of
from uwgate.explain.files import Files
from uwgate.explain.page import Page
from uwgate.explain.request import EXAMPLE, Side, read_asked, read_headers
from uwgate.explain.story import Response, tell
from uwgate.routing.ruleset import read_rule_set
from uwgate.routing.statuses import reason_of
from uwgate.routing.view import bytes_of

WORD = "explain"

DESCRIPTION = """\
Say what the routing rules of a configuration would do to a request, and why: every rule with
its place, what its condition saw, what it changed, and what comes of it in the end. Nothing is
started and nobody is asked: files are looked at, and all that rules would have to ask a cache,
a backend or a function for is told, and assumed to be missing unless --answer says otherwise.
"""

EPILOG = """\
examples:
  uwgate explain shop.ini /old/42
  uwgate explain shop.ini 'POST /cart Host: shop.example' 'Cookie: id=7' --https
  uwgate explain shop.ini /missing --status 404 --response-header 'Content-Type: text/html'
  uwgate explain shop.ini /page --answer 'cache:pages//page=<p>kept</p>'
  uwgate explain shop.ini /admin --json | jq .verdict

what --answer takes:
"""


def main(argv: Sequence[str]) -> int:
    """The command, without its word.

    Raises:
        ConfigError: the configuration, the request or an answer cannot be used, or there are
            no rules.
    """
    given = parser().parse_args(argv)
    asked = read_asked(given.request)
    answers = read_answers(given.answer)
    assumed = _assumed(given.status, given.response_header)
    side = Side(given.remote_addr, given.https, _variables(given.var))
    environ = dict(os.environ)
    settings = load([given.config], environ).settings
    rules = read_rule_set(settings)
    if rules is None:
        raise ConfigError(f"{given.config}: there are no routing rules in it")
    files = Files(settings.static)
    story = tell(rules, asked, side=side, answers=answers, files=files, assumed=assumed)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not know all letters
    if given.json:
        sys.stdout.write(json.dumps(document_of(story), indent=2) + "\n")
    else:
        sys.stdout.write(Page(colours=wants_colour(1, environ)).text(story))
    return exits.OK


def parser() -> argparse.ArgumentParser:
    """The command line."""
    kinds = "".join(f"  {kind}:{form}\n" for kind, form in KINDS.items())
    made = argparse.ArgumentParser(
        prog="uwgate explain",
        description=DESCRIPTION,
        epilog=EPILOG + kinds,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("config", help="the configuration, as uwgate itself takes it")
    made.add_argument(
        "request",
        nargs="+",
        help=f"such as '{EXAMPLE}' or just a path; further words are further headers",
    )
    made.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="KIND:NAME=VALUE",
        help="what a cache, function or server would say (see below); may be repeated",
    )
    made.add_argument(
        "--status", type=int, metavar="NNN", help="what the application answers, to see its rules"
    )
    made.add_argument(
        "--response-header",
        action="append",
        default=[],
        metavar="HEADER",
        help="a header of what the application answers; may be repeated",
    )
    made.add_argument(
        "--remote-addr", default="127.0.0.1", metavar="ADDRESS", help="who asks (%(default)s)"
    )
    made.add_argument("--https", action="store_true", help="the client speaks TLS")
    made.add_argument(
        "--var",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other variable of the request; may be repeated",
    )
    made.add_argument("--json", action="store_true", help="print a JSON document")
    return made


def _assumed(status: int | None, headers: Sequence[str]) -> Response | None:
    if status is None and not headers:
        return None
    code = 200 if status is None else status
    if not 200 <= code <= 999:
        raise ConfigError(f"--status {code}: expected 200 to 999")
    pairs = tuple((bytes_of(name), bytes_of(value)) for name, value in read_headers(headers))
    return Response(code, reason_of(code), pairs)


def _variables(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not equals or not name:
            raise ConfigError(f"--var {text}: expected NAME=VALUE")
    return tuple((name, value) for name, _, value in pairs)
