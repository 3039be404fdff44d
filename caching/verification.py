"""Looks whether a file is a sound store, in a process that may die of it.

lmdb trusts its files: one that was cut off or overwritten may kill whoever reads it. So at the
start of an instance a fork reads everything that readers will follow, and if it is killed, the file
is no good and nobody else has come to harm.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import select
import signal

import lmdb

from uwgate.caching import records
from uwgate.caching.environment import Databases
from uwgate.conf.errors import ConfigError

TIME_LIMIT = 300.0  # seconds
SOUND, UNSOUND, UNKNOWN = 0, 3, 4
MAX_TEXT = 1000  # characters


def verify(path: str) -> str | None:
    """What is wrong with a file that exists; None: nothing.

    Only for a process with one thread.

    Raises:
        ConfigError: nobody can say.
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        _look_and_exit(path, write)
    os.close(write)
    text = _receive(read)
    os.close(read)
    if text is None:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if text is None:
        raise ConfigError(f"{path}: not read in {TIME_LIMIT:g} s")
    if status == SOUND:
        return None
    if status < 0:
        return "reading it kills the reader"
    if status == UNSOUND:
        return text
    raise ConfigError(f"{path}: {text or 'cannot be read'}")


def look(path: str) -> str | None:
    """``verify``, in this process, which may not survive it.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb"):
        size = os.path.getsize(path)
    try:
        # Alone: who looks must not take a place in the table of readers, nor change anything.
        with lmdb.open(
            path,
            subdir=False,
            readonly=True,
            lock=False,
            create=False,
            max_dbs=len(Databases._fields),
            map_size=max(size, 1 << 20),
        ) as env:
            if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > size:
                return "cut off"
            for name in Databases._fields:
                _read_all(env, name)
    except lmdb.Error as error:
        return str(error)
    except records.DamagedError as error:
        return f"a record is damaged: {error}"
    return None


def _read_all(env: lmdb.Environment, name: str) -> None:
    database = env.open_db(name.encode(), create=False)
    with env.begin(buffers=True) as txn, txn.cursor(db=database) as cursor:
        for place, record in cursor:
            if name == "items":
                records.decode(records.key_of(place, record), record)


def _look_and_exit(path: str, write: int) -> None:
    status, text = UNKNOWN, ""
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        problem = look(path)
        status, text = (SOUND, "") if problem is None else (UNSOUND, problem)
    except Exception as error:  # whatever it is, the parent says it
        text = f"{type(error).__name__}: {error}"
    finally:
        with contextlib.suppress(OSError):
            os.write(write, text[:MAX_TEXT].encode("utf-8", "replace"))
        os._exit(status)


def _receive(read: int) -> str | None:
    """What the fork says until its end; None: it takes too long."""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    parts: list[bytes] = []
    while poll.poll(TIME_LIMIT * 1000):
        parts.append(os.read(read, 4096))
        if not parts[-1]:
            return b"".join(parts).decode("utf-8", "replace")
    return None
