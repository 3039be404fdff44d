"""Internal routing: the rules, one option per kind of test and chain (spec/internal-routing.md).

The rules of a chain count in the order in which they stand in the configuration, whatever
their options: ``Settings.pairs`` has that order. ``uwgate.routing.rules`` reads the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """Rules that run before the application is asked."""

    PREFIX: ClassVar[str] = ""

    route: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in PATH_INFO: pattern action:arguments."
    )
    route_host: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in the Host header."
    )
    route_uri: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in REQUEST_URI, as the client sent it."
    )
    route_qs: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in QUERY_STRING."
    )
    route_remote_addr: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in REMOTE_ADDR."
    )
    route_remote_user: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in REMOTE_USER."
    )
    route_user_agent: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in the User-Agent header."
    )
    route_referer: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act if a pattern is in the Referer header."
    )
    route_if: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act on a condition: condition:arguments action:arguments."
    )
    route_if_not: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act unless a condition is true."
    )
    route_run: tuple[str, ...] = option((), kind=Kind.TEXT, help="Act always: action:arguments.")
    route_python: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        ours=True,
        help="Let a Python function decide: module:function[,budget=seconds][,failure=goon].",
    )
    route_label: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="A name that goto: of an earlier rule can go to."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRouteOptions(RouteOptions):
    """Rules that run when there is a status."""

    route_status: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Act on a status: 404 action:arguments."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRouteOptions(StatusRouteOptions):
    """Rules that run before the response's headers go out."""

    PREFIX: ClassVar[str] = "response-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRouteOptions(StatusRouteOptions):
    """Rules that run whenever a status is set, whichever it is."""

    PREFIX: ClassVar[str] = "error-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalRouteOptions(StatusRouteOptions):
    """Rules that run when the response is over."""

    PREFIX: ClassVar[str] = "final-"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOptions:
    """Headers that every response gets, loses or lends to the rules."""

    add_header: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Add a header to every response: Name: value."
    )
    rem_header: tuple[str, ...] = option(
        (), kind=Kind.TEXT, aliases=("del-header",), help="Drop a header from every response."
    )
    collect_header: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("response-header-collect",),
        help="Copy a header of the response into a variable: Name VARIABLE.",
    )
    pull_header: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="The same, and take the header out of the response."
    )
    router_list: bool = option(
        False, kind=Kind.BOOL, aliases=("routers-list",), help="Log the names of all actions."
    )
