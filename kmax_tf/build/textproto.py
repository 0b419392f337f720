"""Text protos: parsing with errors of one sentence, and where in the text each field stands."""

from __future__ import annotations

import bisect
import difflib
import re
import reprlib
from typing import List, NamedTuple, Sequence, Tuple

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

MAX_TEXT_BYTES = 2**18
"""Of a config; the longest published one has 7 kB."""

MAX_DEPTH = 20
"""Messages inside messages; the deepest field of an experiment lies in four."""

MAX_NAME_CHARACTERS = 100
"""Of a field; the longest one has half of it."""

_MAX_REASON = 300

_UNKNOWN_FIELD = re.compile(r'Message type "([\w.]+)" has no field named "(\w+)"')
_UNKNOWN_ENUM = re.compile(r'Enum type "([\w.]+)" has no value named (\w+)')

_FIELD_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)
      | (?P<open>[{<])
      | (?P<close>[}>])
      | (?P<word>[\w.+-]+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class FieldSpan(NamedTuple):
    """Where a field stands in a text.

    Attributes:
      path: field names from the outermost message on, joined by dots.
      line: of its name, from 1.
      start: offset of its name.
      stop: offset behind its value.
    """

    path: str
    line: int
    start: int
    stop: int


def parse_text(text: str, message: Message, source: str) -> None:
    """Reads a text proto into `message`.

    Args:
      text: the content.
      message: is filled.
      source: names the text in errors.

    Raises:
      ValueError: a syntax error, unknown field or unknown value, with its line.
    """
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ValueError(_explain(error, source)) from None


def scan_fields(text: str) -> List[FieldSpan]:
    """All fields of a text proto, whatever its schema; a message comes before its fields.

    Text that is not a text proto gives some fields and no error: parsing it tells what is wrong.

    Raises:
      ValueError: longer than `MAX_TEXT_BYTES`, nested deeper than `MAX_DEPTH`, or a name longer
        than `MAX_NAME_CHARACTERS`; the message is a clause.
    """
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        raise ValueError(f"it has more than the {MAX_TEXT_BYTES} bytes that a config may have")
    scanner = _Scanner(text)
    scanner.read_message("")
    return sorted(scanner.fields, key=lambda field: field.start)


def cut_unknown_fields(
    text: str, fields: Sequence[FieldSpan], descriptor: Descriptor
) -> Tuple[str, List[FieldSpan]]:
    """Blanks out the fields that a message type does not have.

    Args:
      text: a text proto.
      fields: as `scan_fields` gives them.
      descriptor: of the outermost message.

    Returns:
      The text without them, lines kept, and the fields cut out.
    """
    unknown: List[FieldSpan] = []
    for field in fields:
        inside_last = bool(unknown) and field.start < unknown[-1].stop
        if not inside_last and not _is_known(field.path, descriptor):
            unknown.append(field)
    kept, position = [], 0
    for field in unknown:
        kept.append(text[position : field.start])
        kept.append(re.sub(r"[^\n]", " ", text[field.start : field.stop]))
        position = field.stop
    return "".join([*kept, text[position:]]), unknown


def _is_known(path: str, descriptor: Descriptor) -> bool:
    message = descriptor
    for name in path.split("."):
        if message is None:
            return True  # A value with fields below it: a fault that parsing reports.
        if name not in message.fields_by_name:
            return False
        message = message.fields_by_name[name].message_type
    return True


class _Scanner:
    """Walks over the tokens of a text proto and collects the fields."""

    def __init__(self, text: str) -> None:
        self.fields: List[FieldSpan] = []
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._depth = 0
        self._tokens = [m for m in _TOKEN.finditer(text) if m.lastgroup != "blank"]
        self._position = 0

    def read_message(self, prefix: str) -> None:
        """Collects fields up to the end of the message, which is passed."""
        while self._position < len(self._tokens):
            token = self._tokens[self._position]
            self._position += 1
            if token.lastgroup == "close":
                return
            if token.lastgroup == "word":
                self._read_field(token, prefix)

    def _read_field(self, name: re.Match, prefix: str) -> None:
        if not _FIELD_NAME.fullmatch(name.group()):
            return  # A number or the like: no text proto.
        if len(name.group()) > MAX_NAME_CHARACTERS:
            raise ValueError(
                f"the name {reprlib.repr(name.group())} has more than {MAX_NAME_CHARACTERS} "
                "characters"
            )
        path = prefix + name.group()
        if self._next_is(":"):
            self._position += 1
        self._read_value(path)
        stop = self._tokens[self._position - 1].end()
        line = bisect.bisect_left(self._line_ends, name.start()) + 1
        self.fields.append(FieldSpan(path, line, name.start(), stop))

    def _read_value(self, path: str) -> None:
        if self._position >= len(self._tokens):
            return
        if self._depth >= MAX_DEPTH:
            raise ValueError(f"it is nested deeper than the {MAX_DEPTH} messages that are read")
        self._depth += 1
        self._read_one(path)
        self._depth -= 1

    def _read_one(self, path: str) -> None:
        token = self._tokens[self._position]
        self._position += 1
        if token.lastgroup == "open":
            self.read_message(path + ".")
        elif token.group() == "[":
            while self._position < len(self._tokens) and not self._next_is("]"):
                self._read_value(path)
            self._position = min(self._position + 1, len(self._tokens))
        elif token.lastgroup == "string":
            while self._position < len(self._tokens) and self._next_kind() == "string":
                self._position += 1  # Adjacent strings are one value.

    def _next_is(self, text: str) -> bool:
        return self._position < len(self._tokens) and self._tokens[self._position].group() == text

    def _next_kind(self) -> str:
        return str(self._tokens[self._position].lastgroup)


def _explain(error: text_format.ParseError, source: str) -> str:
    message = str(error)
    place = f"{source}:{error.GetLine()}" if error.GetLine() else source
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown:
        descriptor = _pool().FindMessageTypeByName(unknown.group(1))
        known = [field.name for field in descriptor.fields]
        near = difflib.get_close_matches(unknown.group(2), known, n=1, cutoff=0.0)
        hint = f"the nearest known name is `{near[0]}`" if near else "it has none at all"
        return f"{place}: {descriptor.name} has no field `{unknown.group(2)}`; {hint}."
    wrong = _UNKNOWN_ENUM.search(message)
    if wrong:
        enum = _pool().FindEnumTypeByName(wrong.group(1))
        known = ", ".join(value.name for value in enum.values)
        return f"{place}: {enum.name} accepts {known}; received {wrong.group(2)}."
    return f"{place}: {message.split(' : ', 1)[-1][:_MAX_REASON].rstrip('.')}."


def _pool():
    return descriptor_pool.Default()
