"""A request through the rules of a worker, and its response back."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from tests.routing.examples import ALIKE, Example
from tests.routing.simulation import Response, Server
from tests.workers.visits import Ruled, Sink

EXAMPLES = [one for one in ALIKE if one.name != "page cache"]  # a worker has no cache yet
FRAMING = (b"Content-Length", b"Connection")
OUR_PAGE = ((b"Content-Type", b"text/plain; charset=utf-8"),)


def unframed(response: Response) -> Response:
    """Without what a connection says of where the body ends, which is ours to say.

    Where a rule cannot do what it is to do, we say so, and uWSGI says nothing.
    """
    if tuple(pair for pair in response.headers if pair[0] not in FRAMING) == OUR_PAGE:
        return Response(None)
    headers = tuple(pair for pair in response.headers if pair[0] not in FRAMING)
    return replace(response, headers=headers)


@pytest.mark.parametrize("rules", EXAMPLES, ids=lambda rules: rules.name)
def test_a_worker_does_what_the_rules_say(rules: Example) -> None:
    wanted, ours = Server(rules.lines), Ruled(rules.lines)
    expected = [unframed(wanted.get(one.target, one.headers, one.method)) for one in rules.asks]
    found = [unframed(ours.get(one.target, one.headers, one.method)) for one in rules.asks]
    assert found == expected
