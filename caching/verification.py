"""Looks whether a file is a sound store, in a process of its own.

lmdb trusts its files: one that was cut off or overwritten may kill whoever reads it. So at the
start of an instance this program reads everything that readers will follow, and if it dies, the
file is no good and nobody else has come to harm.

    python -m uwgate.caching.verification FILE [KEYS' LIMIT]
"""

from __future__ import annotations

import os
import subprocess
import sys

TIME_LIMIT = 120.0  # seconds
SOUND, UNSOUND = 0, 3


def verify(path: str) -> str | None:
    """What is wrong with a file that exists; None: nothing."""
    command = [sys.executable, "-P", "-m", "uwgate.caching.verification", path]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not read in {TIME_LIMIT:g} s"
    if done.returncode == SOUND:
        return None
    if done.returncode == UNSOUND:
        return done.stdout.decode("utf-8", "replace").strip()
    return "not readable as a store"  # it died of it


def look(path: str) -> str | None:
    """``verify``, in this process, which may not survive it."""
    import lmdb

    from uwgate.caching import records

    size = os.path.getsize(path)
    if not size:
        return None
    try:
        # Alone: who looks must not take a place in the table of readers, nor change anything.
        with lmdb.open(
            path,
            subdir=False,
            readonly=True,
            lock=False,
            create=False,
            max_dbs=5,
            map_size=max(size, 1 << 20),
        ) as env:
            if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > size:
                return "cut off"
            names = (b"items", b"due", b"order", b"ticks", b"state")
            databases = [env.open_db(name, create=False) for name in names]
            with env.begin(buffers=True) as txn:
                for database in databases:
                    with txn.cursor(db=database) as cursor:
                        for place, record in cursor:
                            if database is databases[0]:
                                records.decode(records.key_of(place, record), record)
    except (lmdb.Error, OSError) as error:
        return str(error)
    except records.DamagedError as error:
        return f"a record is damaged: {error}"
    return None


if __name__ == "__main__":
    problem = look(sys.argv[1])
    sys.stdout.write(problem or "")
    sys.exit(SOUND if problem is None else UNSOUND)
