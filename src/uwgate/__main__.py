"""``python -m uwgate``."""

from __future__ import annotations

import sys

from uwgate.cli import main

if __name__ == "__main__":
    sys.exit(main())
