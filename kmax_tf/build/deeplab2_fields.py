"""Reading a message of deeplab2's schema with nothing lost.

Whoever translates a message takes, requires or drops each of its fields; `finish` finds what was
forgotten. What a user has to know about it is collected in `Notes`.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Dict, List, Optional, Sequence

from google.protobuf.message import Message

_LOGGER = logging.getLogger(__name__)


class Notes:
    """What a user has to know about a translation.

    Args:
      source: the file.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._facts: List[str] = []
        self._inert: List[str] = []
        self._dropped: List[str] = []
        self._reminders: List[str] = []
        self._warnings: List[str] = []

    def fact(self, text: str) -> None:
        """Remembers something that was decided."""
        self._facts.append(text)

    def inert(self, path: str) -> None:
        """Remembers a field that is set but has no effect in deeplab2 either."""
        self._inert.append(path)

    def dropped(self, path: str, instead: str) -> None:
        """Remembers a field without a counterpart, and what to do instead."""
        self._dropped.append(f"{path} ({instead})" if instead else path)

    def remind(self, text: str) -> None:
        """Remembers what the user may still have to do."""
        self._reminders.append(text)

    def warn(self, text: str) -> None:
        """Remembers something that may be a mistake; `text` begins with `:` or `:line:`."""
        self._warnings.append(text)

    def log(self) -> None:
        """Writes everything to the log; warnings may begin with a line number."""
        file = os.path.basename(self.source)
        for fact in self._facts:
            _LOGGER.info("%s: %s", file, fact)
        if self._inert:
            _LOGGER.info("%s: without effect, in deeplab2 too: %s.", file, ", ".join(self._inert))
        if self._dropped:
            _LOGGER.info("%s: not carried over: %s.", file, ", ".join(self._dropped))
        for warning in self._warnings:
            _LOGGER.warning("%s%s", file, warning)
        for reminder in self._reminders:
            _LOGGER.info("%s: %s", file, reminder)


class Fields:
    """The fields of one message, each to be used once.

    Args:
      message: of `protos/deeplab2.proto`.
      path: names it in errors; empty = the outermost.
      notes: get what is dropped.
    """

    def __init__(self, message: Message, path: str, notes: Notes) -> None:
        self.notes = notes
        self.path = path
        self._message = message
        self._set = {field.name for field, _ in message.ListFields()}
        self._left = {field.name for field in message.DESCRIPTOR.fields}

    def path_of(self, name: str) -> str:
        """The field's path from the outermost message on."""
        return f"{self.path}.{name}" if self.path else name

    def is_set(self, name: str) -> bool:
        """Whether the file sets the field, even if to its default."""
        return name in self._set

    def take(self, name: str) -> Any:
        """The value of a field, or its default."""
        self._left.discard(name)
        return getattr(self._message, name)

    def take_fields(self, name: str) -> Fields:
        """The fields of a message."""
        return Fields(self.take(name), self.path_of(name), self.notes)

    def take_all_fields(self, name: str) -> List[Fields]:
        """The fields of each message of a repeated one."""
        path = self.path_of(name)
        return [
            Fields(element, f"{path}.{index}", self.notes)
            for index, element in enumerate(self.take(name))
        ]

    def copy(self, target: Message, *names: str) -> None:
        """Sets the fields of the same names in `target`, defaults included."""
        for name in names:
            value = self.take(name)
            if isinstance(value, (str, int, float)):
                setattr(target, name, value)
            else:
                getattr(target, name).extend(value)

    def choose(self, name: str, accepted: Dict[str, Any]) -> Any:
        """What stands in a table under the field's value; ValueError lists the accepted ones."""
        value = self.take(name)
        if value not in accepted:
            known = ", ".join(key or "nothing" for key in accepted)
            raise self.fault(name, f"accepts {known}; received {value}")
        return accepted[value]

    def require(self, name: str, accepted: Sequence[Any], *, why: str = "") -> Any:
        """The field's value; ValueError unless it is one of `accepted`."""
        value = self.take(name)
        if value not in accepted:
            known = " or ".join(_text(known_value) for known_value in accepted)
            reason = f" ({why})" if why else ""
            origin = "" if self.is_set(name) else ", deeplab2's default"
            raise self.fault(name, f"must be {known}{reason}; received {_text(value)}{origin}")
        return value

    def require_set(self, *names: str) -> None:
        """Raises ValueError unless the file sets the fields."""
        for name in names:
            if not self.is_set(name):
                raise self.fault(name, "must be set; it is missing")

    def require_defaults(self, *names: str, why: str) -> None:
        """Raises ValueError where a field differs from its default."""
        for name in names:
            field = self._message.DESCRIPTOR.fields_by_name[name]
            value = self.take(name)
            if value != field.default_value:
                raise self.fault(name, f"must keep its default ({why}); received {_text(value)}")

    def drop(self, *names: str, instead: str = "", inert: bool = False) -> None:
        """Leaves fields out; those that the file sets to something are noted.

        Args:
          *names: the fields.
          instead: what does the same here.
          inert: whether deeplab2 itself makes nothing of them.
        """
        for name in names:
            value = self.take(name)
            default = self._message.DESCRIPTOR.fields_by_name[name].default_value
            if not self.is_set(name) or value == default:
                continue
            if inert:
                self.notes.inert(self.path_of(name))
            else:
                self.notes.dropped(self.path_of(name), instead)

    def fault(self, name: str, text: str) -> ValueError:
        """The error about a field; `text` is the sentence without its subject and full stop."""
        return ValueError(f"{self.notes.source}: `{self.path_of(name)}` {text}.")

    def finish(self) -> None:
        """Raises RuntimeError when a field was forgotten, which no file may cause."""
        if self._left:
            raise RuntimeError(f"Not translated: {sorted(map(self.path_of, self._left))}.")


def _text(value: Optional[Any]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "empty"
