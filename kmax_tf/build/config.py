"""Experiment configs: textproto file -> checked `ExperimentOptions`.

Reading fills `${NAME}` placeholders, parses, applies overrides and validates across messages.
Every error is a `ValueError` of one sentence that names the file and line, or the field.
"""

from __future__ import annotations

import difflib
import os
import pathlib
import re
from typing import Dict, Iterable, List, Sequence, Tuple, Union

from google.protobuf import text_format

from kmax_tf.build.overrides import apply_override
from kmax_tf.build.validation import validate
from protos import data_pb2, experiment_pb2

DEFAULT_PLACEHOLDERS = {"KMAX_DATA": "data"}

_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PLACEHOLDER_OVERRIDE = re.compile(r"[A-Z][A-Z0-9_]*$")
_UNKNOWN_FIELD = re.compile(r'Message type "([\w.]+)" has no field named "(\w+)"')
_UNKNOWN_ENUM = re.compile(r'Enum type "([\w.]+)" has no value named (\w+)')


def load_config(
    path: Union[str, os.PathLike], overrides: Sequence[str] = ()
) -> experiment_pb2.ExperimentOptions:
    """Reads an experiment config.

    Args:
      path: textproto file of `protos/experiment.proto`.
      overrides: `a.b=value` sets a field by its dotted path (repeated fields: values separated by
        commas; elements of repeated messages: their index as a path part); `NAME=value`, upper case
        without a dot, fills the placeholder `${NAME}`. Placeholders not given here come from the
        environment; `KMAX_DATA` defaults to `data`.

    Returns:
      The config. Placeholders that nothing fills stay in it; whoever reads such a field calls
      `require_filled`.

    Raises:
      ValueError: the file is missing or unreadable, a field or value is unknown (with line and the
        nearest known name), an override does not fit, or fields contradict each other.
    """
    placeholders, field_overrides = _split_overrides(overrides)
    text = _read(path)
    _require_used(placeholders, text, str(path))
    config = parse_config(text, str(path), placeholders)
    for field_path, value in field_overrides:
        apply_override(config, field_path, value)
    validate(config)
    if config.HasField("eval_dataset_options") and not config.eval_dataset_options.dataset_info:
        config.eval_dataset_options.dataset_info = config.train_dataset_options.dataset_info
    return config


def inference_dataset_options(
    config: experiment_pb2.ExperimentOptions,
) -> data_pb2.DatasetOptions:
    """The options that say at which size the network runs in inference, and with which classes."""
    if config.HasField("eval_dataset_options"):
        return config.eval_dataset_options
    return config.train_dataset_options


def parse_config(
    text: str, source: str, placeholders: Dict[str, str]
) -> experiment_pb2.ExperimentOptions:
    """Parses a textproto after filling its placeholders; `source` names it in errors."""
    config = experiment_pb2.ExperimentOptions()
    try:
        text_format.Parse(_fill(text, placeholders), config)
    except text_format.ParseError as error:
        raise ValueError(_explain(error, source)) from None
    return config


def write_config(config: experiment_pb2.ExperimentOptions, path: Union[str, os.PathLike]) -> None:
    """Writes the effective config as a textproto that `load_config` reads back; atomic."""
    target = pathlib.Path(path)
    temporary = target.with_name(target.name + ".tmp")
    temporary.write_text(text_format.MessageToString(config), encoding="utf-8")
    os.replace(temporary, target)


def require_filled(value: str, field: str) -> str:
    """Returns `value`; raises ValueError when it still holds a placeholder, naming it."""
    unfilled = _PLACEHOLDER.search(value)
    if unfilled:
        name = unfilled.group(1)
        raise ValueError(
            f"`{field}` is {value!r}, but nothing fills ${{{name}}}: give `--set {name}=...` or "
            f"set the environment variable {name}."
        )
    return value


def _split_overrides(
    overrides: Iterable[str],
) -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    placeholders: Dict[str, str] = {}
    fields: List[Tuple[str, str]] = []
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals or not name:
            raise ValueError(
                f"`--set {override}` needs the form path.to.field=value or NAME=value."
            )
        if _PLACEHOLDER_OVERRIDE.match(name):
            placeholders[name] = value
        else:
            fields.append((name, value))
    return placeholders, fields


def _require_used(placeholders: Dict[str, str], text: str, source: str) -> None:
    known = sorted(set(_PLACEHOLDER.findall(text)))
    for name in placeholders:
        if name not in known:
            names = ", ".join(f"${{{known_name}}}" for known_name in known) or "none"
            raise ValueError(f"`--set {name}=...` fills nothing: {source} has {names}.")


def _read(path: Union[str, os.PathLike]) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        folder = pathlib.Path(path).parent
        known = [str(p) for p in sorted(folder.glob("*.textproto"))] if folder.is_dir() else []
        near = difflib.get_close_matches(str(path), known, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"`--config_file` {path} does not exist{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"`--config_file` {path} cannot be read: {error}.") from None


def _fill(text: str, placeholders: Dict[str, str]) -> str:
    def replace(match: re.Match) -> str:
        name = match.group(1)
        if name in placeholders:
            value = placeholders[name]
        else:
            value = os.environ.get(name, DEFAULT_PLACEHOLDERS.get(name, match.group(0)))
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")

    return _PLACEHOLDER.sub(replace, text)


def _explain(error: text_format.ParseError, source: str) -> str:
    message = str(error)
    place = f"{source}:{error.GetLine()}" if error.GetLine() else source
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown:
        descriptor = _descriptor(unknown.group(1))
        known = [field.name for field in descriptor.fields]
        near = difflib.get_close_matches(unknown.group(2), known, n=1, cutoff=0.0)
        return (
            f"{place}: {descriptor.name} has no field `{unknown.group(2)}`; the nearest known name "
            f"is `{near[0]}`."
        )
    wrong = _UNKNOWN_ENUM.search(message)
    if wrong:
        enum = _descriptor(wrong.group(1), enum=True)
        known = ", ".join(value.name for value in enum.values)
        return f"{place}: {enum.name} accepts {known}; received {wrong.group(2)}."
    return f"{place}: {message.split(' : ', 1)[-1].rstrip('.')}."


def _descriptor(full_name: str, enum: bool = False):
    pool = experiment_pb2.DESCRIPTOR.pool
    return pool.FindEnumTypeByName(full_name) if enum else pool.FindMessageTypeByName(full_name)
