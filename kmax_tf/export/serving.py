"""What a SavedModel offers: images of any size in, a flat dict of arrays out.

Preprocessing, network, post-processing and, for `image_tensor`, the way back to the image's size
all run in the graph. No Python function, no custom op, no fixed batch size.
"""

from __future__ import annotations

import os
from typing import Callable, Dict, Optional, Sequence, Tuple, Union

import tensorflow as tf

from kmax_tf.data.image_decoding import decode_image
from kmax_tf.export.outputs import MAPS, ServedNetwork
from kmax_tf.shapes import resize_nearest

Prepare = Callable[[tf.Tensor], Tuple[tf.Tensor, tf.Tensor]]
"""uint8 [H, W, 3] -> float32 [h, w, 3] resized and padded to the network's input, and its valid
size int32 [2]."""


class Serving:
    """The two functions of a SavedModel.

    Neither the Keras model nor these functions are attached to what is saved, only variables and
    signatures: attached, they would be traced once more while saving (a Keras model layer by
    layer), which costs minutes and doubles the size of the graph.

    Both functions return a dict: what `network` returns, `valid_size` int32 [N, 2] (the image
    inside the network's input) and `image_size` int32 [N, 2].

    Args:
      network: model and post-processing in one function (`served_network`).
      prepare: evaluation preprocessing of one image.
      input_size: height and width of the network's input.
      stride: where it is given, padding that no image of a request needs is cut off, down to a
        multiple of the stride plus one.
    """

    def __init__(
        self,
        network: ServedNetwork,
        *,
        prepare: Prepare,
        input_size: Sequence[int],
        stride: Optional[int] = None,
    ) -> None:
        self._prepare = prepare
        self._input_size = tuple(input_size)
        self._stride = stride
        # One traced network, called by both functions: the graph holds it once. Without autograph,
        # which would look for Python's `if` and `for` in every layer, and there are none.
        self._network = tf.function(
            network, input_signature=[network_spec(input_size, stride)], autograph=False
        )
        self.from_bytes = tf.function(
            self._from_bytes,
            input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
            autograph=False,
        )
        self.from_tensor = tf.function(
            self._from_tensor,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")],
            autograph=False,
        )

    def save(
        self, folder: Union[str, os.PathLike], *, assets: Sequence[Union[str, os.PathLike]]
    ) -> None:
        """Writes the SavedModel.

        Args:
          folder: gets `saved_model.pb`, `variables/` and `assets/`.
          assets: files that are copied into the assets under their own names.
        """
        signatures = self.signatures()
        saved = tf.Module(name="kmax")
        # What the graph reads; heads that only training needs stay behind.
        saved.weights = list(signatures["image_tensor"].variables)
        saved.files = [tf.saved_model.Asset(os.fspath(path)) for path in assets]
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(saved, os.fspath(folder), signatures=signatures, options=options)

    def signatures(self) -> Dict[str, Callable]:
        """Signature name -> concrete function, as `tf.saved_model.save` takes them."""
        return {
            "serving_default": self.from_bytes.get_concrete_function(),
            "image_tensor": self.from_tensor.get_concrete_function(),
        }

    def _from_bytes(self, image_bytes: tf.Tensor) -> Dict[str, tf.Tensor]:
        """string [N], JPEG or PNG of any sizes -> outputs with maps [N, h, w]."""

        def prepare(item: Tuple[tf.Tensor, tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            image = decode_image(item[0], place=["`image_bytes` at index", item[1]])
            return self._prepared(image) + (tf.shape(image)[:2],)

        images, valid_size, image_size = tf.map_fn(
            prepare,
            (image_bytes, tf.range(tf.size(image_bytes))),
            fn_output_signature=self._prepared_signature() + (tf.TensorSpec([2], tf.int32),),
        )
        return dict(self._run(images, valid_size), valid_size=valid_size, image_size=image_size)

    def _from_tensor(self, image: tf.Tensor) -> Dict[str, tf.Tensor]:
        """uint8 [N, H, W, 3] -> outputs with maps [N, H, W]."""
        images, valid_size = tf.map_fn(
            self._prepared, image, fn_output_signature=self._prepared_signature()
        )
        outputs = self._run(images, valid_size)
        size = tf.shape(image)[1:3]
        # Images of one batch have one size, so they also have one valid size.
        valid_height, valid_width = tf.unstack(valid_size[0])
        for name in [each for each in MAPS if each in outputs]:
            valid = outputs[name][:, :valid_height, :valid_width]
            restored = resize_nearest(tf.expand_dims(valid, -1), tf.unstack(size))
            outputs[name] = tf.squeeze(restored, -1)
        image_size = tf.repeat(tf.expand_dims(size, 0), tf.shape(image)[0], axis=0)
        return dict(outputs, valid_size=valid_size, image_size=image_size)

    def _run(self, images: tf.Tensor, valid_size: tf.Tensor) -> Dict[str, tf.Tensor]:
        if self._stride is not None:
            images = cut_padding(images, valid_size, self._stride)
        return self._network(images)

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


def network_spec(input_size: Sequence[int], stride: Optional[int]) -> tf.TensorSpec:
    """What the network is fed: float32 [N, h, w, 3], h and w unknown where a stride is given."""
    sides = input_size if stride is None else (None, None)
    return tf.TensorSpec([None, *sides, 3], tf.float32)


def cut_padding(images: tf.Tensor, valid_size: tf.Tensor, stride: int) -> tf.Tensor:
    """Cuts off padding that no image of a batch needs.

    Args:
      images: float32 [N, h, w, 3], each in the top left corner.
      valid_size: int32 [N, 2], what each image fills.
      stride: both sides of the result are multiples of it plus one, but not above h and w.

    Returns:
      float32 [N, h', w', 3].
    """
    largest = tf.reduce_max(valid_size, axis=0)
    needed = -(-(largest - 1) // stride) * stride + 1
    return images[:, : needed[0], : needed[1]]
