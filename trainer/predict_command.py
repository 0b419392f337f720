"""`kmax predict`: panoptic pictures, PNGs and JSON of images, folders and videos."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from kmax_tf.build.config import load_config
from kmax_tf.data.video_files import is_video
from kmax_tf.safe_paths import require_local
from trainer.arguments import add_model_arguments, split_list
from trainer.named_images import describe_file, describe_result, unique_names
from trainer.user_errors import INTERRUPTED, USER_ERROR

if TYPE_CHECKING:
    from kmax_tf.predictor import PanopticResult, Predictor
    from kmax_tf.results.coco_panoptic import CocoPanopticWriter
    from kmax_tf.results.explanation import Explanation
    from kmax_tf.results.ground_truth import GroundTruth

PREDICTIONS_JSON = "panoptic.json"
Named = Sequence[Tuple[str, pathlib.Path]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `kmax predict`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE_FOLDER_OR_VIDEO")
    parser.add_argument("--output_dir", required=True, help="gets pictures and panoptic.json")
    add_model_arguments(parser, required=False)
    parser.add_argument(
        "--saved_model", help="folder of `kmax export`, instead of config and checkpoint"
    )
    parser.add_argument(
        "--pictures",
        default="overlay",
        metavar="KIND[,KIND...]",
        help="what is drawn of each image or video: overlay, outline, semantic, instance "
        "(default: overlay)",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="also draw the clusters after every decoder layer, how sure the masks are and why "
        "pixels are void, and list the slots that were dropped",
    )
    parser.add_argument(
        "--ground_truth",
        metavar="JSON",
        help="panoptic JSON of the data set: also draw image, ground truth and prediction side by "
        "side",
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=1,
        metavar="N",
        help="images, frames or tiles that go through the network together (default: 1)",
    )
    parser.add_argument(
        "--tile",
        metavar="SIDE|H,W",
        help="predict larger images in overlapping tiles of this size, and join the segments",
    )
    parser.add_argument(
        "--tile_overlap",
        type=int,
        metavar="PIXELS",
        help="of tiles (default: a quarter of the shorter side)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Predicts all images and videos; returns 2 when one of them could not be read.

    Raises:
      ValueError: an image or a model is missing, flags do not fit, or no image could be read.
      NonFinitePredictionError: the model's logits are not finite.
    """
    _check_model(arguments)
    require_local(arguments.output_dir, what="`--output_dir`")

    from kmax_tf.data.image_files import find_images
    from kmax_tf.results.panoptic_result import require_picture_kinds

    pictures = split_list(arguments.pictures)
    require_picture_kinds(pictures, field="--pictures")
    options = _network_options(arguments)
    folder = pathlib.Path(arguments.output_dir)
    if folder.resolve() in [pathlib.Path(path).resolve() for path in arguments.images]:
        raise ValueError(
            f"`--output_dir` {folder} must be another folder than that of the images: the pictures "
            "would be images of the next run."
        )
    videos = [pathlib.Path(path) for path in arguments.images if is_video(path)]
    others = [path for path in arguments.images if not is_video(path)]
    named = unique_names([*find_images(others), *videos])
    predictor = _make_predictor(arguments)
    images = [each for each in named if not is_video(each[1])]
    code = 0
    if images:
        code = _predict_images(images, predictor, arguments, options)
    if videos and code != INTERRUPTED:
        from trainer.predict_video import predict_videos

        clips = [each for each in named if is_video(each[1])]
        after = predict_videos(clips, predictor, folder=folder, pictures=pictures, options=options)
        code = after or code
    return code


def _predict_images(
    named: Named, predictor: Predictor, arguments: argparse.Namespace, options: Dict[str, Any]
) -> int:
    from kmax_tf.results.coco_panoptic import CocoPanopticWriter
    from kmax_tf.results.ground_truth import GroundTruth

    folder = pathlib.Path(arguments.output_dir)
    truth = None
    if arguments.ground_truth:
        truth = GroundTruth(arguments.ground_truth, predictor.info)
    with CocoPanopticWriter(folder, predictor.info, json_path=folder / PREDICTIONS_JSON) as writer:
        return _predict_all(named, predictor, writer, arguments, options, truth)


def _predict_all(
    named: Named,
    predictor: Predictor,
    writer: CocoPanopticWriter,
    arguments: argparse.Namespace,
    options: Dict[str, Any],
    truth: Optional[GroundTruth],
) -> int:
    """Predicts and writes image by image; an interrupt keeps what is finished."""
    unreadable: List[pathlib.Path] = []
    done = 0

    def refuse(path: Any, error: ValueError) -> None:
        unreadable.append(path)
        print(f"kmax: {error}", file=sys.stderr, flush=True)

    names = {path: name for name, path in named}
    try:
        start, first = 0.0, 1
        for path, result, explanation in _results(named, predictor, arguments, options, refuse):
            result.write(
                writer,
                name=names[path],
                image_file=path.name,
                pictures=split_list(arguments.pictures),
            )
            done += 1
            number = done + len(unreadable)
            progress = f"[{number}/{len(named)}] {describe_file(path, names[path])}"
            if not start:  # The first image also loads and traces: it says nothing about the rest.
                start, first = time.monotonic(), number
            elif number < len(named):
                seconds = (time.monotonic() - start) / (number - first) * (len(named) - number)
                progress += f", {seconds:.0f} s left"
            print(f"{progress}\n{describe_result(result)}", flush=True)
            _write_more(result, explanation, truth, writer.folder / names[path])
            print(flush=True)
    except KeyboardInterrupt:
        print(
            f"Interrupted after {done} of {len(named)} images; their results are in "
            f"{writer.folder}."
        )
        return INTERRUPTED
    print(f"{done} of {len(named)} images predicted; results are in {writer.folder}.")
    return USER_ERROR if unreadable else 0


def _results(
    named: Named,
    predictor: Predictor,
    arguments: argparse.Namespace,
    options: Dict[str, Any],
    refuse: Callable[[Any, ValueError], None],
) -> Iterator[Tuple[pathlib.Path, PanopticResult, Optional[Explanation]]]:
    """Path and result of each image that can be read; with its explanation where asked for."""
    paths = [path for _, path in named]
    if not arguments.explain:
        for path, result in predictor.stream(paths, on_unreadable=refuse, **options):
            yield path, result, None
        return
    for path in paths:
        try:
            explanation = predictor.explain(path)
        except ValueError as error:  # Of this image alone; the others go on.
            refuse(path, error)
            continue
        yield path, explanation.result, explanation


def _write_more(
    result: PanopticResult,
    explanation: Optional[Explanation],
    truth: Optional[GroundTruth],
    stem: pathlib.Path,
) -> None:
    """Draws explanation and comparison, and prints the slots that were dropped."""
    if explanation is not None:
        from PIL import Image

        from kmax_tf.results.explain_sheet import draw_explain_sheet
        from kmax_tf.results.explanation import format_dropped

        sheet = Image.fromarray(draw_explain_sheet(explanation))
        sheet.save(stem.with_name(f"{stem.name}_explain.png"))
        print(format_dropped(explanation))
    if truth is not None:
        ground_truth = truth.find(result.name)
        if ground_truth is None:
            print(f"The ground truth has no image {result.name}.")
        elif ground_truth.shape != result.panoptic.shape:
            print(
                f"The ground truth of {result.name} has {ground_truth.shape[1]} x "
                f"{ground_truth.shape[0]} pixels, unlike the image."
            )
        else:
            result.comparison(ground_truth).save(stem.with_name(f"{stem.name}_comparison.png"))


def _network_options(arguments: argparse.Namespace) -> Dict[str, Any]:
    """`tile`, `tile_overlap` and `batch_size` as the predictor takes them."""
    tile = None
    if arguments.tile is not None:
        try:
            tile = tuple(int(side) for side in arguments.tile.split(","))
        except ValueError:
            raise ValueError(
                f"`--tile` must be a side or a height and a width in pixels (512 or 512,1024); "
                f"received {arguments.tile}."
            ) from None
        tile = tile * 2 if len(tile) == 1 else tile
    options = {
        "tile": tile,
        "tile_overlap": arguments.tile_overlap,
        "batch_size": arguments.batch_size,
    }
    if not arguments.explain:
        return options
    unfit = [
        f"--{name}"
        for name, default in (
            ("tile", None),
            ("tile_overlap", None),
            ("batch_size", 1),
            ("saved_model", None),
        )
        if getattr(arguments, name) != default
    ]
    unfit += ["videos"] if any(map(is_video, arguments.images)) else []
    if unfit:
        raise ValueError(
            f"`--explain` looks into a model of `--config_file`, one whole image at a time; leave "
            f"out {' and '.join(unfit)}."
        )
    return options


def _check_model(arguments: argparse.Namespace) -> None:
    given = {"--config_file": arguments.config_file, "--checkpoint": arguments.checkpoint}
    if arguments.saved_model:
        others = {"--set": arguments.set, "--raw_weights": arguments.raw_weights}
        extra = [name for name, value in {**given, **others}.items() if value]
        if extra:
            raise ValueError(
                f"`--saved_model` {arguments.saved_model} holds all that is needed; leave out "
                f"{' and '.join(extra)}."
            )
        return
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ValueError(
            f"`kmax predict` needs `--config_file` and `--checkpoint`, or `--saved_model`; "
            f"{' and '.join(missing)} missing."
        )


def _make_predictor(arguments: argparse.Namespace) -> Predictor:
    from kmax_tf.predictor import Predictor

    if arguments.saved_model:
        return Predictor(saved_model=arguments.saved_model)
    config = load_config(arguments.config_file, arguments.set)
    return Predictor(
        config, checkpoint=arguments.checkpoint, raw_weights=bool(arguments.raw_weights)
    )
