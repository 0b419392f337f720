"""Batches of images of different sizes through a model, each result back at the image's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf

from kmax_tf.results.restore import restore_map

if TYPE_CHECKING:
    from kmax_tf.build.inference import Inference

MAPS = ("panoptic", "semantic")

RunBatch = Callable[[Sequence[np.ndarray]], List[Dict[str, np.ndarray]]]
"""Images uint8 [H_i, W_i, 3] -> of each: `panoptic`, `semantic` int32 [H_i, W_i], `segment_id`
int32 [Q], -1 unused, and `segment_score` float32 [Q]. May be called from several threads."""


def batches_of_model(inference: Inference, *, jit_compile: Optional[bool]) -> RunBatch:
    """Runs a model that was built in this program.

    Args:
      inference: the model with its preprocessing.
      jit_compile: True = XLA compiles the network, once per number of images.
    """
    # Without autograph, which would look for Python's `if` and `for` in every layer: that takes
    # longer than all the rest until the first result, and there are none.
    prepare = tf.function(
        inference.prepare,
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)],
        autograph=False,
    )
    network = tf.function(
        lambda images: inference.network(images)._asdict(),
        input_signature=[tf.TensorSpec([None, *inference.input_size, 3], tf.float32)],
        autograph=False,
        jit_compile=jit_compile,
    )

    def run(images: Sequence[np.ndarray]) -> List[Dict[str, np.ndarray]]:
        prepared, valid_sizes = zip(*(prepare(tf.constant(image)) for image in images))
        outputs = network(tf.stack(prepared))
        return _separate(outputs, [size.numpy() for size in valid_sizes], images)

    return run


def batches_of_saved_model(saved_model: Any) -> RunBatch:
    """Runs what `kmax export` wrote.

    Args:
      saved_model: as `tf.saved_model.load` returns it.

    Raises:
      ValueError: it was exported without one of the maps.
    """
    missing = set(MAPS) - set(saved_model.signatures["serving_default"].structured_outputs)
    if missing:
        raise ValueError(
            f"`saved_model` must return {' and '.join(MAPS)} (`kmax export --outputs`); it lacks "
            f"{' and '.join(sorted(missing))}."
        )

    def run(images: Sequence[np.ndarray]) -> List[Dict[str, np.ndarray]]:
        # Not compressed: it is decoded again at once.
        encoded = [tf.io.encode_png(image, compression=0) for image in images]
        # Kept whole: a signature alone does not hold the variables of its SavedModel. This one
        # takes images of different sizes.
        outputs = saved_model.signatures["serving_default"](image_bytes=tf.stack(encoded))
        return _separate(outputs, outputs["valid_size"].numpy(), images)

    return run


def _separate(
    outputs: Dict[str, tf.Tensor], valid_sizes: Sequence[np.ndarray], images: Sequence[np.ndarray]
) -> List[Dict[str, np.ndarray]]:
    """What belongs to each image, with maps at its size."""
    rows = {name: outputs[name].numpy() for name in ("segment_id", "segment_score")}
    maps = {name: outputs[name].numpy() for name in MAPS}
    separated = []
    for index, (valid_size, image) in enumerate(zip(valid_sizes, images)):
        found = {name: value[index] for name, value in rows.items()}
        for name, value in maps.items():
            found[name] = restore_map(value[index], valid_size, image.shape[:2])
        separated.append(found)
    return separated
