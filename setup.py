"""What pyproject.toml cannot say: modules that may be compiled.

With ``UWGATE_COMPILE=1`` in the environment of ``pip install`` those below become extension
modules, made by mypyc of the same files, which stay what runs everywhere else. Nothing else
changes: see docs/howto/compile.md.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from setuptools import setup

BUILDING = frozenset(("bdist_wheel", "build", "build_ext", "editable_wheel", "install"))
COMPILER = "mypy>=1.18"  # mypyc is part of it

# Where every request of a gateway passes. A class can only be compiled together with those that
# inherit from it; modules that call each other gain from being compiled together.
MODULES = """
gateways/answers
gateways/arrival
gateways/corerouter/attempts
gateways/corerouter/cached
gateways/corerouter/derived
gateways/corerouter/function
gateways/corerouter/mapper
gateways/corerouter/pool
gateways/corerouter/router
gateways/corerouter/static
gateways/corerouter/target
gateways/counters
gateways/door
gateways/fastrouter/backend
gateways/fastrouter/body
gateways/fastrouter/client
gateways/fastrouter/head
gateways/fastrouter/lease_stream
gateways/fastrouter/leased
gateways/fastrouter/process
gateways/fastrouter/relay
gateways/fastrouter/session
gateways/fastrouter/states
gateways/flow
gateways/lane
gateways/lane_gateway
gateways/leases
gateways/names
gateways/rawrouter/backend
gateways/rawrouter/process
gateways/rawrouter/spliced
gateways/redirect
gateways/responses
gateways/search
gateways/session
gateways/sslrouter/process
gateways/tls/session
gateways/wire/lease
gateways/wire/uwsgi
gateways/wire/uwsgi_scan
subscriptions/health
subscriptions/slot
"""


def compiled() -> dict[str, Any]:
    """What ``setup`` gets besides; nothing if nothing is to be compiled."""
    if os.environ.get("UWGATE_COMPILE", "0") in ("", "0"):
        return {}
    try:
        from mypyc.build import mypycify
    except ImportError:  # pip asks what a build needs before it is there
        return {"setup_requires": [COMPILER]}
    if not BUILDING.intersection(sys.argv):  # only what the package is called is asked for
        return {}
    files = [f"src/uwgate/{name}.py" for name in MODULES.split()]
    # Whoever builds has not got what uwgate imports; that it fits together is for others to check.
    flags = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    return {
        "ext_modules": mypycify(
            [*flags, *files], opt_level="3", debug_level="0", group_name="uwgate"
        )
    }


setup(**compiled())
