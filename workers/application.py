"""Loading the application (spec/workers.md section 20)."""

from __future__ import annotations

import difflib
import glob
import importlib
import os
import re
import shlex
import sys
import traceback
import types
from typing import Any

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.application import ApplicationOptions
from uwgate.workers.log import say
from uwgate.workers.mounts import Mounts

_CALL = re.compile(r"(.+)\(\s*\)")


class LoadError(Exception):
    """An application cannot be loaded; the text is for the operator, traceback included."""


def prepare_interpreter(options: ApplicationOptions) -> None:
    """Set sys.path and sys.argv as the application expects them.

    As in uWSGI, each ``pythonpath`` goes to the very front, so the last one is searched first.
    """
    sys.path.insert(0, ".")
    for pattern in options.pythonpath:
        for folder in sorted(glob.glob(pattern)) or [pattern]:
            if folder not in sys.path:
                sys.path.insert(0, folder)
    sys.argv = ["uwsgi", *shlex.split(options.pyargv or "")]


def load_applications(options: ApplicationOptions, uwsgi: types.ModuleType) -> Mounts:
    """Everything that the options name, by mount point.

    Raises:
        LoadError: one of them cannot be loaded, or there is none.
    """
    mounts = Mounts(default_allowed=not options.no_default_app)
    for name in options.py_import:
        _import(name)
    for mount in options.mount:
        point, equals, target = mount.partition("=")
        if not equals:
            raise LoadError(f"mount = {mount}: not of the form /prefix=application")
        mounts.add(point.rpartition("|")[2], load(target, options.callable))
    if options.module is not None:
        _add_module(mounts, options.module, options, uwsgi)
    if options.wsgi_file is not None:
        namespace = load_file(options.wsgi_file)
        _add(mounts, namespace, options.callable, options.wsgi_file, uwsgi)
    if not len(mounts):
        raise LoadError("no application: set module or wsgi-file")
    return mounts


def load(target: str, default: str) -> Any:
    """The callable of ``pkg.mod``, ``pkg.mod:path.to.callable``, ``pkg.mod:factory()`` or a file.

    Raises:
        LoadError: it cannot be loaded.
    """
    file, colon, path = target.partition(":")
    if _is_file(file):
        return find_callable(load_file(file), path if colon else default, file)
    module, _, path = target.partition(":")
    return find_callable(_import(module), path or default, module)


def _is_file(name: str) -> bool:
    """``app.py`` and ``deploy/app.wsgi`` name a file, ``mysite.wsgi`` most likely a module."""
    return "/" in name or name.endswith(".py") or (name.endswith(".wsgi") and os.path.isfile(name))


def load_file(path: str) -> types.ModuleType:
    """Execute a Python file as a module of its own.

    Raises:
        LoadError: it cannot be read, or fails.
    """
    try:
        with open(path, "rb") as file:
            source = file.read()
    except IsADirectoryError as error:
        raise LoadError(f"wsgi-file = {path}: is a directory") from error
    except OSError as error:
        raise LoadError(f"wsgi-file = {path}: {error.strerror} (in {os.getcwd()})") from error
    name = "uwsgi_file_" + path.replace(".", "_").replace("/", "_").removesuffix("_py")
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    try:
        # dont_inherit: the file must not get our own __future__ imports.
        code = compile(source, path, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        raise LoadError(_traceback(error)) from error
    return module


def find_callable(module: types.ModuleType, path: str, where: str) -> Any:
    """Follow ``path`` (``app``, ``obj.app``, ``factory()``) in a module.

    Raises:
        LoadError: there is no such thing, it cannot be called, or the factory failed.
    """
    call = _CALL.fullmatch(path)
    found: Any = module
    for name in (call[1] if call else path).split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = difflib.get_close_matches(name, [one for one in dir(found) if one[0] != "_"])
            hint = f"; there is {', '.join(near)}" if near else ""
            raise LoadError(f"{where} has no {name!r}{hint}") from None
    if not callable(found):
        raise LoadError(f"{where}:{path} is not callable but {type(found).__name__}")
    if call:
        try:
            found = found()
        except BaseException as error:
            raise LoadError(_traceback(error)) from error
        if not callable(found):
            raise LoadError(f"{where}:{path} returned {type(found).__name__}, not a callable")
    return found


def _add_module(
    mounts: Mounts, target: str, options: ApplicationOptions, uwsgi: types.ModuleType
) -> None:
    name, _, path = target.partition(":")
    module = load_file(name) if _is_file(name) else _import(name)
    _add(mounts, module, path or options.callable, name, uwsgi)


def _add(
    mounts: Mounts, module: types.ModuleType, path: str, where: str, uwsgi: types.ModuleType
) -> None:
    """A dict named ``applications``, in the module or in ``uwsgi``, wins over the callable."""
    table = getattr(uwsgi, "applications", None) or getattr(module, "applications", None)
    if not isinstance(table, dict) or not table:
        mounts.add("", find_callable(module, path, where))
        return
    for point, target in table.items():
        key = point.decode() if isinstance(point, bytes) else str(point)
        if isinstance(target, bytes):
            target = target.decode()
        if isinstance(target, str):
            target = find_callable(module, target, where)
        elif not callable(target):
            raise LoadError(f"{where}: applications[{point!r}] is not callable")
        mounts.add(key, target)


def _import(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise LoadError(_traceback(error)) from error


def _traceback(error: BaseException) -> str:
    """The traceback without our own frames in front of the application's."""
    trace = error.__traceback__
    here = os.path.dirname(os.path.abspath(__file__))
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(
        (here, "<frozen importlib", importlib.__file__)
    ):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


class DynamicApplications:
    """Applications that requests name themselves (option allow-dynamic-apps).

    At most ``limit`` are kept; uWSGI's max-apps is 64.
    """

    def __init__(self, default: str, limit: int = 64) -> None:
        self._default = default
        self._limit = limit
        self._loaded: dict[str, Any] = {}

    def find(self, environ: dict[str, Any]) -> Any | None:
        """The application that the variables name; None if they name none, or it fails."""
        target = environ.get("UWSGI_FILE") or environ.get("UWSGI_SCRIPT")
        if not target:
            target = environ.get("UWSGI_MODULE")
        if not target:
            return None
        name = environ.get("UWSGI_CALLABLE") or self._default
        if ":" not in target:
            target = f"{target}:{name}"
        if target not in self._loaded:
            if len(self._loaded) >= self._limit:
                say(f"no more than {self._limit} dynamic applications: {target} refused")
                return None
            try:
                self._loaded[target] = load(target, name)
            except LoadError as error:
                say(str(error))
                return None
        return self._loaded[target]


def change_directory(option: str, path: str | None) -> None:
    """Change to the directory that ``option`` names; None is no change.

    Raises:
        ConfigError: it cannot be entered.
    """
    if path is not None:
        try:
            os.chdir(path)
        except OSError as error:
            raise ConfigError(f"{option} = {path}: {error.strerror}") from error
