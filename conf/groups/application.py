"""Which application runs, and how it is loaded (spec/workers.md section 20)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationOptions:
    """The application and the interpreter around it."""

    module: str | None = option(
        None,
        kind=Kind.TEXT,
        aliases=("wsgi",),
        short="w",
        help="Load a WSGI module: pkg.mod, pkg.mod:callable or pkg.mod:factory().",
    )
    wsgi_file: str | None = option(
        None, kind=Kind.PATH, aliases=("file",), help="Load a WSGI file, such as app.py."
    )
    callable: str = option(
        "application", kind=Kind.TEXT, help="Name of the callable in the module or file."
    )
    mount: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="Serve another application below a path: /prefix=app."
    )
    manage_script_name: bool = option(
        False,
        kind=Kind.BOOL,
        help="Split PATH_INFO at the mount point (also done whenever there are mounts).",
    )
    no_default_app: bool = option(
        False, kind=Kind.BOOL, help="Answer 500 for paths below no mount point."
    )
    need_app: bool = option(
        True, kind=Kind.BOOL, help="Stop with status 22 if no application can be loaded."
    )
    lazy_apps: bool = option(
        False, kind=Kind.BOOL, help="Load the application in each worker, not once before the fork."
    )
    lazy: bool = option(False, kind=Kind.BOOL, help="Old name for the effect of lazy-apps.")
    virtualenv: str | None = option(
        None,
        kind=Kind.PATH,
        aliases=("home", "venv", "pyhome"),
        short="H",
        help="Run the workers with this virtual environment's Python.",
    )
    pythonpath: tuple[str, ...] = option(
        (),
        kind=Kind.PATH,
        aliases=("python-path", "pp"),
        help="Put a directory (a glob is allowed) in front of sys.path.",
    )
    pyargv: str | None = option(
        None, kind=Kind.TEXT, help="Words that the application finds in sys.argv[1:]."
    )
    py_import: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        name="import",
        aliases=("pyimport", "py-import", "python-import"),
        help="Import a module before the application is loaded.",
    )
    chdir: str | None = option(None, kind=Kind.PATH, help="Change to this directory first.")
    chdir2: str | None = option(
        None, kind=Kind.PATH, help="Change to this directory after the application is loaded."
    )
    env: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="Set an environment variable: NAME=value."
    )
    unenv: tuple[str, ...] = option((), kind=Kind.TEXT, help="Remove an environment variable.")
    catch_exceptions: bool = option(
        False, kind=Kind.BOOL, help="Send tracebacks to the client: for development only."
    )
    reload_on_exception: bool = option(
        False, kind=Kind.BOOL, help="Replace a worker after an exception of the application."
    )
    wsgi_disable_file_wrapper: bool = option(
        False, kind=Kind.BOOL, help="Leave wsgi.file_wrapper out of the environ."
    )
    allow_dynamic_apps: bool = option(
        False,
        kind=Kind.BOOL,
        ours=True,
        help="Obey UWSGI_FILE, UWSGI_SCRIPT, UWSGI_MODULE and so on in requests: whoever "
        "reaches the socket can then run any code.",
    )
