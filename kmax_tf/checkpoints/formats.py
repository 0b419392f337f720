"""A file of weights, whatever its format: its arrays by name, and which one is which variable.

The format is recognised by the names of the arrays, so nobody has to say what a file is.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Callable, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np
import tensorflow as tf

from kmax_tf.checkpoints import convnext_weights, weight_files
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.files import ACCEPTED, find_checkpoint, open_checkpoint, reason
from kmax_tf.checkpoints.mapping import (
    AVERAGE_PREFIX,
    MODEL_PREFIX,
    VALUE_SUFFIX,
    NameOfPath,
    ShapeOfPath,
)
from kmax_tf.checkpoints.parts import DEEPLAB2_ROOTS, ENCODER, is_deeplab2_encoder

Shape = Tuple[int, ...]

DEEPLAB2 = "deeplab2 checkpoint"
OWN = "checkpoint of kmax_tf"
AVERAGED = f"{OWN}, moving average of the weights"

_BOOKKEEPING = frozenset(
    (
        *("optimizer", "backbone_optimizer", "global_step", "save_counter"),
        *("best_pq", "best_miou", "best_ap"),
    )
)
_STEPS = ("global_step", "save_counter")
_MODEL_GARDEN = "backbone/_encoder/"
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Source:
    """A file seen as arrays of a model.

    Attributes:
      path: of the file, as errors name it.
      format: of the file, in words.
      shapes: name -> shape of each array that belongs to a model.
      name_of_path: attribute path in our model -> name in the file.
      is_encoder: whether an array is of the pixel encoder.
      encoder_alone: whether the file holds no other part; arrays outside the encoder are leftovers
        of image classification then.
      get: name -> array; ValueError where the file is damaged.
      steps: counters beside the model, by name (`global_step`).
      our_shape, our_layout: path and shape or array in the file -> those in our layout.
    """

    path: str
    format: str
    shapes: Mapping[str, Shape]
    name_of_path: NameOfPath
    is_encoder: Callable[[str], bool]
    encoder_alone: bool
    get: Callable[[str], np.ndarray]
    steps: Mapping[str, int] = dataclasses.field(default_factory=dict)
    our_shape: ShapeOfPath = lambda path, shape: shape
    our_layout: Callable[[str, np.ndarray], np.ndarray] = lambda path, array: array

    def shape(self, path: str) -> Optional[Shape]:
        """Shape, in our layout, of the variable at an attribute path; None = not in the file."""
        name = self.name_of_path(path)
        return tuple(self.our_shape(path, self.shapes[name])) if name in self.shapes else None

    def read(self, paths: Iterable[str]) -> Dict[str, np.ndarray]:
        """Arrays, in our layout, by attribute path; read in the order of the file.

        Raises:
          ValueError: the file is damaged.
        """
        ordered = sorted(paths, key=self.name_of_path)
        return {path: self.our_layout(path, self.get(self.name_of_path(path))) for path in ordered}


class _Layout(NamedTuple):
    """How a TensorFlow checkpoint names variables; see `Source`."""

    format: str
    name_of_path: NameOfPath
    root: str  # of everything that belongs to the model
    is_encoder: Callable[[str], bool]
    is_other_part: Callable[[str], bool]


def open_source(path: Union[str, os.PathLike], *, raw_weights: bool = False) -> Source:
    """Opens the weights at `path` and recognises their format.

    Args:
      path: what `find_checkpoint` accepts.
      raw_weights: whether the weights of the last step are taken from a checkpoint that also holds
        their moving average, instead of the average.

    Raises:
      ValueError: nothing there, unreadable, or of no known format.
    """
    found = find_checkpoint(path)
    if weight_files.is_weight_file(found):
        return _open_weight_file(found)
    reader = open_checkpoint(found)
    shapes = {
        name: tuple(shape)
        for name, shape in sorted(reader.get_variable_to_shape_map().items())
        if _is_model_variable(name)
    }
    layout = _recognise(shapes, raw_weights)
    if layout is None:
        raise _unknown(found, shapes or reader.get_variable_to_shape_map())
    return Source(
        path=found,
        format=layout.format,
        shapes={name: shape for name, shape in shapes.items() if name.startswith(layout.root)},
        name_of_path=layout.name_of_path,
        is_encoder=layout.is_encoder,
        encoder_alone=not any(map(layout.is_other_part, shapes)),
        get=lambda name: _get(reader, name, found),
        steps={
            name: int(_get(reader, name + VALUE_SUFFIX, found))
            for name in _STEPS
            if reader.has_tensor(name + VALUE_SUFFIX)
        },
    )


def _open_weight_file(path: str) -> Source:
    file = weight_files.open_weight_file(path)
    if not convnext_weights.is_convnext(file.shapes):
        raise _unknown(path, file.shapes)
    return Source(
        path=path,
        format="ConvNeXt weights",
        shapes=file.shapes,
        name_of_path=convnext_weights.name_of_path(file.shapes),
        is_encoder=lambda name: not convnext_weights.is_classifier(name),
        encoder_alone=True,
        get=file.read,
        our_shape=convnext_weights.our_shape,
        our_layout=convnext_weights.to_our_layout,
    )


def _recognise(names: Iterable[str], raw_weights: bool) -> Optional[_Layout]:
    """The layout of a checkpoint by the roots of its names; the first that fits."""
    roots = {name.split("/", 1)[0] for name in names}
    if any(name.startswith(_MODEL_GARDEN) for name in names):
        return _of_encoder("deeplab2 encoder (Model Garden)", _garden_name, (_MODEL_GARDEN,))
    if roots & {"encoder", "pixel_space_head", "semantic_last_layer"}:
        return _Layout(DEEPLAB2, deeplab2_name, "", is_deeplab2_encoder, _is_deeplab2_part)
    if AVERAGE_PREFIX.rstrip("/") in roots and not raw_weights:
        return _own(AVERAGED, AVERAGE_PREFIX)
    if MODEL_PREFIX.rstrip("/") in roots:
        return _own(OWN, MODEL_PREFIX)
    if roots & {ENCODER, "mask_head"}:
        return _own(f"{OWN}, model alone", "")
    if roots & {"downsample_layers", "_stem"}:
        prefixes = ("downsample_layers/", "stages/", "_stem/", "_stage")
        return _of_encoder("deeplab2 weights of an encoder", _below_encoder, prefixes)
    if roots & {"downsamplers", "stem"}:
        prefixes = ("downsamplers/", "stages/", "stem/")
        return _of_encoder("encoder of kmax_tf", _own_below_encoder, prefixes)
    return None


def _of_encoder(text: str, name_of_path: NameOfPath, prefixes: Tuple[str, ...]) -> _Layout:
    return _Layout(
        text, name_of_path, "", lambda name: name.startswith(prefixes), lambda name: False
    )


def _own(text: str, root: str) -> _Layout:
    encoder = f"{root}{ENCODER}/"
    return _Layout(
        text,
        lambda path: root + path + VALUE_SUFFIX,
        root,
        lambda name: name.startswith(encoder),
        lambda name: name.startswith(root) and not name.startswith(encoder),
    )


def _is_deeplab2_part(name: str) -> bool:
    root = name.split("/", 1)[0]
    return root in DEEPLAB2_ROOTS or (root == "encoder" and not is_deeplab2_encoder(name))


def _garden_name(path: str) -> str:
    return re.sub("^encoder/", _MODEL_GARDEN, deeplab2_name(path))


def _own_below_encoder(path: str) -> str:
    return re.sub(f"^{ENCODER}/", "", path) + VALUE_SUFFIX


def _below_encoder(path: str) -> str:
    return re.sub("^encoder/", "", deeplab2_name(path))


def _is_model_variable(name: str) -> bool:
    """Not a slot or counter of an optimiser, a step, or the description of objects."""
    return (
        name.endswith(VALUE_SUFFIX)
        and ".OPTIMIZER_SLOT/" not in name
        and name.split("/", 1)[0] not in _BOOKKEEPING
    )


def _get(reader: tf.train.CheckpointReader, name: str, path: str) -> np.ndarray:
    try:
        return reader.get_tensor(name)
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"The checkpoint {path} cannot be read, its data file may be incomplete: "
            f"{reason(error)}."
        ) from None


def _unknown(path: str, names: Iterable[str]) -> ValueError:
    shown = [name.replace(VALUE_SUFFIX, "") for name in sorted(names)]
    listed = ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
    holds = f"its arrays are {listed}" if shown else "it holds no weights"
    return ValueError(f"{path} is of no known format ({holds}): {ACCEPTED}.")
