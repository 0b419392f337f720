"""One image or many in, panoptic results out."""

from __future__ import annotations

import itertools
import os
import pathlib
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
    overload,
)

import numpy as np
import tensorflow as tf
from PIL import Image

from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.data.image_files import ImageSource, find_images, read_image
from kmax_tf.data.video_files import VideoFile
from kmax_tf.finite import require_finite
from kmax_tf.image_batches import RunBatch, batches_of_model, batches_of_saved_model
from kmax_tf.results.explanation import Evidence, Explanation, explain_result
from kmax_tf.results.panoptic_result import PanopticResult
from kmax_tf.results.segments import find_segments
from kmax_tf.results.tiles import cut_tiles, merge_tiles
from kmax_tf.saved_models import load_saved_model
from kmax_tf.structures import DatasetInfo

if TYPE_CHECKING:
    from protos.experiment_pb2 import ExperimentOptions

__all__ = ["PanopticResult", "Predictor"]

TileSize = Union[int, Sequence[int]]
Unreadable = Callable[[ImageSource, ValueError], None]

_SMALLEST_TILE = 16


class Predictor:
    """Runs a model on images of any size.

    Usage:
      predictor = Predictor(config, checkpoint="runs/coco_kmax_r50")
      result = predictor("street.jpg")
      result.overlay().save("street_overlay.png")

    Precision and XLA are those of the config. One predictor may be called from several threads.

    Args:
      config: experiment config, with `checkpoint` or `model`.
      checkpoint: prefix, or a run folder, which means its latest.
      saved_model: version folder that `kmax export` wrote, or the folder of its versions, which
        means the newest; needs no config.
      model: a model built from `config`, run with the weights that it has.
      raw_weights: of `checkpoint`, see `load_checkpoint`.

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
        raw_weights: bool = False,
    ) -> None:
        given = {"checkpoint": checkpoint, "saved_model": saved_model, "model": model}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            raise ValueError(
                "`Predictor` needs one of `checkpoint`, `saved_model` and `model`; received "
                f"{' and '.join(names) or 'none'}."
            )
        if saved_model is not None:
            self.info, loaded = _load_saved_model(saved_model)
            self._run = batches_of_saved_model(loaded)
            self._explain = None
        elif config is None:
            raise ValueError(f"`Predictor` needs a `config` beside `{names[0]}`; received None.")
        else:
            self.info, self._run, self._explain = _build(config, checkpoint, model, raw_weights)

    @overload
    def __call__(
        self,
        image: ImageSource,
        *,
        tile: Optional[TileSize] = None,
        tile_overlap: Optional[int] = None,
        batch_size: int = 1,
    ) -> PanopticResult: ...

    @overload
    def __call__(
        self,
        image: Union[List[ImageSource], Tuple[ImageSource, ...]],
        *,
        tile: Optional[TileSize] = None,
        tile_overlap: Optional[int] = None,
        batch_size: int = 1,
    ) -> List[PanopticResult]: ...

    def __call__(
        self,
        image: Union[ImageSource, Sequence[ImageSource]],
        *,
        tile: Optional[TileSize] = None,
        tile_overlap: Optional[int] = None,
        batch_size: int = 1,
    ) -> Union[PanopticResult, List[PanopticResult]]:
        """Finds the segments of an image, or of each image of a list.

        Args:
          image: a path, the bytes of a file, a PIL image, or uint8 [H, W, 3]; or a list of those.
            EXIF rotation is applied.
          tile: side, or height and width, in pixels of the image: a larger image is not reduced to
            the network's input as a whole, but in overlapping tiles of this size, whose segments
            are joined (`kmax_tf.results.tiles`). For the finest detail, the network's input size.
          tile_overlap: the fewest pixels that two tiles share; by default a quarter of the shorter
            side. The things that are to be joined should be recognisable in it.
          batch_size: how many images of a list, or tiles, go through the network together.

        Returns:
          One result, or a list of them for a list or tuple.

        Raises:
          ValueError: an image is missing or cannot be read, or an option does not fit.
          NonFinitePredictionError: the model's logits are not finite.
        """
        options = {"tile": tile, "tile_overlap": tile_overlap, "batch_size": batch_size}
        if isinstance(image, (list, tuple)):
            return [result for _, result in self.stream(image, **options)]
        pixels = read_image(image)
        return self._predict([pixels], [_name(image)], _Options.check(**options))[0]

    def stream(
        self,
        sources: Union[ImageSource, Iterable[ImageSource]],
        *,
        tile: Optional[TileSize] = None,
        tile_overlap: Optional[int] = None,
        batch_size: int = 1,
        on_unreadable: Optional[Unreadable] = None,
    ) -> Iterator[Tuple[ImageSource, PanopticResult]]:
        """Predicts any number of images, one batch after the other.

        Args:
          sources: as a single call takes them, or one of them; a folder stands for the images in
            it.
          tile: as in a call.
          tile_overlap: as in a call.
          batch_size: as in a call.
          on_unreadable: called with an image that cannot be read and the error, and the others go
            on; None = the error is raised.

        Yields:
          Each image as it was given, and its result, in order.

        Raises:
          ValueError: as in a call.
          NonFinitePredictionError: as in a call.
        """
        options = _Options.check(tile=tile, tile_overlap=tile_overlap, batch_size=batch_size)
        if isinstance(sources, (str, os.PathLike, bytes, np.ndarray, Image.Image)):
            sources = [sources]  # Its letters, bytes or rows are no images.
        for chunk in _chunks(_expand(sources), options.batch_size):
            readable = []
            for source in chunk:
                try:
                    readable.append((source, read_image(source)))
                except ValueError as error:
                    if on_unreadable is None:
                        raise
                    on_unreadable(source, error)
            images = [image for _, image in readable]
            results = self._predict(images, [_name(source) for source, _ in readable], options)
            yield from zip([source for source, _ in readable], results)

    def video(
        self,
        video: Union[str, os.PathLike, VideoFile],
        *,
        tile: Optional[TileSize] = None,
        tile_overlap: Optional[int] = None,
        batch_size: int = 1,
    ) -> Iterator[PanopticResult]:
        """Predicts the frames of a video, each on its own.

        Args:
          video: path of a file that OpenCV reads, or an open one.
          tile: as in a call.
          tile_overlap: as in a call.
          batch_size: how many frames, or tiles, go through the network together.

        Yields:
          One result per frame, called `<name of the file>_<number from 1>`.

        Raises:
          ValueError: the file is missing or no video, or an option does not fit.
          NonFinitePredictionError: as in a call.
        """
        options = _Options.check(tile=tile, tile_overlap=tile_overlap, batch_size=batch_size)
        if not isinstance(video, VideoFile):
            with VideoFile(video) as opened:
                yield from self._frames(opened, options)
        else:
            yield from self._frames(video, options)

    def explain(self, image: ImageSource) -> Explanation:
        """Predicts an image, and keeps what every slot did on the way.

        Args:
          image: as in a call.

        Returns:
          The result, the clusters after every decoder layer, and why slots were dropped;
          `kmax_tf.results.explain_sheet.draw_explain_sheet` draws it.

        Raises:
          ValueError: as in a call; or a SavedModel is used, which gives results alone; or the
            config asks for several passes.
          NonFinitePredictionError: as in a call.
        """
        if self._explain is None:
            raise ValueError(
                "Explanations need a `config` with `checkpoint` or `model`; received a "
                "`saved_model`, which gives results alone."
            )
        pixels, name = read_image(image), _name(image)
        found, evidence = self._explain(pixels)
        require_finite(evidence.decisions.score[np.newaxis], [name])
        return explain_result(self._result(name, pixels, found), evidence)

    def _frames(self, video: VideoFile, options: _Options) -> Iterator[PanopticResult]:
        for chunk in _chunks(enumerate(video, start=1), options.batch_size):
            names = [f"{video.path.stem}_{number:06d}" for number, _ in chunk]
            yield from self._predict([frame for _, frame in chunk], names, options)

    def _predict(
        self, images: Sequence[np.ndarray], names: Sequence[str], options: _Options
    ) -> List[PanopticResult]:
        """The results of images uint8 [H_i, W_i, 3]; `names` may be paths."""
        if options.tile is None:
            everything = self._run_checked(images, names) if images else []
        else:
            everything = [self._find_in_tiles(*each, options) for each in zip(images, names)]
        return [self._result(*each) for each in zip(names, images, everything)]

    def _result(self, name: str, image: np.ndarray, found: Dict[str, np.ndarray]) -> PanopticResult:
        return PanopticResult(
            name=pathlib.Path(name).stem,
            image=image,
            panoptic=found["panoptic"],
            semantic=found["semantic"],
            segments=tuple(find_segments(found, self.info)),
            info=self.info,
        )

    def _find_in_tiles(
        self, image: np.ndarray, name: str, options: _Options
    ) -> Dict[str, np.ndarray]:
        tiles = cut_tiles(image.shape[:2], tile=options.tile, overlap=options.overlap)
        found = []
        for chunk in _chunks(tiles, options.batch_size):
            found += self._run_checked([tile.cut(image) for tile in chunk], [name] * len(chunk))
        return found[0] if len(tiles) == 1 else merge_tiles(tiles, found, self.info)

    def _run_checked(
        self, images: Sequence[np.ndarray], names: Sequence[str]
    ) -> List[Dict[str, np.ndarray]]:
        everything = self._run(images)
        require_finite(np.stack([found["segment_score"] for found in everything]), names)
        return everything


class _Options(NamedTuple):
    """The options of a call, checked.

    Attributes:
      batch_size: images or tiles that go through the network together.
      tile: height and width, or None.
      overlap: of tiles.
    """

    batch_size: int
    tile: Optional[Tuple[int, int]]
    overlap: int

    @classmethod
    def check(
        cls, *, tile: Optional[TileSize], tile_overlap: Optional[int], batch_size: int
    ) -> _Options:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1; received {batch_size}.")
        if tile is None:
            if tile_overlap is not None:
                raise ValueError(
                    f"`tile_overlap` needs `tile`, the size of the tiles; received {tile_overlap} "
                    "alone."
                )
            return cls(batch_size, None, 0)
        sides = (tile, tile) if isinstance(tile, int) else tuple(tile)
        if len(sides) != 2 or min(sides) < _SMALLEST_TILE:
            raise ValueError(
                f"`tile` must be a height and a width of at least {_SMALLEST_TILE} pixels; "
                f"received {tile}."
            )
        overlap = min(sides) // 4 if tile_overlap is None else tile_overlap
        cut_tiles(sides, tile=sides, overlap=overlap)  # Before anything is predicted.
        return cls(batch_size, (sides[0], sides[1]), overlap)


def _name(source: ImageSource) -> str:
    """A path, or `image` for what is no file."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else "image"


def _expand(sources: Iterable[ImageSource]) -> Iterator[ImageSource]:
    """The sources, with folders replaced by the images in them."""
    for source in sources:
        if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
            yield from find_images([source])
        else:
            yield source


def _chunks(items: Iterable[Any], size: int) -> Iterator[List[Any]]:
    """Lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _build(
    config: ExperimentOptions,
    checkpoint: Optional[Union[str, os.PathLike]],
    model: Optional[tf.keras.Model],
    raw_weights: bool,
) -> Tuple[DatasetInfo, RunBatch, Callable[[np.ndarray], Tuple[Dict[str, np.ndarray], Evidence]]]:
    # Building a model needs far more of the library than running a SavedModel.
    from kmax_tf.build.explanation import build_explain
    from kmax_tf.build.inference import build_inference

    inference = build_inference(config, checkpoint=checkpoint, model=model, raw_weights=raw_weights)
    jit_compile = True if config.trainer_options.use_xla else None
    run = batches_of_model(inference, jit_compile=jit_compile)
    return inference.info, run, build_explain(config, inference, inference.model)


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
    return load_dataset_info(str(labels)), load_saved_model(path)
