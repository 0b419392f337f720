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

from kmax_tf.bounded_files import read_bounded
from kmax_tf.build.deeplab2_config import is_deeplab2_config, translate_deeplab2_config
from kmax_tf.build.deeplab2_overrides import require_own_path
from kmax_tf.build.overrides import MAX_OVERRIDE_CHARACTERS, apply_override
from kmax_tf.build.textproto import MAX_TEXT_BYTES, parse_text, scan_fields
from kmax_tf.build.validation import validate
from protos import data_pb2, experiment_pb2

DEFAULT_PLACEHOLDERS = {"KMAX_DATA": "data"}

_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PLACEHOLDER_OVERRIDE = re.compile(r"[A-Z][A-Z0-9_]*$")


def load_config(
    path: Union[str, os.PathLike], overrides: Sequence[str] = ()
) -> experiment_pb2.ExperimentOptions:
    """Reads an experiment config.

    Args:
      path: textproto file of `protos/experiment.proto`, or one of deeplab2 for kMaX-DeepLab or
        MaX-DeepLab, which is translated (the log says how) before the overrides apply.
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
        require_own_path(config, field_path)
        apply_override(config, field_path, value)
    validate(config)
    if config.HasField("eval_dataset_options") and not config.eval_dataset_options.dataset_info:
        config.eval_dataset_options.dataset_info = config.train_dataset_options.dataset_info
    _repeat_task(config)
    return config


def _repeat_task(config: experiment_pb2.ExperimentOptions) -> None:
    """Evaluation has the task of training where it names none."""
    train, evaluated = config.train_dataset_options, config.eval_dataset_options
    named = train.HasField("task") and not evaluated.HasField("task")
    if named and config.HasField("eval_dataset_options"):
        evaluated.task = train.task


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
    """Parses a textproto of ours or of deeplab2 after filling its placeholders.

    Args:
      text: the content.
      source: names it in errors.
      placeholders: values of `${NAME}` that come before the environment.

    Raises:
      ValueError: the text cannot be read, or deeplab2's model is not one of ours.
    """
    filled = _fill(text, placeholders)
    try:
        fields = scan_fields(filled)
    except ValueError as error:
        raise ValueError(f"{source} cannot be read: {error}.") from None
    if is_deeplab2_config(fields):
        return translate_deeplab2_config(filled, fields, source)
    config = experiment_pb2.ExperimentOptions()
    parse_text(filled, config, source)
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
        if len(override) > MAX_OVERRIDE_CHARACTERS:
            raise ValueError(
                f"`--set {override[:40]}...` may have {MAX_OVERRIDE_CHARACTERS} characters; it has "
                f"{len(override)}."
            )
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
        return read_bounded(path, MAX_TEXT_BYTES).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        folder = pathlib.Path(path).parent
        known = [str(p) for p in sorted(folder.glob("*.textproto"))] if folder.is_dir() else []
        near = difflib.get_close_matches(str(path), known, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"`--config_file` {path} does not exist{hint}") from None
    except (OSError, ValueError) as error:
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
