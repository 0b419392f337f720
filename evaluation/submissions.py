"""Predictions in the formats that servers and other tools read, beside COCO panoptic.

Classes are written as evaluation ids: the ids of the data set's own files (`original_ids`). Void is
0, or 255 where 0 is a class.
"""

from __future__ import annotations

import pathlib
from typing import Dict, Mapping, Protocol, Set, Union

import numpy as np
from PIL import Image

from kmax_tf import labels
from kmax_tf.results.atomic_files import PathLike, write_atomically
from kmax_tf.safe_paths import require_file_name
from kmax_tf.structures import DatasetInfo

COCO_PANOPTIC = "coco_panoptic"
CITYSCAPES = "cityscapes"
SEMANTIC_PNG = "semantic_png"
TWO_CHANNEL_ARRAY = "two_channel_numpy_array"
# Instance numbers above the limit of one format fit into the next.
_INSTANCE_LIMITS = {
    "two_channel_png": 255,
    "three_channel_png": 65535,
    TWO_CHANNEL_ARRAY: 2**31 - 1,
}
FORMATS = (COCO_PANOPTIC, CITYSCAPES, *_INSTANCE_LIMITS, SEMANTIC_PNG)
_LARGEST_CLASS = 255

SEMANTIC_FOLDER = "raw_semantic"
PANOPTIC_FOLDER = "raw_panoptic"
INSTANCE_FOLDER = "raw_instance"
MASK_FOLDER = "instance_masks"


class Submission(Protocol):
    """Writes predictions, image by image."""

    def add(
        self,
        *,
        name: str,
        panoptic: np.ndarray,
        semantic: np.ndarray,
        scores: Mapping[int, float],
    ) -> None:
        """Writes one image.

        Args:
          name: of the image, without suffix.
          panoptic: int [H, W], panoptic ids.
          semantic: int [H, W], class ids.
          scores: panoptic id of each thing segment -> its score.

        Raises:
          ValueError: the format cannot hold a number or the name, or `name` was added before.
        """
        ...


def require_format(save_format: str, info: DatasetInfo) -> None:
    """Raises ValueError where a format is unknown or cannot hold the classes of a data set."""
    if save_format not in FORMATS:
        raise ValueError(
            f"`save_format` must be one of {', '.join(FORMATS)}; received {save_format!r}."
        )
    largest = max(*info.original_ids, void_evaluation_id(info))
    if save_format not in (COCO_PANOPTIC, TWO_CHANNEL_ARRAY) and largest > _LARGEST_CLASS:
        raise ValueError(
            f"`save_format` {save_format} holds class ids up to {_LARGEST_CLASS}, the data set has "
            f"{largest}; {TWO_CHANNEL_ARRAY} holds it."
        )


def open_submission(save_format: str, folder: PathLike, info: DatasetInfo) -> Submission:
    """Makes the writer of a format.

    Args:
      save_format: one of `FORMATS`, but for COCO panoptic, whose writer is `CocoPanopticWriter`.
      folder: gets the folders of the format.
      info: classes of the data set.

    Raises:
      ValueError: the format is unknown or cannot hold the classes.
    """
    require_format(save_format, info)
    if save_format == CITYSCAPES:
        return CityscapesSubmission(folder, info)
    if save_format == SEMANTIC_PNG:
        return SemanticPngs(folder, info)
    if save_format in _INSTANCE_LIMITS:
        return PanopticChannels(folder, info, save_format=save_format)
    raise ValueError(f"`save_format` {save_format} is written by `CocoPanopticWriter`.")


def void_evaluation_id(info: DatasetInfo) -> int:
    """The id that stands for void beside the `original_ids`: 0, 255 or one above all."""
    for candidate in (0, 255):
        if candidate not in info.original_ids:
            return candidate
    return max(info.original_ids) + 1


def evaluation_ids(class_ids: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Class ids of any shape to evaluation ids, int32; what is no class becomes void."""
    largest = max(info.class_ids)
    table = np.full(largest + 2, void_evaluation_id(info), np.int32)
    table[list(info.class_ids)] = info.original_ids
    # The last entry of the table, which is void, stands for all other numbers.
    known = (class_ids >= 0) & (class_ids <= largest)
    return table[np.where(known, class_ids, largest + 1)]


class SemanticPngs:
    """`raw_semantic/<name>.png`: one grey channel, evaluation ids.

    Args:
      folder: gets `raw_semantic`.
      info: classes of the data set.
    """

    def __init__(self, folder: PathLike, info: DatasetInfo) -> None:
        self.info = info
        self._folder = pathlib.Path(folder) / SEMANTIC_FOLDER
        self._names = _Names()

    def add(
        self,
        *,
        name: str,
        panoptic: np.ndarray,
        semantic: np.ndarray,
        scores: Mapping[int, float],
    ) -> None:
        """Writes one image (`Submission.add`)."""
        self._names.add(name)
        _write_png(self._folder / f"{name}.png", evaluation_ids(semantic, self.info))


class PanopticChannels:
    """`raw_panoptic/<name>.png` or `.npy`: a channel of evaluation ids and one of instance numbers.

    `two_channel_png` holds R = class, G = instance, B = 0; `three_channel_png` G = instance // 256,
    B = instance % 256; `two_channel_numpy_array` is int32 [H, W, 2]. Instance 0 is stuff or void.

    Args:
      folder: gets `raw_panoptic`.
      info: classes of the data set.
      save_format: one of the three.
    """

    def __init__(self, folder: PathLike, info: DatasetInfo, *, save_format: str) -> None:
        self.info = info
        self.save_format = save_format
        self._folder = pathlib.Path(folder) / PANOPTIC_FOLDER
        self._names = _Names()

    def add(
        self,
        *,
        name: str,
        panoptic: np.ndarray,
        semantic: np.ndarray,
        scores: Mapping[int, float],
    ) -> None:
        """Writes one image (`Submission.add`)."""
        self._names.add(name)
        divisor = self.info.label_divisor
        classes = evaluation_ids(labels.class_of(panoptic, divisor), self.info)
        instances = labels.instance_of(panoptic, divisor).astype(np.int32)
        self._require_room(int(instances.max(initial=0)), name)
        if self.save_format == TWO_CHANNEL_ARRAY:
            _write_array(self._folder / f"{name}.npy", np.stack([classes, instances], axis=-1))
            return
        if self.save_format == "two_channel_png":
            channels = [classes, instances, np.zeros_like(classes)]
        else:
            channels = [classes, instances // 256, instances % 256]
        _write_png(self._folder / f"{name}.png", np.stack(channels, axis=-1))

    def _require_room(self, instance: int, name: str) -> None:
        limit = _INSTANCE_LIMITS[self.save_format]
        if instance > limit:
            fits = next(f for f, largest in _INSTANCE_LIMITS.items() if instance <= largest)
            raise ValueError(
                f"`save_format` {self.save_format} holds instance numbers up to {limit}; received "
                f"{instance} in {name!r}, which {fits} holds."
            )


class CityscapesSubmission:
    """The results that Cityscapes' server and its evaluation scripts read, with label ids.

    `raw_semantic/<name>.png` for the pixel-level task. For the instance-level task,
    `raw_instance/<name>.txt` with a line `<mask> <label id> <score>` per thing segment, and the
    masks, 255 inside and 0 outside, at that path relative to the text file. The two tasks have
    folders of their own because the scripts search theirs for every PNG of an image.

    Args:
      folder: gets `raw_semantic` and `raw_instance`.
      info: classes of the data set.
    """

    def __init__(self, folder: PathLike, info: DatasetInfo) -> None:
        self.info = info
        self._semantic = SemanticPngs(folder, info)
        self._folder = pathlib.Path(folder) / INSTANCE_FOLDER

    def add(
        self,
        *,
        name: str,
        panoptic: np.ndarray,
        semantic: np.ndarray,
        scores: Mapping[int, float],
    ) -> None:
        """Writes one image (`Submission.add`)."""
        if name.split() != [name]:
            raise ValueError(
                f"`save_format` {CITYSCAPES} separates by spaces, so an image name must have "
                f"none; received {name!r}."
            )
        self._semantic.add(name=name, panoptic=panoptic, semantic=semantic, scores=scores)
        label_ids: Dict[int, int] = dict(zip(self.info.class_ids, self.info.original_ids))
        lines = []
        for segment_id, score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
            label_id = label_ids[labels.class_of(segment_id, self.info.label_divisor)]
            instance = labels.instance_of(segment_id, self.info.label_divisor)
            mask = f"{MASK_FOLDER}/{name}_class_{label_id}_instance_{instance}.png"
            _write_png(self._folder / mask, np.where(panoptic == segment_id, 255, 0))
            lines.append(f"{mask} {label_id} {score:.6f}\n")
        # Last: where this file is, its masks are.
        text = "".join(lines)
        write_atomically(
            self._folder / f"{name}.txt", lambda path: path.write_text(text, encoding="utf-8")
        )


class _Names:
    """The names of the images so far; each is a file name, and none may come twice."""

    def __init__(self) -> None:
        self._names: Set[str] = set()

    def add(self, name: str) -> None:
        require_file_name(name, what="`name` of an image")
        if name in self._names:
            raise ValueError(f"`name` must be another for each image; received {name!r} again.")
        self._names.add(name)


def _write_png(path: Union[str, pathlib.Path], values: np.ndarray) -> None:
    """Writes [H, W] or [H, W, 3], whose values were found to fit into bytes."""
    image = Image.fromarray(values.astype(np.uint8))
    write_atomically(path, lambda temporary: image.save(temporary, "PNG"))


def _write_array(path: pathlib.Path, values: np.ndarray) -> None:
    def write(temporary: pathlib.Path) -> None:
        with temporary.open("wb") as file:  # Given a path, NumPy would add a suffix.
            np.save(file, values)

    write_atomically(path, write)
