"""Loads the variables of a model from a checkpoint."""

from __future__ import annotations

import os
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np
import tensorflow as tf

from kmax_tf.checkpoints import mapping

_SHOWN = 3


class LoadReport(NamedTuple):
    """What was loaded.

    Attributes:
      loaded: attribute paths of the variables that took their value from the file.
      missing: paths that the file does not hold.
      unused: names of the file's arrays that the model has no place for.
      mismatched: sentences `path: shape in the model, shape in the file`.
    """

    loaded: Tuple[str, ...]
    missing: Tuple[str, ...]
    unused: Tuple[str, ...]
    mismatched: Tuple[str, ...]


def find_checkpoint(path: Union[str, os.PathLike]) -> str:
    """Prefix of the checkpoint at `path`: a prefix, or a folder, which means its latest.

    Raises:
      ValueError: nothing there.
    """
    path = os.fspath(path)
    if path.endswith(".index"):
        path = path[: -len(".index")]
    if tf.io.gfile.isdir(path):
        latest = tf.train.latest_checkpoint(path)
        if latest is None:
            raise ValueError(f"The folder {path} holds no checkpoint.")
        return latest
    if not tf.io.gfile.exists(path + ".index"):
        raise ValueError(f"There is no checkpoint {path}: {path}.index does not exist.")
    return path


def open_checkpoint(path: Union[str, os.PathLike]) -> tf.train.CheckpointReader:
    """Reader of the checkpoint at `path` (prefix or folder); ValueError where it is unreadable."""
    prefix = find_checkpoint(path)
    try:
        return tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"The checkpoint {prefix} cannot be read: {reason}") from None


def load_checkpoint(
    model: tf.keras.Model, path: Union[str, os.PathLike], *, allow_missing: Sequence[str] = ()
) -> LoadReport:
    """Sets the variables of `model` to the values in a checkpoint of our own.

    Args:
      model: has its variables.
      path: prefix (`.../ckpt-1000`), or a folder, which means its latest; a checkpoint of a
        training run or of a model alone.
      allow_missing: path prefixes (`semantic_head`) of variables that may be absent from the file
        or differ in shape: they keep their value, and the report names them.

    Returns:
      The report; without `allow_missing` all of the model and of the file is accounted for.

    Raises:
      ValueError: no such checkpoint, or one of another model; nothing is changed then.
    """
    reader = open_checkpoint(path)
    shapes = model_shapes(reader.get_variable_to_shape_map())
    variables = mapping.variables_by_path(model)
    comparison = mapping.compare(variables, shapes)
    _require_fit(comparison, os.fspath(path), allow_missing)
    values = _read_values(reader, comparison.fitting, os.fspath(path))
    for variable_path, value in values.items():
        variables[variable_path].assign(value)
    return LoadReport(
        loaded=tuple(comparison.fitting),
        missing=comparison.missing,
        unused=comparison.unused,
        mismatched=tuple(comparison.mismatched.values()),
    )


def _read_values(
    reader: tf.train.CheckpointReader, names: Mapping[str, str], path: str
) -> Dict[str, np.ndarray]:
    """Arrays by the path of their variable; all are read before anything is assigned."""
    try:
        return {variable_path: reader.get_tensor(name) for variable_path, name in names.items()}
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"The checkpoint {path} cannot be read, its data file may be incomplete: {reason}"
        ) from None


def model_shapes(file_shapes: Dict[str, List[int]]) -> Dict[str, List[int]]:
    """The entries of a file that belong to the model (not to the optimiser or the step)."""
    return {
        name: shape
        for name, shape in file_shapes.items()
        if name.startswith(mapping.MODEL_PREFIX) and name.endswith(mapping.VALUE_SUFFIX)
    }


def describe_misfit(comparison: mapping.Comparison) -> str:
    """The differences as one clause: how many of each kind, and the first few names."""
    parts = []
    for count_of, items in (
        ("missing in the file", comparison.missing),
        ("unknown to the model", comparison.unused),
        ("of another shape", tuple(comparison.mismatched.values())),
    ):
        if items:
            names = [item.replace(mapping.VALUE_SUFFIX, "") for item in items[:_SHOWN]]
            more = ", ..." if len(items) > _SHOWN else ""
            parts.append(f"{len(items)} {count_of} ({', '.join(names)}{more})")
    return "; ".join(parts)


def _require_fit(comparison: mapping.Comparison, path: str, allow_missing: Sequence[str]) -> None:
    def excused(variable_path: str) -> bool:
        return any(
            variable_path == prefix or variable_path.startswith(prefix.rstrip("/") + "/")
            for prefix in allow_missing
        )

    faults = mapping.Comparison(
        fitting=comparison.fitting,
        missing=tuple(p for p in comparison.missing if not excused(p)),
        unused=tuple(n for n in comparison.unused if not excused(n[len(mapping.MODEL_PREFIX) :])),
        mismatched={p: s for p, s in comparison.mismatched.items() if not excused(p)},
    )
    if faults.missing or faults.unused or faults.mismatched:
        raise ValueError(
            f"{path} is a checkpoint of another model: of its variables "
            f"{len(faults.fitting)} fit, {describe_misfit(faults)}."
        )
