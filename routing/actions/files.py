"""Actions that answer with a file (spec/internal-routing.md section 6.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from uwgate.routing.actions.flow import read_status
from uwgate.routing.keyval import read_pairs
from uwgate.routing.results import Ask, Flow, Reply, Result, ServeFile, ServeStatic
from uwgate.routing.template import Template
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop

_LENGTH_OFF = ("nocl", "no_cl", "no_content_length")
_KEYS = ("filename", "status", "content_type", "mime", "no_headers", *_LENGTH_OFF, "root")


def checked_path(path: bytes) -> bytes:
    """The path of a file.

    Raises:
        RuleError: it has a NUL byte, or nothing is in it.
    """
    if not path or b"\0" in path:
        raise RuleError(f"{path.decode('latin-1')!r} is no path of a file", 404)
    return path


def _absent(reply: Reply) -> Result:
    del reply
    return Flow.NEXT


def _static(workshop: Workshop, text: bytes) -> Act:
    template = _wanted(workshop, text)

    def act(scope: Scope) -> Result:
        path = checked_path(template.expand(scope))
        return ServeStatic(path, root=default_root(template, path))

    return act


def _static_next(workshop: Workshop, text: bytes) -> Act:
    template = _wanted(workshop, text)

    def act(scope: Scope) -> Result:
        path = checked_path(template.expand(scope))
        file = ServeStatic(path, optional=True, root=default_root(template, path))
        return Ask(file, _absent)

    return act


def _wanted(workshop: Workshop, text: bytes) -> Template:
    if not text:
        raise Mistake("expected the path of a file")
    return workshop.template(text)


def default_root(template: Template, path: bytes) -> bytes | None:
    """The directory that ``path``, made of a template with requests' texts, must not leave.

    It is what stands before the first of these texts, if the text begins with a slash, else
    what stands before the last slash in front of it. None: nothing of the path is a request's,
    or everything is.

    Raises:
        RuleError: the text begins in the middle of a name, and the path leads up.
    """
    if template.constant is not None or not template.pieces:
        return None
    head = template.pieces[0]
    if not isinstance(head, bytes) or b"/" not in head:
        return None
    if path.startswith(b"/", len(head)):  # /srv and /a
        return head.rstrip(b"/") or b"/"
    if not head.endswith(b"/") and b".." in path[len(head) :].split(b"/"):
        raise RuleError(f"{path.decode('latin-1')!r} leads up", 403)
    return head[: head.rindex(b"/")] or b"/"


def _sends_file(*, by_kernel: bool, optional: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        pairs = read_pairs(text, _KEYS, required=("filename",))
        path = workshop.template(pairs["filename"])
        status = workshop.template(pairs.get("status", b"200 OK"))
        if status.constant is not None:
            read_status(status.constant)
        plain = ServeFile(
            path=b"",
            content_type=pairs.get("content_type", b"text/html"),
            mime=bool(pairs.get("mime")),
            root=pairs.get("root"),
            by_kernel=by_kernel,
            with_length=not any(pairs.get(key) for key in _LENGTH_OFF),
            with_headers=not pairs.get("no_headers"),
            optional=optional,
        )

        def act(scope: Scope) -> Result:
            line = status.expand(scope)
            try:
                read_status(line)
            except Mistake as error:
                raise RuleError(str(error)) from error
            name = checked_path(path.expand(scope))
            root = default_root(path, name) if plain.root is None else plain.root
            file = replace(plain, path=name, status=line, root=root)
            return Ask(file, _absent) if optional else file

        return act

    return make


_KV = "filename=...[,status=][,content_type=][,mime=1][,no_headers=1][,no_cl=1][,root=]"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("static",), "path", "serve a file as static files are served", _static),
    ActionKind(("static-next",), "path", "the same if it is there, else go on", _static_next),
    ActionKind(("file",), _KV, "send a file's bytes", _sends_file(by_kernel=False, optional=False)),
    ActionKind(
        ("sendfile", "fastfile"),
        _KV,
        "the same by the kernel, past transformations",
        _sends_file(by_kernel=True, optional=False),
    ),
    ActionKind(
        ("file-next",),
        _KV,
        "`file` if it is there, else go on",
        _sends_file(by_kernel=False, optional=True),
    ),
    ActionKind(
        ("sendfile-next", "fastfile-next"),
        _KV,
        "`sendfile` if it is there, else go on",
        _sends_file(by_kernel=True, optional=True),
    ),
)
