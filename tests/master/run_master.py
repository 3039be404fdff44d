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


def main() -> int:
    commands = Commands(
        gateway=lambda _, fd: [sys.executable, str(HERE / "fake_gateway.py"), str(fd)],
        spawner=lambda _, fd: [sys.executable, str(HERE / "fake_spawner.py"), str(fd)],
    )
    try:
        return launch.run(load(), commands, load, dict(os.environ))
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
