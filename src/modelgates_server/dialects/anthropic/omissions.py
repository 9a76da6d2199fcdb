"""Applies the table of a direction to the names of an object, and notes what is left out."""

import re
from collections.abc import Mapping

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.rules import Action, Rule
from modelgates_server.dialects.json_object import JsonObject, says_nothing

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""Names that may be written in a response header."""


class Omissions:
    """The names of what a documented rule left out, each once, in order."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        """Note a name."""
        self._names.setdefault(name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names so far."""
        return tuple(self._names)

    def apply(self, rules: Mapping[str, Rule], members: JsonObject, prefix: str = "") -> None:
        """Note what is dropped; raises `InvalidInput` that names what is rejected.

        A name that is in no table is dropped as well, so that it never reaches a provider that
        reads something else in it.
        """
        for name, raw in members.items():
            if says_nothing(bytes(raw)):
                continue
            rule = rules.get(name)
            if rule is None:
                self.add(prefix + (name if _WORD.fullmatch(name) else "unknown"))
            elif rule.action is Action.REJECTED:
                raise InvalidInput(f"`{prefix}{name}` is not supported for this model: {rule.note}")
            elif rule.action is Action.DROPPED:
                self.add(prefix + name)
