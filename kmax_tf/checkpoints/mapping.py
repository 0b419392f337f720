"""Names of variables: attribute paths of a model, names in a file, and how the two compare.

The path of a variable is the chain of attributes that leads to it, `pixel_encoder/stem/kernel`.
TensorFlow's checkpoints use the same chain, so a file of our own needs no table; a foreign format
is read by giving `compare` another function from path to name.
"""

from __future__ import annotations

import collections
from typing import Callable, Dict, Mapping, NamedTuple, Sequence, Tuple

import tensorflow as tf

VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
MODEL_PREFIX = "model/"
AVERAGE_PREFIX = "average/"
"""Of the moving average of a model's variables, which a training may keep beside them."""

NameOfPath = Callable[[str], str]
ShapeOfPath = Callable[[str, Sequence[int]], Sequence[int]]


class Comparison(NamedTuple):
    """How the variables of a model relate to those of a file.

    Attributes:
      fitting: path -> name in the file, where both exist and agree in shape.
      missing: paths that the file does not hold.
      unused: names that only the file holds.
      mismatched: sentences `path: shape in the model, shape in the file`, by path.
    """

    fitting: Dict[str, str]
    missing: Tuple[str, ...]
    unused: Tuple[str, ...]
    mismatched: Dict[str, str]


def variables_by_path(root: tf.Module) -> Dict[str, tf.Variable]:
    """Attribute path -> variable, for all variables below `root`, shortest path first, each once.

    The order of the search is that of TensorFlow's checkpoints; a slash inside the key of a
    dictionary is written `.S`, as there.

    Raises:
      ValueError: batch norms of `root` are folded, so its values are none of a checkpoint.
    """
    view = tf.train.TrackableView(root)
    found: Dict[str, tf.Variable] = {}
    seen = {id(root)}
    queue = collections.deque([(root, "")])
    while queue:
        parent, path = queue.popleft()
        for name, child in view.children(parent).items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            if getattr(child, "folded", False):
                raise ValueError(
                    "`model` must not have folded batch norms (it was made for inference alone); "
                    f"received one where {path}{name} is. Build the model again."
                )
            child_path = path + name.replace(".", "..").replace("/", ".S")
            if isinstance(child, tf.Variable):
                found[child_path] = child
            else:
                queue.append((child, child_path + "/"))
    return found


def own_name(path: str) -> str:
    """Name of a model's variable in a checkpoint written by the trainer."""
    return MODEL_PREFIX + path + VALUE_SUFFIX


def compare(
    variables: Mapping[str, tf.Variable],
    file_shapes: Mapping[str, Sequence[int]],
    name_of_path: NameOfPath = own_name,
    shape_of_path: ShapeOfPath = lambda path, shape: shape,
) -> Comparison:
    """Compares the variables of a model with the arrays of a file.

    Args:
      variables: path -> variable.
      file_shapes: name -> shape of each array in the file that belongs to the model.
      name_of_path: how the file names the variable at a path.
      shape_of_path: path and shape in the file -> shape in the layout of the model.
    """
    fitting: Dict[str, str] = {}
    missing = []
    mismatched = {}
    used = set()
    for path, variable in variables.items():
        name = name_of_path(path)
        if name not in file_shapes:
            missing.append(path)
            continue
        used.add(name)
        shapes = list(variable.shape), list(shape_of_path(path, file_shapes[name]))
        if shapes[0] == shapes[1]:
            fitting[path] = name
        else:
            mismatched[path] = f"{path}: {shapes[0]} in the model, {shapes[1]} in the file"
    unused = tuple(name for name in file_shapes if name not in used)
    return Comparison(fitting, tuple(missing), unused, mismatched)
