"""A master with fake children. Its settings are a JSON file: {group: {field: value}}."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from uwgate import launch
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.generation import Commands

HERE = Path(__file__).parent


def load() -> Settings:
    try:
        overrides = json.loads(Path(sys.argv[1]).read_text())
    except ValueError as error:
        raise ConfigError(f"{sys.argv[1]}: {error}") from error
    values = Settings().to_json()
    for group, fields in overrides.items():
        values[group] |= fields
    return Settings.from_json(values)


def load_again() -> Settings:
    if os.environ.get("FAKE_BUG"):
        return 1 // 0  # type: ignore[return-value]  # what must never happen
    return load()


def be_activated() -> None:
    """What systemd does for a socket unit, which needs the pid of this very process."""
    if os.environ.get("LISTEN_PID") == "self":
        os.environ["LISTEN_PID"] = str(os.getpid())
    if activated := os.environ.get("ACTIVATED"):
        os.dup2(int(activated), 3)


def main() -> int:
    be_activated()
    commands = Commands(
        gateway=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        registry=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        fastrouter=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        zergpool=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        rawrouter=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        sslrouter=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        cache=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        spawner=lambda _, fd: [sys.executable, str(HERE / "fake_spawner.py"), str(fd)],
    )
    try:
        return launch.run(load(), commands, load_again, dict(os.environ))
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
