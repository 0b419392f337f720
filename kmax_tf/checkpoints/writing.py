"""Writes variables as an object-based TensorFlow checkpoint under given names."""

from __future__ import annotations

import os
import tempfile
from typing import Dict, Mapping, Optional, Sequence

import tensorflow as tf

from kmax_tf.checkpoints import mapping
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import VALUE_SUFFIX


def write_model(
    prefix: str,
    model: tf.keras.Model,
    *,
    steps: Mapping[str, int],
    paths: Optional[Sequence[str]] = None,
    deeplab2_names: bool = False,
    overwrite: bool = False,
) -> int:
    """Writes a model as the trainer, or as deeplab2, would have written it without its optimiser.

    Args:
      prefix: see `write_checkpoint`.
      model: has its variables.
      steps: name -> value of the counters beside the model (`global_step`).
      paths: attribute paths of the variables to write; None = all.
      deeplab2_names: whether the names are deeplab2's.
      overwrite: see `write_checkpoint`.

    Returns:
      The number of the model's variables in the file.
    """
    name_of_path = deeplab2_name if deeplab2_names else mapping.own_name
    variables = mapping.variables_by_path(model)
    chosen: Dict[str, tf.Variable] = {
        name_of_path(path): variables[path] for path in (variables if paths is None else paths)
    }
    counters = {
        name + VALUE_SUFFIX: tf.Variable(step, dtype=tf.int64) for name, step in steps.items()
    }
    write_checkpoint(prefix, {**chosen, **counters}, overwrite=overwrite)
    return len(chosen)


def write_checkpoint(
    prefix: str, variables: Mapping[str, tf.Variable], *, overwrite: bool = False
) -> None:
    """Writes `<prefix>.index` and its data file.

    The file describes objects whose attributes have the names between the slashes, so TensorFlow's
    object-based restore of a part works too. Everything is written elsewhere in the folder and
    renamed, the index last: a prefix that exists is complete.

    Args:
      prefix: of the checkpoint; its folder is made.
      variables: name (`encoder/_stem/_conv/kernel/.ATTRIBUTES/VARIABLE_VALUE`) -> variable.
      overwrite: whether a checkpoint that is there is replaced.

    Raises:
      ValueError: `prefix` is a folder, or a checkpoint that is there.
    """
    require_writable_prefix(prefix, overwrite=overwrite)
    root = tf.Module()
    for name, variable in variables.items():
        *parents, leaf = name[: -len(VALUE_SUFFIX)].split("/")
        node = root
        for parent in map(_attribute, parents):
            if not hasattr(node, parent):
                setattr(node, parent, tf.Module())
            node = getattr(node, parent)
        setattr(node, _attribute(leaf), variable)
    folder, base = os.path.split(prefix)
    os.makedirs(folder or ".", exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder or ".", prefix=f".{base}-") as temporary:
        written = tf.train.Checkpoint(root).write(os.path.join(temporary, base))
        for old in tf.io.gfile.glob(f"{prefix}.index"):
            os.remove(old)
        for suffix in ("data-00000-of-00001", "index"):
            os.replace(f"{written}.{suffix}", f"{prefix}.{suffix}")


def require_writable_prefix(prefix: str, *, overwrite: bool) -> None:
    """Raises ValueError where `write_checkpoint` would."""
    if not os.path.basename(prefix) or os.path.isdir(prefix):
        raise ValueError(
            f"`--output` needs the prefix of a checkpoint, {os.path.join(prefix, 'ckpt')} for "
            f"instance; received the folder {prefix}."
        )
    if os.path.exists(f"{prefix}.index") and not overwrite:
        raise ValueError(
            f"`--output` {prefix} is a checkpoint already; give `--overwrite` to replace it."
        )


def _attribute(element: str) -> str:
    """The attribute's name of an element of a checkpoint's name."""
    return element.replace(".S", "/").replace("..", ".")
