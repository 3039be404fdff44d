"""The exit codes of the master (the same numbers that uWSGI uses)."""

from __future__ import annotations

OK = 0
ERROR = 1  # configuration, a socket, a bug
NO_APPLICATION = 22  # need-app, and none could be loaded
INTERRUPTED = 130  # stopped by a second Ctrl-C while still starting
