"""``python -m uwgate.gateways.rawrouter FD``: see ``process.main``."""

from __future__ import annotations

import sys

from uwgate.gateways.rawrouter.process import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
