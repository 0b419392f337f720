"""Pictures of ground truth beside prediction, for TensorBoard and as files."""

from __future__ import annotations

import pathlib
from typing import Iterable, Iterator, Sequence, Tuple

import numpy as np
import tensorflow as tf

from kmax_tf.results.overlay import draw_comparison
from kmax_tf.results.sheet import draw_grid, resize_picture
from kmax_tf.structures import DatasetInfo
from trainer.eval_loop import Picture

SHEET_PICTURES = 8
SHEET_WIDTH = 800  # of each picture on the sheet


def draw_pictures(
    pictures: Iterable[Picture], info: DatasetInfo
) -> Iterator[Tuple[str, np.ndarray]]:
    """Name (the image id) and picture, uint8 [h, w, 3], of each."""
    for picture in pictures:
        drawn = draw_comparison(picture.image, picture.ground_truth, picture.prediction, info)
        yield f"{picture.image_id:06d}", drawn


def draw_sheet(drawn: Sequence[np.ndarray]) -> np.ndarray:
    """The first pictures together on one sheet, uint8 [h, w, 3], in two columns."""
    small = []
    for picture in drawn[:SHEET_PICTURES]:
        height = max(1, round(picture.shape[0] * SHEET_WIDTH / picture.shape[1]))
        small.append(resize_picture(picture, (height, SHEET_WIDTH)))
    return draw_grid(small, columns=2)


def write_png(folder: pathlib.Path, name: str, picture: np.ndarray) -> None:
    """Writes `<folder>/<name>.png`, uint8 [h, w, 3]; an older one is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    tf.io.write_file(str(folder / f"{name}.png"), tf.io.encode_png(picture))
