"""What of a request matters to a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """A request. ``path`` is PATH_INFO: decoded, without the query. ``uri`` as it was sent.

    ``fields``: header fields by their names in small letters; several of a name are one, joined
    with commas. ``document_root``: the front server's, None: it said nothing.
    """

    method: bytes = b"GET"
    path: bytes = b"/"
    uri: bytes = b"/"
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    document_root: bytes | None = None
