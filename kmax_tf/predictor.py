"""One image or many in, panoptic results out."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Union, overload

import numpy as np
import tensorflow as tf
from PIL import Image

from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.image_files import ImageSource, read_image
from kmax_tf.finite import require_finite
from kmax_tf.results.coco_panoptic import CocoPanopticWriter
from kmax_tf.results.overlay import draw_overlay
from kmax_tf.results.segments import Segment, find_segments
from kmax_tf.safe_paths import require_file_name
from kmax_tf.structures import DatasetInfo

if TYPE_CHECKING:
    from protos.experiment_pb2 import ExperimentOptions


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

    def overlay(self, *, show_scores: bool = False) -> Image.Image:
        """The image with coloured segments, outlines and class names; small images are enlarged."""
        picture = draw_overlay(
            self.image, self.panoptic, self.info, self.segments, show_scores=show_scores
        )
        return Image.fromarray(picture)

    def save(self, folder: Union[str, os.PathLike]) -> None:
        """Writes `<name>_overlay.png`, `<name>_panoptic.png` and `<name>_panoptic.json` (COCO)."""
        folder = pathlib.Path(folder)
        json_path = folder / f"{self.name}_panoptic.json"
        with CocoPanopticWriter(folder, self.info, json_path=json_path) as writer:
            self.write(writer)

    def write(
        self,
        writer: CocoPanopticWriter,
        *,
        name: Optional[str] = None,
        image_file: Optional[str] = None,
    ) -> None:
        """Writes the two PNGs into the folder of `writer`, and adds the image to its JSON.

        Args:
          writer: of the results of several images.
          name: instead of `self.name`, to tell files of the same name apart.
          image_file: name of the image file in the JSON.

        Raises:
          ValueError: the name is no file name, or was written before.
        """
        name = require_file_name(name or self.name, what="`name` of an image")
        self.overlay().save(writer.folder / f"{name}_overlay.png")
        writer.add(
            self.panoptic,
            name=f"{name}_panoptic",
            # COCO names its files by the zero-padded id.
            image_id=int(name) if name.isdecimal() else name,
            segments=self.segments,
            image_file=image_file or name,
        )


class Predictor:
    """Runs a model on images of any size.

    Usage:
      predictor = Predictor(config, checkpoint="runs/coco_kmax_r50")
      result = predictor("street.jpg")
      result.overlay().save("street_overlay.png")

    Args:
      config: experiment config, with `checkpoint` or `model`.
      checkpoint: prefix, or a run folder, which means its latest.
      saved_model: version folder that `kmax export` wrote, or the folder of its versions, which
        means the newest; needs no config.
      model: a model built from `config`, run with the weights that it has.

    Raises:
      ValueError: not exactly one of `checkpoint`, `saved_model` and `model` is given, a config is
        missing, or a file cannot be read.
    """

    def __init__(
        self,
        config: Optional[ExperimentOptions] = None,
        *,
        checkpoint: Optional[Union[str, os.PathLike]] = None,
        saved_model: Optional[Union[str, os.PathLike]] = None,
        model: Optional[tf.keras.Model] = None,
    ) -> None:
        given = {"checkpoint": checkpoint, "saved_model": saved_model, "model": model}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            raise ValueError(
                "`Predictor` needs one of `checkpoint`, `saved_model` and `model`; received "
                f"{' and '.join(names) or 'none'}."
            )
        if saved_model is not None:
            # Kept because a signature alone does not hold the variables of its SavedModel.
            self.info, self._saved_model = _load_saved_model(saved_model)
            self._run = self._saved_model.signatures["image_tensor"]
        elif config is None:
            raise ValueError(f"`Predictor` needs a `config` beside `{names[0]}`; received None.")
        else:
            self.info, self._run = _build(config, checkpoint, model)

    @overload
    def __call__(self, image: ImageSource) -> PanopticResult: ...

    @overload
    def __call__(self, image: List[ImageSource]) -> List[PanopticResult]: ...

    def __call__(
        self, image: Union[ImageSource, List[ImageSource]]
    ) -> Union[PanopticResult, List[PanopticResult]]:
        """Finds the segments of an image, or of each image of a list.

        Args:
          image: a path, the bytes of a file, a PIL image, or uint8 [H, W, 3]; or a list of those.
            EXIF rotation is applied.

        Returns:
          One result, or a list of them for a list.

        Raises:
          ValueError: an image is missing or cannot be read.
          NonFinitePredictionError: the model's logits are not finite.
        """
        if isinstance(image, list):
            return [self._predict(each) for each in image]
        return self._predict(image)

    def _predict(self, source: ImageSource) -> PanopticResult:
        image = read_image(source)
        outputs = self._run(image=tf.constant(image[np.newaxis]))
        is_file = isinstance(source, (str, os.PathLike))
        require_finite(outputs["segment_score"], [os.fspath(source) if is_file else "image"])
        found = {name: value[0].numpy() for name, value in outputs.items()}
        return PanopticResult(
            name=pathlib.Path(source).stem if is_file else "image",
            image=image,
            panoptic=found["panoptic"],
            semantic=found["semantic"],
            segments=tuple(find_segments(found, self.info)),
            info=self.info,
        )


Run = Callable[..., Dict[str, tf.Tensor]]


def _build(
    config: ExperimentOptions,
    checkpoint: Optional[Union[str, os.PathLike]],
    model: Optional[tf.keras.Model],
) -> Tuple[DatasetInfo, Run]:
    # Building a model needs far more of the library than running a SavedModel.
    from kmax_tf.build.inference import build_inference
    from kmax_tf.export.serving import Serving

    inference = build_inference(config, checkpoint=checkpoint, model=model)
    serving = Serving(inference.network, prepare=inference.prepare, input_size=inference.input_size)
    return inference.info, serving.from_tensor


def _load_saved_model(folder: Union[str, os.PathLike]) -> Tuple[DatasetInfo, Any]:
    path = pathlib.Path(folder)
    if path.is_dir() and not (path / "saved_model.pb").exists():
        versions = [p for p in path.iterdir() if p.name.isdigit()]
        path = max(versions, key=lambda p: int(p.name), default=path)
    labels = path / "assets" / "labels.json"
    if not (path / "saved_model.pb").exists() or not labels.exists():
        raise ValueError(
            f"`saved_model` must be a folder that `kmax export` wrote (with saved_model.pb and "
            f"assets/labels.json); received {os.fspath(folder)!r}."
        )
    return load_dataset_info(str(labels)), tf.saved_model.load(str(path))
