"""Ground truth in COCO panoptic format, looked up by the name of an image file."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Dict, Optional, Union

import numpy as np

from kmax_tf.results.coco_panoptic import coco_to_panoptic, read_coco_panoptic, read_ids
from kmax_tf.safe_paths import path_inside
from kmax_tf.structures import DatasetInfo


class GroundTruth:
    """Panoptic maps of the images of a data set.

    Args:
      path: JSON in COCO panoptic format; the PNGs lie in the folder of the same name without
        `.json`.
      info: classes, whose `original_ids` are the categories of the JSON.

    Raises:
      ValueError: the JSON cannot be read, or has no list of annotations.
    """

    def __init__(self, path: Union[str, os.PathLike], info: DatasetInfo) -> None:
        self._path = pathlib.Path(path)
        self._info = info
        annotations = read_coco_panoptic(path)["annotations"]
        try:
            self._annotations: Dict[str, Any] = {
                pathlib.PurePosixPath(entry["file_name"]).stem: entry for entry in annotations
            }
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"Every annotation of {self._path} needs a `file_name`; received none ({error!r})."
            ) from None

    def find(self, name: str) -> Optional[np.ndarray]:
        """The map of an image.

        Args:
          name: of the image file, without folder and suffix.

        Returns:
          int32 [H, W], panoptic ids; None where there is none of this name.

        Raises:
          ValueError: the PNG cannot be read, or has a category that is none of the classes.
        """
        entry = self._annotations.get(name)
        if entry is None:
            return None
        what = f"`file_name` of an annotation of {self._path}"
        png = path_inside(self._path.with_suffix(""), entry["file_name"], what=what)
        return coco_to_panoptic(read_ids(png), entry.get("segments_info", []), self._info)
