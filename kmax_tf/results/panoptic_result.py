"""What was found in one image, as maps, as segments, as pictures and as COCO files."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image

from kmax_tf.results.coco_panoptic import CocoPanopticWriter, panoptic_to_coco
from kmax_tf.results.overlay import draw_comparison, draw_overlay
from kmax_tf.results.picture_kinds import draw_instances, draw_outlines, draw_semantic
from kmax_tf.results.run_length import encode_mask
from kmax_tf.results.segments import Segment
from kmax_tf.safe_paths import require_file_name
from kmax_tf.structures import DatasetInfo


@dataclasses.dataclass(frozen=True, eq=False)
class PanopticResult:
    """What was found in one image.

    Attributes:
      name: of the image file, without folder and suffix; `image` for what is no file.
      image: uint8 [H, W, 3], upright.
      panoptic: int32 [H, W], `class * label_divisor + instance`; void is `info.void_panoptic`.
      semantic: int32 [H, W], class of each pixel without any threshold, never void.
      segments: the segments of `panoptic`, the largest first.
      info: classes.
    """

    name: str
    image: np.ndarray
    panoptic: np.ndarray
    semantic: np.ndarray
    segments: Tuple[Segment, ...]
    info: DatasetInfo

    def picture(self, kind: str) -> Image.Image:
        """A picture of the result; small images are enlarged.

        Args:
          kind: one of `PICTURES`: `overlay` (coloured segments, outlines, names), `outline` (the
            image with outlines and names), `semantic` (the class of every pixel, void included) or
            `instance` (each thing in a colour of its own, numbered).

        Raises:
          ValueError: there is no such kind.
        """
        require_picture_kinds([kind])
        return Image.fromarray(PICTURES[kind](self))

    def overlay(self, *, show_scores: bool = False) -> Image.Image:
        """The image with coloured segments, outlines and class names; small images are enlarged."""
        picture = draw_overlay(
            self.image, self.panoptic, self.info, self.segments, show_scores=show_scores
        )
        return Image.fromarray(picture)

    def comparison(self, ground_truth: np.ndarray) -> Image.Image:
        """Image, ground truth (int [H, W], panoptic ids) and prediction side by side."""
        return Image.fromarray(
            draw_comparison(self.image, ground_truth, self.panoptic, self.info, self.segments)
        )

    def mask(self, segment: Segment) -> np.ndarray:
        """The pixels of one of `segments`, bool [H, W]."""
        return self.panoptic == segment.segment_id

    def rle(self, segment: Segment) -> Dict[str, Any]:
        """The pixels of one of `segments` as compressed run lengths, see `encode_mask`."""
        return encode_mask(self.mask(segment))

    def to_coco(
        self, *, image_id: Optional[Union[int, str]] = None, file_name: Optional[str] = None
    ) -> Dict[str, Any]:
        """The result as COCO's tools take it, ready for JSON.

        Args:
          image_id: of the image in the data set; by default the name, as a number where it is one.
          file_name: of the panoptic PNG; by default `<name>_panoptic.png`, which `save` writes.

        Returns:
          `image_id`, `file_name` and `segments_info` of a panoptic annotation (ids as in the PNG
          that `save` writes); and results with run-length masks as for detection: `instances`, one
          entry per thing, and `stuff`, one per class (`image_id`, `category_id`, `segmentation`,
          `bbox`, `area`, and `score` where there is one).
        """
        image_id = image_id_of(self.name) if image_id is None else image_id
        _, segments_info = panoptic_to_coco(self.panoptic, self.info, self.segments)
        masks: Dict[bool, List[Dict[str, Any]]] = {True: [], False: []}
        for segment, entry in zip(self.segments, segments_info):
            known = {key: entry[key] for key in ("bbox", "area", "score") if key in entry}
            masks[segment.is_thing].append(
                {
                    "image_id": image_id,
                    "category_id": entry["category_id"],
                    "segmentation": self.rle(segment),
                    **known,
                }
            )
        return {
            "image_id": image_id,
            "file_name": file_name or f"{self.name}_panoptic.png",
            "segments_info": segments_info,
            "instances": masks[True],
            "stuff": masks[False],
        }

    def save(
        self, folder: Union[str, os.PathLike], *, pictures: Sequence[str] = ("overlay",)
    ) -> None:
        """Writes `<name>_panoptic.png` and `<name>_panoptic.json` (COCO), and pictures.

        Args:
          folder: made where it is missing.
          pictures: kinds, see `picture`; each becomes `<name>_<kind>.png`.

        Raises:
          ValueError: there is no such kind of picture.
        """
        require_picture_kinds(pictures)
        folder = pathlib.Path(folder)
        json_path = folder / f"{self.name}_panoptic.json"
        with CocoPanopticWriter(folder, self.info, json_path=json_path) as writer:
            self.write(writer, pictures=pictures)

    def write(
        self,
        writer: CocoPanopticWriter,
        *,
        name: Optional[str] = None,
        image_file: Optional[str] = None,
        pictures: Sequence[str] = ("overlay",),
    ) -> None:
        """Writes the PNGs into the folder of `writer`, and adds the image to its JSON.

        Args:
          writer: of the results of several images.
          name: instead of `self.name`, to tell files of the same name apart.
          image_file: name of the image file in the JSON.
          pictures: kinds, see `picture`.

        Raises:
          ValueError: the name is no file name, or was written before.
        """
        name = require_file_name(name or self.name, what="`name` of an image")
        for kind in pictures:
            self.picture(kind).save(writer.folder / f"{name}_{kind}.png")
        writer.add(
            self.panoptic,
            name=f"{name}_panoptic",
            image_id=image_id_of(name),
            segments=self.segments,
            image_file=image_file or name,
        )


def image_id_of(name: str) -> Union[int, str]:
    """The id of an image called `name`: COCO names its files by the zero-padded id."""
    return int(name) if name.isdecimal() else name


def require_picture_kinds(kinds: Sequence[str], *, field: str = "pictures") -> None:
    """Raises ValueError, naming `field`, where one of the kinds of pictures is unknown."""
    unknown = [kind for kind in kinds if kind not in PICTURES]
    if unknown:
        raise ValueError(
            f"`{field}` must be some of {', '.join(PICTURES)}; received {', '.join(unknown)}."
        )


PICTURES: Dict[str, Callable[[PanopticResult], np.ndarray]] = {
    "overlay": lambda made: draw_overlay(made.image, made.panoptic, made.info, made.segments),
    "outline": lambda made: draw_outlines(made.image, made.panoptic, made.info, made.segments),
    "semantic": lambda made: draw_semantic(made.image, made.semantic, made.info),
    "instance": lambda made: draw_instances(made.image, made.panoptic, made.info, made.segments),
}
"""Kind -> what draws it, uint8 [h, w, 3]."""
