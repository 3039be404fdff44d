"""Which test tries a row of the tables, and what differs from uWSGI 2.0.31.

The cases in tests/cases/routing are run by a real uWSGI and by uwgate
(tests/e2e/test_like_uwsgi_routing.py); they name their rows themselves. What stands here are the
rows that no such case can have, each with its test and the reason. A row is a kind and a
name: ``action goto``, ``condition exists``, ``variable qs``; transformations are actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
CASES = TESTS / "cases" / "routing"

_WORLD = "tests/routing/test_variables.py::test_a_function_has_its_value"
_AUTHORITIES = "tests/e2e/test_authorities.py::"
_WRONG = "tests/routing/test_authentication.py::test_wrong_credentials_can_let_the_chain_go_on"
_CONNECT = "tests/e2e/test_routing_connect.py::test_a_client_gets_the_connection_that_it_asks_for"
_EFFECT = "tests/routing/test_actions.py::test_an_action_has_its_effect_and_goes_on"
_CGI = "tests/e2e/test_routing_cgi.py::test_a_real_uwsgi_is_asked"
_CODING = "tests/routing/test_transformations.py::test_each_piece_can_be_read_when_it_comes"
_COPIES = "tests/routing/test_transformations.py::test_copies_go_to_stores_and_files"
_CONTINUED = "tests/routing/test_actions.py::test_a_hit_can_stand_before_what_follows"

_PLUGIN = "uWSGI's default build has no such plugin"
_OURS = "uWSGI has no such thing"
_CONTENT = "what follows fails in uWSGI"

ELSEWHERE: dict[str, tuple[str, str]] = {  # row: test, and why no case
    "action cache-continue": (_CONTINUED, _CONTENT),
    "action memcached-continue": (_CONTINUED, _CONTENT),
    "action redis-continue": (_CONTINUED, _CONTENT),
    "action goon": ("tests/routing/test_chain.py::test_last_leaves_the_chain", _OURS),
    "action ldapauth": (f"{_AUTHORITIES}test_a_directory_says_who_may_come_in", _PLUGIN),
    "action radius": (f"{_AUTHORITIES}test_a_radius_server_says_who_may_come_in", _PLUGIN),
    "action spnego": (f"{_AUTHORITIES}test_a_ticket_lets_its_holder_in_once", _PLUGIN),
    "action xslt": (f"{_AUTHORITIES}test_a_document_comes_as_a_stylesheet_makes_it", _PLUGIN),
    "action toxslt": (f"{_AUTHORITIES}test_a_response_comes_as_a_stylesheet_makes_it", _PLUGIN),
    "action ssi": (f"{_AUTHORITIES}test_a_page_comes_filled_in", _PLUGIN),
    "action ldapauth-next": (_WRONG, _PLUGIN),
    "action radius-next": (_WRONG, _PLUGIN),
    "action spnego-next": (_WRONG, _PLUGIN),
    "action httpconnect": (_CONNECT, "it carries bytes, not responses"),
    "action proxyhttpconnect": (_CONNECT, "it carries bytes, not responses"),
    "action fcgi": (_CGI, _OURS),
    "action scgi": (_CGI, _OURS),
    "action memcached": (
        "tests/gateways/test_routed_others.py::test_an_answer_comes_from_memcached",
        "a memcached is not always there",
    ),
    "action python": ("tests/e2e/test_route_python.py::test_a_function_answers", _OURS),
    "action brotli": (_CODING, _OURS),
    "action zstd": (_CODING, _OURS),
    "action toupper": (
        "tests/routing/test_transformations.py::test_letters_become_capitals",
        _PLUGIN,
    ),
    "action memcachedstore": (_COPIES, "uWSGI does not say when it has stored something"),
    "action redisstore": (_COPIES, "uWSGI does not say when it has stored something"),
    "variable math": (_WORLD, _PLUGIN),
    "variable geoip": (
        "tests/routing/test_places.py::test_a_field_is_that_of_the_address",
        _PLUGIN,
    ),
    "variable xattr": (_WORLD, _PLUGIN),
    "variable xattr2": (_WORLD, _PLUGIN),
    "recipe geoip-block": (_WORLD, _PLUGIN),
    "recipe toupper-flush-tofile": (
        "tests/routing/test_transformations.py::"
        "test_behind_flush_nothing_reaches_the_client_or_its_headers",
        _PLUGIN,
    ),
}


@dataclass(slots=True)
class Standing:
    """``cases`` are names like ``rules.ini [goto]``; ``differences`` are sentences."""

    cases: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def read_standings() -> dict[str, Standing]:
    """By row, what the cases say of it."""
    found: dict[str, Standing] = {}
    for path in sorted(CASES.glob("*.ini")):
        case = ""
        rows: list[str] = []
        for line in path.read_text("utf-8").splitlines():
            name, _, value = (part.strip() for part in line.partition("="))
            if line.startswith("["):
                case, rows = line.strip(), []
            elif name == "row":
                rows = [
                    row.strip().replace("transformation ", "action ") for row in value.split(",")
                ]
                for row in rows:
                    found.setdefault(row, Standing()).cases.append(f"{path.name} {case}")
            elif name in ("differs", "alone"):
                text = value if name == "differs" else f"only by a worker: {value}"
                for row in rows:
                    if text not in found[row].differences:
                        found[row].differences.append(text)
    return found


def standing_of(kind: str, names: tuple[str, ...], cases: dict[str, Standing]) -> Standing | None:
    """What is known of a row by any of its names; None: no case has it."""
    of = [cases[row] for name in names if (row := f"{kind} {name}") in cases]
    if not of:
        return None
    return Standing(
        list(dict.fromkeys(case for one in of for case in one.cases)),
        list(dict.fromkeys(text for one in of for text in one.differences)),
    )


def tested_by(kind: str, names: tuple[str, ...], cases: dict[str, Standing]) -> tuple[str, str]:
    """Two cells of the table: by which test, and what differs.

    Raises:
        LookupError: no test is known for a row.
    """
    standing = standing_of(kind, names, cases)
    if standing is not None:
        shown = ", ".join(f"`{case}`" for case in standing.cases)
        return shown, "; ".join(standing.differences)
    for name in names:
        if f"{kind} {name}" in ELSEWHERE:
            test, why = ELSEWHERE[f"{kind} {name}"]
            return f"`{test.removeprefix('tests/')}` ({why})", ""
    raise LookupError(f"no test is known for the {kind} {names[0]}")
