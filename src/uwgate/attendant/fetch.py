"""Asks a web address once, and writes down what it says: the command of ``curl-cron``."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

LIMIT = 60.0  # seconds for each wait on the other side; cron-harakiri ends the whole
MAX_ANSWER = 65536  # bytes that are shown


def main(argv: Sequence[str]) -> int:
    """The command; its argument is the address. Status 1: no good answer."""
    (address,) = argv
    request = urllib.request.Request(address, headers={"User-Agent": "uwgate"})
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            text = answer.read(MAX_ANSWER)
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{address}: {error.code} {error.reason}\n")
        error.close()
        return 1
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        sys.stderr.write(f"{address}: {reason}\n")
        return 1
    sys.stdout.buffer.write(text)
    if text and not text.endswith(b"\n"):
        sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
