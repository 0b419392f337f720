"""Back from the network's input to the image: crop the valid part, resize by nearest neighbour."""

from __future__ import annotations

from typing import Sequence

import numpy as np


def restore_map(label_map: np.ndarray, valid_size: Sequence[int], image_size: Sequence[int]):
    """Brings a map from network size to the size of its image.

    Nearest neighbour with aligned corners, as TensorFlow computes it: output `i` reads source
    `round(i * (in - 1) / (out - 1))` with the scale in float32 and halves rounded up.

    Args:
      label_map: any dtype [H, W] or [H, W, D] at network size, the image in its top left corner.
      valid_size: height and width of that image inside the map.
      image_size: height and width of the result.

    Returns:
      [*image_size] or [*image_size, D], same dtype; a view of `label_map` where nothing is resized.

    Raises:
      ValueError: `valid_size` does not lie inside the map, or `image_size` is not positive.
    """
    valid_height, valid_width = (int(side) for side in valid_size)
    if not (0 < valid_height <= label_map.shape[0] and 0 < valid_width <= label_map.shape[1]):
        raise ValueError(
            f"`valid_size` must lie in 1..{label_map.shape[0]} and 1..{label_map.shape[1]}; "
            f"received {(valid_height, valid_width)}."
        )
    height, width = (int(side) for side in image_size)
    if height < 1 or width < 1:
        raise ValueError(f"`image_size` must be positive; received {(height, width)}.")
    if (valid_height, valid_width) == (height, width):
        return label_map[:height, :width]
    rows = _nearest_sources(valid_height, height)
    columns = _nearest_sources(valid_width, width)
    return label_map[rows[:, None], columns[None, :]]


def _nearest_sources(size_in: int, size_out: int) -> np.ndarray:
    if size_out > 1:
        scale = np.float32(size_in - 1) / np.float32(size_out - 1)
    else:
        scale = np.float32(size_in) / np.float32(size_out)
    position = np.arange(size_out, dtype=np.float32) * scale
    # The sum in float64: in float32, 0.49999997 + 0.5 would already be 1.
    nearest = np.floor(position.astype(np.float64) + 0.5).astype(np.int64)
    return np.minimum(nearest, size_in - 1)
