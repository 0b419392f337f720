"""COCO panoptic files: a PNG of segment ids per image, and one JSON for all images.

A segment id is `R + 256 * G + 65536 * B`, 0 is void; classes are the data set's own category ids.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

import numpy as np
from PIL import Image

from kmax_tf import labels
from kmax_tf.image_limits import READ_ERRORS, open_image, read_image_bytes
from kmax_tf.json_files import MAX_ANNOTATION_BYTES, read_json
from kmax_tf.results.atomic_files import write_atomically
from kmax_tf.results.segments import Segment, find_segments
from kmax_tf.safe_paths import require_file_name
from kmax_tf.structures import DatasetInfo

PathLike = Union[str, "os.PathLike[str]"]
_LARGEST_ID = 2**24


def encode_ids(segment_ids: np.ndarray) -> np.ndarray:
    """Segment ids int [H, W] to uint8 [H, W, 3].

    Raises:
      ValueError: an id does not fit into three bytes.
    """
    ids = np.asarray(segment_ids)
    if ids.size and not (ids.min() >= 0 and ids.max() < _LARGEST_ID):
        raise ValueError(
            f"`segment_ids` must lie in 0..{_LARGEST_ID - 1}; received {int(ids.min())}.."
            f"{int(ids.max())}."
        )
    return np.stack([ids & 255, (ids >> 8) & 255, (ids >> 16) & 255], axis=-1).astype(np.uint8)


def decode_ids(colors: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] to segment ids int32 [H, W]."""
    colors = np.asarray(colors).astype(np.int32)
    return colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]


def read_ids(path: PathLike) -> np.ndarray:
    """Segment ids int32 [H, W] of a PNG file.

    Raises:
      ValueError: the file is missing, damaged or too large, or no RGB image.
    """
    try:
        with open_image(read_image_bytes(path)) as image:
            mode, pixels = image.mode, np.asarray(image.convert("RGB"))
    except READ_ERRORS as error:
        raise ValueError(f"Panoptic PNG {os.fspath(path)} cannot be read: {error}.") from error
    if mode not in ("RGB", "RGBA"):
        raise ValueError(f"A panoptic PNG must be RGB; received mode {mode} in {os.fspath(path)}.")
    return decode_ids(pixels)


def write_ids(path: PathLike, segment_ids: np.ndarray) -> None:
    """Writes segment ids int [H, W] as PNG; the file appears at once or not at all."""
    image = Image.fromarray(encode_ids(segment_ids))
    write_atomically(path, lambda temporary: image.save(temporary, "PNG"))


def write_json(path: PathLike, content: Any) -> None:
    """Writes JSON; the file appears at once or not at all."""
    text = json.dumps(content, indent=1)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def panoptic_to_coco(
    panoptic: np.ndarray, info: DatasetInfo, segments: Optional[Sequence[Segment]] = None
) -> Tuple[np.ndarray, List[Dict[str, Any]]]:
    """One panoptic map in COCO's form.

    Args:
      panoptic: int [H, W], panoptic ids.
      info: classes of the data set.
      segments: of the map, where they were found already; their scores are written too.

    Returns:
      int32 [H, W] segment ids, 0 = void, and the list `segments_info`. Ids are chosen so that the
      PNG shows the colours of the classes.
    """
    segments = find_segments({"panoptic": panoptic}, info) if segments is None else segments
    values, index = np.unique(panoptic, return_inverse=True)
    table = np.zeros(len(values), np.int32)
    taken: Set[int] = {0}
    segments_info = []
    for segment in segments:
        position = info.class_ids.index(segment.class_id)
        segment_id = _free_id(info.colors[position], taken)
        table[np.searchsorted(values, segment.segment_id)] = segment_id
        entry: Dict[str, Any] = {
            "id": segment_id,
            "category_id": info.original_ids[position],
            "area": segment.area,
            "bbox": list(segment.box),
            "iscrowd": 0,
        }
        if segment.score is not None:
            entry["score"] = round(float(segment.score), 6)
        segments_info.append(entry)
    return table[index].reshape(panoptic.shape), segments_info


def coco_to_panoptic(
    segment_ids: np.ndarray, segments_info: Sequence[Mapping[str, Any]], info: DatasetInfo
) -> np.ndarray:
    """The way back: instances are numbered from 1 per class in the order of `segments_info`.

    Args:
      segment_ids: int [H, W], 0 = void.
      segments_info: entries with `id`, `category_id` and optionally `iscrowd`.
      info: classes of the data set.

    Returns:
      int32 [H, W] panoptic ids; stuff and crowd have instance 0, ids that are not listed are void.

    Raises:
      ValueError: an unknown category, or more instances than the label divisor allows.
    """
    class_of_category = dict(zip(info.original_ids, info.class_ids))
    values, index = np.unique(segment_ids, return_inverse=True)
    table = np.full(len(values), info.void_panoptic, np.int32)
    counts: Dict[int, int] = {}
    for entry in segments_info:
        if entry["category_id"] not in class_of_category:
            raise ValueError(
                f"`category_id` must be one of {sorted(class_of_category)}; received "
                f"{entry['category_id']}."
            )
        class_id = class_of_category[entry["category_id"]]
        instance = 0
        if class_id in info.thing_ids and not entry.get("iscrowd", 0):
            instance = counts[class_id] = counts.get(class_id, 0) + 1
            if instance >= info.label_divisor:
                raise ValueError(
                    f"`segments_info` may hold {info.label_divisor - 1} instances of a class (the "
                    f"label divisor minus 1); received more of class {class_id}."
                )
        place = np.searchsorted(values, entry["id"])
        if place < len(values) and values[place] == entry["id"]:
            table[place] = labels.panoptic_id(class_id, instance, info.label_divisor)
    return table[index].reshape(np.shape(segment_ids))


def read_coco_panoptic(path: PathLike) -> Dict[str, Any]:
    """Reads the JSON of a COCO panoptic result or ground truth.

    Returns:
      Its content; `annotations` is a list with `image_id`, `file_name` and `segments_info`.

    Raises:
      ValueError: no such file, no JSON, or no `annotations`.
    """
    try:
        content = read_json(path, MAX_ANNOTATION_BYTES)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"COCO panoptic JSON {os.fspath(path)} cannot be read: {error}."
        ) from error
    if not isinstance(content, dict) or "annotations" not in content:
        raise ValueError(f"COCO panoptic JSON {os.fspath(path)} has no `annotations`.")
    return content


class CocoPanopticWriter:
    """Writes a result image by image: `<folder>/<name>.png`, at the end `<folder>.json`.

    Usage:
      with CocoPanopticWriter("predictions/coco_val", info) as writer:
          writer.add(panoptic, name="000000000139", image_id=139)

    Args:
      folder: of the PNG files; made where it does not exist.
      info: classes of the data set.
      json_path: `<folder>.json` where it is not given.
    """

    def __init__(
        self, folder: PathLike, info: DatasetInfo, *, json_path: Optional[PathLike] = None
    ) -> None:
        self.folder = pathlib.Path(folder)
        self.info = info
        self.json_path = pathlib.Path(json_path or f"{self.folder}.json")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._images: List[Dict[str, Any]] = []
        self._annotations: List[Dict[str, Any]] = []
        self._names: Set[str] = set()

    def __enter__(self) -> CocoPanopticWriter:
        return self

    def __exit__(self, exception_type: Any, *_: Any) -> None:
        if exception_type is None:
            self.close()

    def add(
        self,
        panoptic: np.ndarray,
        *,
        name: str,
        image_id: Union[int, str],
        segments: Optional[Sequence[Segment]] = None,
        image_file: Optional[str] = None,
    ) -> None:
        """Writes the PNG of one image.

        Args:
          panoptic: int [H, W] at the size of the image file.
          name: of the PNG, without suffix.
          image_id: of the image in the data set.
          segments: of the map, where they were found already.
          image_file: name of the image file, `<name>.jpg` where it is not given.

        Raises:
          ValueError: `name` is no file name, or was added before; its PNG would be overwritten.
        """
        require_file_name(name, what="`name` of an image")
        if name in self._names:
            raise ValueError(f"`name` must be another for each image; received {name!r} again.")
        self._names.add(name)
        segment_ids, segments_info = panoptic_to_coco(panoptic, self.info, segments)
        write_ids(self.folder / f"{name}.png", segment_ids)
        height, width = panoptic.shape
        self._images.append(
            {
                "id": image_id,
                "file_name": image_file or f"{name}.jpg",
                "height": height,
                "width": width,
            }
        )
        self._annotations.append(
            {"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments_info}
        )

    def close(self) -> None:
        """Writes the JSON."""
        rows = zip(self.info.original_ids, self.info.names, self.info.is_thing, self.info.colors)
        categories = [
            {"id": original_id, "name": name, "isthing": int(thing), "color": list(color)}
            for original_id, name, thing, color in rows
        ]
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }
        write_json(self.json_path, content)


def _free_id(color: Sequence[int], taken: Set[int]) -> int:
    """An unused id whose colour is close to `color`; it is added to `taken`."""
    red, green, blue = (int(channel) for channel in color)
    step = 0
    segment_id = red + 256 * green + 65536 * blue
    while segment_id in taken:
        step += 1
        shade = [(c + step * s) % 256 for c, s in zip((red, green, blue), (11, 7, 13))]
        segment_id = shade[0] + 256 * shade[1] + 65536 * shade[2]
        # The steps return to the start after 256 shades; go on with neighbouring ids from there.
        if step > 256:
            segment_id = (segment_id + step) % _LARGEST_ID
    taken.add(segment_id)
    return segment_id
