"""Images as people have them: any common format, any mode, rotated by EXIF."""

from __future__ import annotations

import os
import pathlib
from typing import Iterable, List, Union

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, UnidentifiedImageError

from kmax_tf.bounded_files import FileTooLargeError
from kmax_tf.data.image_decoding import decode_image
from kmax_tf.image_limits import (
    MAX_IMAGE_BYTES,
    READ_ERRORS,
    ImageLimitError,
    open_image,
    read_image_bytes,
    require_image_size,
)

ImageSource = Union[str, os.PathLike, bytes, np.ndarray, Image.Image]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

# EXIF orientation -> what brings the stored pixels upright.
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PixelDepthError(ValueError):
    """An image whose values have more than 16 bits, so that their range is unknown."""


def read_image(source: ImageSource) -> np.ndarray:
    """Reads an image and turns it upright.

    JPEG and PNG are decoded by TensorFlow, so that a file gives the same pixels here, in a record
    and in a SavedModel.

    Args:
      source: a path, the bytes of a file, a PIL image, or uint8 [H, W, 3] (or [H, W]: gray), which
        is taken as it is.

    Returns:
      uint8 [H, W, 3], RGB.

    Raises:
      ValueError: the source is nothing of these; the file is missing, is not an image or is
        damaged, exceeds a limit of `image_limits`, its values have more than 16 bits, or the array
        does not fit.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        try:
            require_image_size(source)
            return to_rgb(source)
        except (PixelDepthError, ImageLimitError) as error:
            raise ValueError(f"The given image cannot be used: {error}.") from None
    if isinstance(source, bytes):
        if len(source) > MAX_IMAGE_BYTES:
            raise ValueError(f"An image may have {MAX_IMAGE_BYTES} bytes; received {len(source)}.")
        return _decode(source, "the given bytes")
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "`image` must be a path, the bytes of a file, a PIL image or a uint8 array; received "
            f"{type(source).__name__}."
        )
    path = pathlib.Path(source)
    try:
        content = read_image_bytes(path)
    except FileNotFoundError:
        raise ValueError(f"Image {path} does not exist.") from None
    except IsADirectoryError:
        raise ValueError(f"Image {path} is a folder; give it in a list.") from None
    except OSError as error:
        raise ValueError(f"Image {path} cannot be read: {error.strerror}.") from None
    except FileTooLargeError as error:
        raise ValueError(f"Image {path} is too large: {error}.") from None
    return _decode(content, str(path))


def to_rgb(image: Image.Image) -> np.ndarray:
    """Converts any mode and turns the image upright; of 16-bit values the upper 8 bits remain.

    The same for records and for prediction.

    Args:
      image: not yet turned, since its EXIF data says how.

    Returns:
      uint8 [H, W, 3].

    Raises:
      PixelDepthError: values of 32 bits, whole or not: what is white in them cannot be known.
    """
    # Some versions of Pillow open a PNG of 16 bits in the mode of 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        # Pillow itself would cut values off at 255.
        image_8_bit = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "F" or image.mode.startswith("I"):
        raise PixelDepthError(
            f"values must have 8 or 16 bits; received 32 bits (mode {image.mode})"
        )
    elif image.mode == "P" and "transparency" in image.info:
        image_8_bit = image.convert("RGBA")  # Pillow warns where this step is left out.
    else:
        image_8_bit = image
    return _upright(np.array(image_8_bit.convert("RGB")), image)


def find_images(sources: Iterable[Union[str, os.PathLike]]) -> List[pathlib.Path]:
    """Files as given, folders replaced by the images directly inside them, sorted by name.

    Raises:
      ValueError: a path does not exist, or a folder holds no image.
    """
    found: List[pathlib.Path] = []
    for source in map(pathlib.Path, sources):
        if source.is_dir():
            inside = sorted(
                path
                for path in source.iterdir()
                if path.suffix.lower() in SUFFIXES and not path.is_dir()
            )
            if not inside:
                raise ValueError(f"Folder {source} holds no image ({', '.join(SUFFIXES)}).")
            found += inside
        elif source.exists():
            found.append(source)
        else:
            raise ValueError(f"Image {source} does not exist.")
    return list(dict.fromkeys(found))


def _checked_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(
            "`image` must be uint8 [height, width, 3] or [height, width]; received "
            f"{array.dtype} {list(array.shape)}."
        )
    return array


def _decode(content: bytes, name: str) -> np.ndarray:
    try:
        with open_image(content) as image:
            if image.format in ("JPEG", "PNG"):
                decoded = decode_image(tf.constant(content), place=[name])
                return _upright(decoded.numpy(), image)
            return to_rgb(image)
    except PixelDepthError as error:
        raise ValueError(f"Image {name} cannot be read: {error}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"Image {name} is not an image file that can be read.") from None
    except ImageLimitError as error:
        raise ValueError(f"Image {name} is too large: {error}.") from None
    except (*READ_ERRORS, tf.errors.InvalidArgumentError):
        raise ValueError(f"Image {name} is damaged or incomplete.") from None


def _upright(array: np.ndarray, image: Image.Image) -> np.ndarray:
    method = _TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if method is None:
        return array
    return np.array(Image.fromarray(array).transpose(method))
