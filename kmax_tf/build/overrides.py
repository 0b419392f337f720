"""Overrides of a config from the command line: `a.b.c=value` on a protobuf message."""

from __future__ import annotations

import difflib
import reprlib

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_OVERRIDE_CHARACTERS = 2**16
"""Of one override; a list of a thousand file patterns has this length."""

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
"""Smallest and largest value of each type."""

_COMPARED = 100  # characters; comparing takes time in their square
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def apply_override(message: Message, path: str, value: str) -> None:
    """Sets the field at a dotted path; choosing a member of a oneof drops the other members.

    Args:
      message: changed in place.
      path: field names joined by dots; an element of a repeated message is named by its index.
      value: text of the value; a repeated field takes values separated by commas (empty: none).

    Raises:
      ValueError: unknown field, index out of range, or a value that does not fit the field.
    """
    names = path.split(".")
    parent = message
    position = 0
    while position < len(names) - 1:
        field = _field(parent, names[position], path)
        if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
            raise ValueError(f"`--set {path}`: `{field.name}` is a value, it has no fields.")
        parent = getattr(parent, field.name)
        position += 1
        if _is_repeated(field):
            parent = _element(parent, names[position], path)
            position += 1
    if position >= len(names):
        raise ValueError(f"`--set {path}` names a message; name one of its fields.")
    field = _field(parent, names[position], path)
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        known = ", ".join(f.name for f in field.message_type.fields)
        raise ValueError(f"`--set {path}` names a message; name one of its fields: {known}.")
    try:
        if _is_repeated(field):
            parts = [part.strip() for part in value.split(",") if part.strip()]
            values = [_convert(field, part, path) for part in parts]
            parent.ClearField(field.name)
            getattr(parent, field.name).extend(values)
        else:
            setattr(parent, field.name, _convert(field, value, path))
    except UnicodeEncodeError:
        raise ValueError(
            f"`--set {path}` accepts text of whole characters; received {value[:40]!a}."
        ) from None


def _is_repeated(field: FieldDescriptor) -> bool:
    # `label` is deprecated in new protobuf releases, `is_repeated` is missing in old ones.
    if hasattr(field, "is_repeated"):
        return field.is_repeated
    return field.label == FieldDescriptor.LABEL_REPEATED


def _field(message: Message, name: str, path: str) -> FieldDescriptor:
    fields = message.DESCRIPTOR.fields_by_name
    if name not in fields:
        near = difflib.get_close_matches(name[:_COMPARED], list(fields), n=1, cutoff=0.0)
        hint = f"the nearest known name is `{near[0]}`" if near else "it has none at all"
        raise ValueError(
            f"`--set {path}`: {message.DESCRIPTOR.name} has no field `{name}`; {hint}."
        )
    return fields[name]


def _element(elements, index: str, path: str) -> Message:
    known = {str(number): element for number, element in enumerate(elements)}
    if index not in known:
        accepted = f"an index from 0 to {len(known) - 1}" if known else "no index, it is empty,"
        raise ValueError(f"`--set {path}`: {accepted} is expected; received {index}.")
    return known[index]


def _convert(field: FieldDescriptor, value: str, path: str):
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return value
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
        raise ValueError(f"`--set {path}` accepts true or false; received {reprlib.repr(value)}.")
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        known = field.enum_type.values_by_name
        if value.upper() not in known:
            raise ValueError(
                f"`--set {path}` accepts {', '.join(known)}; received {reprlib.repr(value)}."
            )
        return known[value.upper()].number
    if field.cpp_type in _INTEGERS:
        return _integer(field, value, path)
    if field.cpp_type in _FLOATS:
        return _number(float, "a number", value, path)
    raise ValueError(f"`--set {path}`: fields of this type cannot be set here.")


def _integer(field: FieldDescriptor, value: str, path: str) -> int:
    number = _number(int, "a whole number", value, path)
    smallest, largest = _INTEGERS[field.cpp_type]
    if not smallest <= number <= largest:
        raise ValueError(
            f"`--set {path}` accepts whole numbers from {smallest} to {largest}; received "
            f"{reprlib.repr(value)}."
        )
    return number


def _number(kind, accepted: str, value: str, path: str):
    try:
        return kind(value)
    except ValueError:
        raise ValueError(
            f"`--set {path}` accepts {accepted}; received {reprlib.repr(value)}."
        ) from None
