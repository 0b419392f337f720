"""Finds and opens TensorFlow checkpoints."""

from __future__ import annotations

import math
import os
import re
from typing import Union

import tensorflow as tf

from kmax_tf.checkpoints import weight_files

ACCEPTED = (
    "accepted are the prefix of a TensorFlow checkpoint (`.../ckpt-1000`), a folder that holds "
    "one, and ConvNeXt weights as .safetensors or .pth"
)
_FILE_OF_PREFIX = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def find_checkpoint(path: Union[str, os.PathLike]) -> str:
    """Path of the weights at `path`.

    Args:
      path: prefix of a TensorFlow checkpoint, one of its files, a folder, which means its latest,
        or a file of ConvNeXt weights.

    Returns:
      The prefix, or the path of the file.

    Raises:
      ValueError: nothing there, or something else.
    """
    path = os.fspath(path)
    if tf.io.gfile.isdir(path):
        return _latest(path)
    if weight_files.is_weight_file(path):
        if tf.io.gfile.exists(path):
            return path
        raise ValueError(f"There is no file {path}.")
    prefix = _FILE_OF_PREFIX.sub("", path)
    if tf.io.gfile.exists(prefix + ".index"):
        return prefix
    if prefix == path and tf.io.gfile.exists(path):
        raise ValueError(f"{path} is not a checkpoint that can be read: {ACCEPTED}.")
    raise ValueError(f"There is no checkpoint {path}: {prefix}.index does not exist.")


def open_checkpoint(path: Union[str, os.PathLike]) -> tf.train.CheckpointReader:
    """Reader of the TensorFlow checkpoint at `path`; ValueError where it is unreadable.

    An array that is larger than the data files is found here: reading it would allocate it first.
    """
    prefix = find_checkpoint(path)
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except (tf.errors.OpError, IndexError, MemoryError, RuntimeError, ValueError) as error:
        raise ValueError(f"The checkpoint {prefix} cannot be read: {reason(error)}.") from None
    held = sum(tf.io.gfile.stat(name).length for name in tf.io.gfile.glob(f"{prefix}.data-*-of-*"))
    for name, shape in shapes.items():
        needed = math.prod(shape) * types[name].size
        if needed > held or any(side < 0 for side in shape):
            raise ValueError(
                f"The checkpoint {prefix} cannot be read: its data files have {held} bytes, and "
                f"{name} of shape {shape} needs {needed}."
            )
    return reader


def reason(error: Exception) -> str:
    """The first line of an error, without its full stop, or its name."""
    return str(error).splitlines()[0].rstrip(". ") if str(error) else type(error).__name__


def _latest(folder: str) -> str:
    state = tf.train.get_checkpoint_state(folder)
    if state is not None and tf.io.gfile.exists(f"{state.model_checkpoint_path}.index"):
        return state.model_checkpoint_path
    if tf.io.gfile.exists(os.path.join(folder, "saved_model.pb")):
        raise ValueError(
            f"The folder {folder} is a SavedModel, not a checkpoint; `kmax predict --saved_model` "
            "runs it."
        )
    held = sorted(tf.io.gfile.glob(os.path.join(folder, "*.index")))
    prefixes = [_FILE_OF_PREFIX.sub("", name) for name in held]
    names = ", ".join(os.path.basename(prefix) for prefix in prefixes)
    if state is not None:
        instead = f"the folder holds {names}" if names else "the folder holds none"
        raise ValueError(
            f"The file {os.path.join(folder, 'checkpoint')} names the checkpoint "
            f"{state.model_checkpoint_path}, which does not exist; {instead}."
        )
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        raise ValueError(
            f"The folder {folder} has no file `checkpoint` that says which of its checkpoints is "
            f"the latest; give one of {names}."
        )
    if tf.io.gfile.glob(os.path.join(folder, "*.data-*-of-*")):
        raise ValueError(
            f"The folder {folder} holds the data of a checkpoint without the .index file that "
            "belongs to it."
        )
    raise ValueError(f"The folder {folder} holds no checkpoint.")
