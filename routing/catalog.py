"""Every condition, action, transformation and variable of uWSGI's rules, and its standing here."""

from __future__ import annotations

from uwgate.routing.actions import (
    authentication,
    backends,
    choice,
    documents,
    files,
    flow,
    python,
    request,
    response,
    rpc,
    server,
    stores,
    transforming,
)
from uwgate.routing.conditions import CONDITIONS
from uwgate.routing.workshop import ActionKind, ConditionKind

SECTIONS: dict[str, tuple[ActionKind, ...]] = {
    "Flow": flow.ACTIONS,
    "Server": server.ACTIONS,
    "Request": request.ACTIONS,
    "Response": response.ACTIONS,
    "Files": files.ACTIONS,
    "Documents": documents.ACTIONS,
    "Authentication": authentication.ACTIONS,
    "Backends": backends.ACTIONS,
    "Caches and stores": stores.ACTIONS,
    "Functions": (*rpc.ACTIONS, *python.ACTIONS),
    "Choice and metrics": choice.ACTIONS,
    "Transformations": transforming.ACTIONS,
}

ACTION_KINDS: dict[str, ActionKind] = {
    name: kind for kinds in SECTIONS.values() for kind in kinds for name in kind.names
}
CONDITION_KINDS: dict[str, ConditionKind] = {
    name: kind for kind in CONDITIONS for name in kind.names
}

_OWN_PROCESS = "serve it by a backend of its own, with http: or uwsgi:"
_C_CODE = "there is no C code to call; write the rule as rpc: of a Python function"

NOT_OFFERED: dict[str, str] = {
    "access": "it needs the files of tcp wrappers; use route-if-not = ipv4in:... break:403",
    "cgi": f"CGI programs are not run here: {_OWN_PROCESS}",
    "cgihelper": f"CGI programs are not run here: {_OWN_PROCESS}",
    "gridfs": f"there is no client of MongoDB here: {_OWN_PROCESS}",
    "symcall": _C_CODE,
    "symcall-next": _C_CODE,
    "xmldir": f"directories are not listed as XML: {_OWN_PROCESS}",
}
