"""An image file as it is sent to a server, and the answer as a result."""

from __future__ import annotations

import io
import os
import pathlib
from typing import NamedTuple, Union

import numpy as np
from PIL import ExifTags, Image

from kmax_tf.data.image_files import read_image
from kmax_tf.finite import require_finite
from kmax_tf.image_limits import READ_ERRORS, open_image, read_image_bytes
from kmax_tf.results.panoptic_result import PanopticResult
from kmax_tf.results.restore import restore_map
from kmax_tf.results.segments import find_segments
from kmax_tf.serving_client.transport import Outputs
from kmax_tf.structures import DatasetInfo

_UPRIGHT = 1
_MAPS = ("panoptic", "semantic")


class ImageRequest(NamedTuple):
    """One image on its way.

    Attributes:
      path: of the file.
      content: JPEG or PNG, upright: the file itself, or the same pixels as PNG.
      image: uint8 [H, W, 3], its pixels.
    """

    path: pathlib.Path
    content: bytes
    image: np.ndarray


def make_request(path: Union[str, os.PathLike]) -> ImageRequest:
    """Reads an image file.

    The graph takes JPEG and PNG and knows nothing of EXIF: what is rotated, or of another format,
    is sent as PNG. Every other file is sent byte for byte.

    Raises:
      ValueError: it is missing, damaged, too large, or no image.
    """
    path = pathlib.Path(path)
    pixels = read_image(path)  # Names every fault; a server could only fail the request.
    content = read_image_bytes(path)
    if not _is_sent_as_it_is(content):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        content = buffer.getvalue()
    return ImageRequest(path, content, pixels)


def make_result(request: ImageRequest, outputs: Outputs, info: DatasetInfo) -> PanopticResult:
    """The result of one image, as `Predictor` returns it.

    Args:
      request: what was sent.
      outputs: of this image: `panoptic`, `semantic` int [h, w] at the size of the network's input,
        `segment_id` [Q], `segment_score` [Q], `valid_size` [2] and `image_size` [2].
      info: classes of the model.

    Raises:
      ValueError: the answer does not fit the image, or holds a class that `info` does not know.
      NonFinitePredictionError: the model's logits are not finite.
    """
    image = request.image
    require_finite(np.asarray(outputs["segment_score"])[np.newaxis], [request.path])
    size = tuple(int(side) for side in outputs["image_size"])
    if size != image.shape[:2]:
        raise ValueError(
            f"Image {request.path} has {image.shape[0]}x{image.shape[1]} pixels; the server "
            f"answered for {size[0]}x{size[1]}."
        )
    found = {
        name: restore_map(np.asarray(outputs[name], np.int32), outputs["valid_size"], size)
        for name in _MAPS
    }
    classes = {int(value) for value in np.unique(found["panoptic"] // info.label_divisor)}
    unknown = sorted(classes - {*info.class_ids, info.ignore_label})
    if unknown:
        raise ValueError(
            f"`--labels` knows the classes {info.class_ids[0]} to {info.class_ids[-1]}; the server "
            f"answered {unknown[0]}: these are the labels of another model."
        )
    rows = {name: outputs[name] for name in ("segment_id", "segment_score")}
    return PanopticResult(
        name=request.path.stem,
        image=image,
        panoptic=found["panoptic"],
        semantic=found["semantic"],
        segments=tuple(find_segments({**found, **rows}, info)),
        info=info,
    )


def _is_sent_as_it_is(content: bytes) -> bool:
    try:
        with open_image(content) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
            return image.format in ("JPEG", "PNG") and orientation == _UPRIGHT
    except READ_ERRORS:  # Pixels that could be read, beside data that cannot.
        return False
