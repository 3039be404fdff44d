"""``python -m uwgate.gateways.zerg FD``: see ``process.main``."""

from __future__ import annotations

import sys

from uwgate.gateways.zerg.process import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
