"""``python -m uwgate.caching``: the process that looks after the caches."""

from __future__ import annotations

import sys

from uwgate.caching.process import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
