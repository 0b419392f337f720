"""What a SavedModel offers: images of any size in, a flat dict of arrays out.

Preprocessing, network, post-processing and, for `image_tensor`, the way back to the image's size
all run in the graph. No Python function, no custom op, no fixed batch size.
"""

from __future__ import annotations

import os
from typing import Callable, Dict, Sequence, Tuple, Union

import tensorflow as tf

from kmax_tf.data.image_decoding import decode_image
from kmax_tf.shapes import resize_nearest
from kmax_tf.structures import PanopticPrediction

Prepare = Callable[[tf.Tensor], Tuple[tf.Tensor, tf.Tensor]]
"""uint8 [H, W, 3] -> float32 [h, w, 3] resized and padded to the network's input, and its valid
size int32 [2]."""

Network = Callable[[tf.Tensor], PanopticPrediction]
"""float32 [B, h, w, 3] in 0..255 -> prediction with maps [B, h, w]."""

MAPS = ("panoptic", "semantic")
ROWS = ("segment_id", "segment_class", "segment_score")


class Serving:
    """The two functions of a SavedModel.

    Neither the Keras model nor these functions are attached to what is saved, only variables and
    signatures: attached, they would be traced once more while saving (a Keras model layer by
    layer), which costs minutes and doubles the size of the graph.

    Both functions return a dict: `panoptic`, `semantic` int32 maps, `segment_id`, `segment_class`
    int32 [N, Q], `segment_score` float32 [N, Q], `valid_size` int32 [N, 2] (the image inside the
    network's input) and `image_size` int32 [N, 2].

    Args:
      network: model and post-processing in one function.
      prepare: evaluation preprocessing of one image.
      input_size: height and width of the network's input.
    """

    def __init__(self, network: Network, *, prepare: Prepare, input_size: Sequence[int]) -> None:
        self._prepare = prepare
        self._input_size = tuple(input_size)
        images = tf.TensorSpec([None, *self._input_size, 3], tf.float32)
        # One traced network, called by both functions: the graph holds it once.
        self._network = tf.function(
            lambda prepared: signature_outputs(network(prepared)), input_signature=[images]
        )
        self.from_bytes = tf.function(
            self._from_bytes, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")]
        )
        self.from_tensor = tf.function(
            self._from_tensor,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")],
        )

    def save(
        self, folder: Union[str, os.PathLike], *, labels_file: Union[str, os.PathLike]
    ) -> None:
        """Writes the SavedModel.

        Args:
          folder: gets `saved_model.pb`, `variables/` and `assets/`.
          labels_file: JSON of the classes, copied into the assets under its own name.
        """
        signatures = self.signatures()
        saved = tf.Module(name="kmax")
        # What the graph reads; heads that only training needs stay behind.
        saved.weights = list(signatures["image_tensor"].variables)
        saved.labels = tf.saved_model.Asset(os.fspath(labels_file))
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(saved, os.fspath(folder), signatures=signatures, options=options)

    def signatures(self) -> Dict[str, Callable]:
        """Signature name -> concrete function, as `tf.saved_model.save` takes them."""
        return {
            "serving_default": self.from_bytes.get_concrete_function(),
            "image_tensor": self.from_tensor.get_concrete_function(),
        }

    def _from_bytes(self, image_bytes: tf.Tensor) -> Dict[str, tf.Tensor]:
        """string [N], JPEG or PNG of any sizes -> outputs with maps int32 [N, h, w]."""

        def prepare(item: Tuple[tf.Tensor, tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            image = decode_image(item[0], place=["`image_bytes` at index", item[1]])
            return self._prepared(image) + (tf.shape(image)[:2],)

        images, valid_size, image_size = tf.map_fn(
            prepare,
            (image_bytes, tf.range(tf.size(image_bytes))),
            fn_output_signature=self._prepared_signature() + (tf.TensorSpec([2], tf.int32),),
        )
        return dict(self._network(images), valid_size=valid_size, image_size=image_size)

    def _from_tensor(self, image: tf.Tensor) -> Dict[str, tf.Tensor]:
        """uint8 [N, H, W, 3] -> outputs with maps int32 [N, H, W]."""
        images, valid_size = tf.map_fn(
            self._prepared, image, fn_output_signature=self._prepared_signature()
        )
        outputs = self._network(images)
        size = tf.shape(image)[1:3]
        # Images of one batch have one size, so they also have one valid size.
        valid_height, valid_width = tf.unstack(valid_size[0])
        for name in MAPS:
            valid = outputs[name][:, :valid_height, :valid_width]
            restored = resize_nearest(tf.expand_dims(valid, -1), tf.unstack(size))
            outputs[name] = tf.squeeze(restored, -1)
        image_size = tf.repeat(tf.expand_dims(size, 0), tf.shape(image)[0], axis=0)
        return dict(outputs, valid_size=valid_size, image_size=image_size)

    def _prepared(self, image: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        prepared, valid_size = self._prepare(image)
        return (
            tf.ensure_shape(prepared, [*self._input_size, 3]),
            tf.cast(valid_size, tf.int32),
        )

    def _prepared_signature(self) -> Tuple[tf.TensorSpec, tf.TensorSpec]:
        return (
            tf.TensorSpec([*self._input_size, 3], tf.float32),
            tf.TensorSpec([2], tf.int32),
        )


def signature_outputs(prediction: PanopticPrediction) -> Dict[str, tf.Tensor]:
    """The part of a prediction that is served: maps [B, h, w] and rows [B, Q]."""
    return {name: getattr(prediction, name) for name in MAPS + ROWS}
