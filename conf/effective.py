"""From pairs to settings: what each pair means, and what is wrong with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from uwgate.conf.errors import ConfigError
from uwgate.conf.families import BUILT_IN_PLUGIN, FOREIGN_ORIGINS, SUPERFLUOUS
from uwgate.conf.pair import COMMAND_LINE, Note, Pair, Place, Severity
from uwgate.conf.reader import Reader, unknown_text
from uwgate.conf.registry import COMMANDS, Name, Standing, canonical, find
from uwgate.conf.settings import GROUPS, RULE_GROUPS, Settings
from uwgate.conf.values import INLINE_COMMENT, is_false
from uwgate.conf.values import parse as parse_value

if TYPE_CHECKING:
    from collections.abc import Iterable

NUMBER_KINDS = frozenset({"int", "int-raw", "uint64", "uint16", "megabytes"})


class Builder:
    """Collects settings, notes and problems from the pairs of a reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._values: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        self._accepted: dict[str, None] = {}  # an ordered set
        self._rules: list[tuple[str, str, str]] = []
        self.places: dict[tuple[str, str], list[Place]] = {}  # by group and field
        self.show_config = False

    def build(self) -> Settings:
        """The settings; what is wrong is added to the reader's problems."""
        for index, pair in enumerate(self._reader.pairs):
            if index not in self._reader.ran:
                self._take(pair, strict=index in self._reader.unknown_under_strict)
        if self._accepted:
            names = ", ".join(self._accepted)
            self._reader.notes.append(Note(Severity.NOTE, f"accepted, nothing to do here: {names}"))
        groups = {group: GROUPS[group](**values) for group, values in self._values.items()}
        pairs = tuple((pair.key, pair.value) for pair in self._reader.pairs if pair.visible)
        return Settings(pairs=pairs, rules=tuple(self._rules), **groups)

    def _take(self, pair: Pair, *, strict: bool = False) -> None:
        name = find(pair.key)
        if name is None:
            # uWSGI checks unknown names twice: where they stand, and at the end.
            self._take_unknown(pair, strict=strict or self._reader.strict)
        elif name.option is not None:
            self._take_option(pair, name)
        elif name.standing is Standing.ACCEPTED:
            self._take_accepted(pair)
        elif name.standing is Standing.NOT_OFFERED:
            self._take_not_offered(pair, name)
        else:
            self._take_word(pair, name)

    def _take_unknown(self, pair: Pair, *, strict: bool) -> None:
        template = self._reader.declared.get(pair.name)
        if template is not None:
            for inner in self._reader.run_declared(pair, template):
                if inner.name in self._reader.declared:
                    text = f"{inner.key} in a declared option must be declared in front of its use"
                    self._reader.problems.append(f"{pair.place}: {pair.key}: {text}")
                    continue
                self._take(inner)
            return
        text = unknown_text(pair.key)
        if pair.known:
            return
        if pair.place.source.startswith("environment"):
            # Others name their variables like that too: Kubernetes sets UWSGI_PORT for a
            # service called uwsgi.
            self._reader.notes.append(Note(Severity.NOTE, f"{text}; ignored", pair.place))
        elif pair.strict or strict:
            why = "" if pair.strict else " (strict)"
            self._reader.problems.append(f"{pair.place}: {text}{why}")
        elif not self._reader.is_referred_to(pair.name):
            self._reader.warn(f"{text}; nothing refers to %({pair.key})", pair.place)

    def _take_option(self, pair: Pair, name: Name) -> None:
        option, field = name.option, name.field
        assert option is not None
        assert field is not None
        what = f"{pair.key} = {pair.value}" if pair.value is not None else pair.key

        def remark(text: str) -> None:
            self._reader.warn(f"{what}: {text}", pair.place)

        try:
            value = parse_value(option, pair.value, strict=pair.strict, remark=remark)
        except ConfigError as error:
            self._reader.problems.append(f"{pair.place}: {pair.key}: {error}")
            return
        values = self._values[option.group]
        place = self.places.setdefault((option.group, field), [])
        if option.repeatable:
            values[field] = (*values.get(field, ()), value)
            if option.group in RULE_GROUPS:
                self._rules.append((name.name, value, str(pair.place)))
        else:
            values[field] = value
            place.clear()
        place.append(pair.place)
        if field == "lazy" and value:
            self._values["application"]["lazy_apps"] = True
            remark("acts as lazy-apps")

    def _take_accepted(self, pair: Pair) -> None:
        self._accepted[pair.name] = None
        if pair.name in ("plugin", "plugins", "need-plugin", "need-plugins"):
            for plugin in (pair.value or "").split(","):
                self._take_plugin(pair, plugin.strip())

    def _take_plugin(self, pair: Pair, plugin: str) -> None:
        short = os.path.basename(plugin).removesuffix("_plugin.so").removesuffix(".so")
        short = short.rpartition(":")[2]
        if not short or BUILT_IN_PLUGIN.fullmatch(short):
            return
        if short in FOREIGN_ORIGINS:
            text = f"{pair.key}: uwgate runs no {short} applications; keep them on uWSGI"
        else:
            text = f"{pair.key}: the plugin {plugin!r} is unknown and not loaded"
        if pair.name.startswith("need-"):
            self._reader.problems.append(f"{pair.place}: {text}")
        else:
            self._reader.warn(text, pair.place)

    def _take_not_offered(self, pair: Pair, name: Name) -> None:
        if _is_off(pair, name):
            self._accepted[pair.name] = None
            return
        what = f"{pair.key} = {pair.value}" if pair.value else pair.key
        self._reader.problems.append(
            f"{pair.place}: {what}: not offered yet; instead: {name.reason}"
        )

    def _take_word(self, pair: Pair, name: Name) -> None:
        match name.word:
            case "print":
                self._reader.notes.append(Note(Severity.PRINT, pair.value or "", pair.place))
            case "show-config":
                self.show_config = not is_false(pair.value)
            case "envdir":
                self._take_directory(pair)
            case word if word in COMMANDS and pair.place != COMMAND_LINE:
                self._reader.warn(f"{pair.key} has a meaning on the command line only", pair.place)
            case _:
                pass  # acted while it was read, or is a command

    def _take_directory(self, pair: Pair) -> None:
        try:
            pairs = tuple(_variables(pair.value or ""))
        except OSError as error:
            self._reader.problems.append(
                f"{pair.place}: envdir: cannot read {pair.value!r}: {error.strerror}"
            )
            return
        values = self._values["application"]
        values["env"] = (*values.get("env", ()), *pairs)


def _is_off(pair: Pair, name: Name) -> bool:
    """Whether nothing is to do because the option is switched off, or says the obvious."""
    pattern = SUPERFLUOUS.get(canonical(pair.key))
    value = (pair.value or "").strip()
    if pattern is not None and pattern.fullmatch(value):
        return True
    if name.fact is None:
        return False
    comment = INLINE_COMMENT.fullmatch(value)
    plain = comment["value"] if comment else value
    return name.fact.kind in NUMBER_KINDS | {"bool"} and is_false(plain)


def _variables(directory: str) -> Iterable[str]:
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                yield f"{name}={file.readline().rstrip()}"
