"""Images as people have them: any common format, any mode, rotated by EXIF."""

from __future__ import annotations

import io
import os
import pathlib
from typing import Iterable, List, Union

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, UnidentifiedImageError

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
      ValueError: the file is missing, is not an image or is damaged, or the array does not fit.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        return _upright(_to_rgb(source), source)
    if isinstance(source, bytes):
        return _decode(source, "the given bytes")
    path = pathlib.Path(source)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"Image {path} does not exist.") from None
    except OSError as error:
        raise ValueError(f"Image {path} cannot be read: {error.strerror}.") from None
    return _decode(content, str(path))


def find_images(sources: Iterable[Union[str, os.PathLike]]) -> List[pathlib.Path]:
    """Files as given, folders replaced by the images directly inside them, sorted by name.

    Raises:
      ValueError: a path does not exist, or a folder holds no image.
    """
    found: List[pathlib.Path] = []
    for source in map(pathlib.Path, sources):
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)
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
        with Image.open(io.BytesIO(content)) as image:
            if image.format in ("JPEG", "PNG"):
                decoded = tf.io.decode_image(content, channels=3, expand_animations=False)
                return _upright(decoded.numpy(), image)
            return _upright(_to_rgb(image), image)
    except UnidentifiedImageError:
        raise ValueError(f"Image {name} is not an image file that can be read.") from None
    except (OSError, SyntaxError, ValueError, tf.errors.InvalidArgumentError):
        raise ValueError(f"Image {name} is damaged or incomplete.") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"Image {name} is too large: {error}") from None


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):  # 16 bits: Pillow would clip at 255 instead of scaling.
        return _checked_array((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))


def _upright(array: np.ndarray, image: Image.Image) -> np.ndarray:
    method = _TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if method is None:
        return array
    return np.array(Image.fromarray(array).transpose(method))
