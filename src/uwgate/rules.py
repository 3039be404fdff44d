"""What a rule that is a Python function is given, and what it may return (``route-python``)."""

from __future__ import annotations

from uwgate.routing.functions import Answer, Change
from uwgate.routing.view import Request

__all__ = ["Answer", "Change", "Request"]
