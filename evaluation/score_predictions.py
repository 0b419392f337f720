"""Scores a finished COCO panoptic result, of any system, against its ground truth.

The rules are those of the official evaluation code: the PNGs decide which pixels a segment has, the
JSON which segments there are; id 0 is void (see `segment_scorer` for the rest).
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
from typing import (
    Any,
    Callable,
    Dict,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from evaluation.coco_overlaps import measure_all
from evaluation.segment_scorer import Entry, ImageFiles, SegmentScorer
from kmax_tf.data.converters.coco_json import check_entries, load_json
from kmax_tf.safe_paths import path_inside
from kmax_tf.structures import DatasetInfo

PathLike = Union[str, "os.PathLike[str]"]
Advance = Callable[[int], None]

_ANNOTATION_KEYS = {"image_id": (int, str), "file_name": (str,), "segments_info": (list,)}
_SEGMENT_KEYS = {"id": (int,), "category_id": (int,)}
_CATEGORY_KEYS = {"id": (int,), "isthing": (int,)}
_LARGEST_ID = 2**24


class FinishedPredictions(NamedTuple):
    """A result that can be scored.

    Attributes:
      info: classes of the ground truth; class ids are its category ids.
      images: one per annotation of the ground truth, by ascending image id.
    """

    info: DatasetInfo
    images: Sequence[ImageFiles]


class Score(NamedTuple):
    """What was measured: `result` as of `SegmentScorer.result`, and the same for a terminal."""

    result: Dict[str, Any]
    table: str


def find_predictions(
    predictions_dir: PathLike,
    ground_truth: PathLike,
    *,
    predictions_json: Optional[PathLike] = None,
    ground_truth_dir: Optional[PathLike] = None,
) -> FinishedPredictions:
    """Reads both JSONs and joins them by image.

    Args:
      predictions_dir: folder of the predicted PNGs.
      ground_truth: JSON of the ground truth.
      predictions_json: None = `<predictions_dir>.json`, else `<predictions_dir>/panoptic.json`.
      ground_truth_dir: None = `ground_truth` without its suffix.

    Returns:
      The `FinishedPredictions`; predictions of images without ground truth are left out.

    Raises:
      ValueError: a file or folder is missing, an entry lacks what it needs or names a PNG outside
        its folder, a category is unknown, or an image of the ground truth has no prediction.
    """
    predicted_folder = _folder(predictions_dir, "from_predictions")
    predicted_path = _predictions_json(predicted_folder, predictions_json)
    true_path = pathlib.Path(ground_truth)
    truth = _read_json(true_path)
    true_folder = _folder(
        true_path.with_suffix("") if ground_truth_dir is None else ground_truth_dir,
        "ground_truth_dir",
    )
    info = _read_categories(truth, true_path)
    true_annotations = _annotations(truth, true_path, info)
    if not true_annotations:
        raise ValueError(f"{true_path} has no `annotations`: there is nothing to score.")
    for annotation in true_annotations.values():
        if any(segment["id"] == 0 for segment in annotation["segments_info"]):
            raise ValueError(
                f"{true_path}: a segment of {annotation['file_name']} has id 0, which is void."
            )
    content = _read_json(predicted_path)
    predicted_annotations = _annotations(content, predicted_path, info)
    images = []
    for image_id, annotation in sorted(true_annotations.items(), key=_order_of_images):
        if image_id not in predicted_annotations:
            raise ValueError(
                f"{predicted_path} has no prediction for image {image_id!r} "
                f"({annotation['file_name']}) of {true_path}."
            )
        predicted = predicted_annotations[image_id]
        images.append(
            ImageFiles(
                true_file=_png_path(true_folder, annotation, true_path),
                true_segments=annotation["segments_info"],
                predicted_file=_png_path(predicted_folder, predicted, predicted_path),
                predicted_segments=predicted["segments_info"],
            )
        )
    return FinishedPredictions(info, images)


def score_predictions(
    finished: FinishedPredictions,
    *,
    processes: Optional[int] = None,
    advance: Advance = lambda count: None,
) -> Score:
    """Scores all images; the numbers do not depend on the number of processes.

    Args:
      finished: from `find_predictions`.
      processes: that read PNGs; None = one per core, or this one alone for a few images.
      advance: called with the number of images after each.

    Raises:
      ValueError: a PNG is missing or broken, has another size than its counterpart, or does not
        hold the segments that its JSON lists.
    """
    scorer = SegmentScorer(finished.info, without_ap=_reason_without_ap(finished))
    files = [(image.true_file, image.predicted_file) for image in finished.images]
    with contextlib.closing(measure_all(files, processes=processes)) as measured:
        for image, counts in zip(finished.images, measured):
            scorer.update(image, counts)
            advance(1)
    return Score(scorer.result(), scorer.table(len(files)))


def _order_of_images(item: Tuple[Union[int, str], Entry]) -> Tuple[bool, Union[int, str]]:
    """As in the COCO tools, where equal scores in two images are ranked by image id."""
    return isinstance(item[0], str), item[0]


def _reason_without_ap(finished: FinishedPredictions) -> str:
    """Why mask AP cannot be measured; empty = it can."""
    things = set(finished.info.thing_ids)
    if not things:
        return "the ground truth has no thing categories"
    for image in finished.images:
        for segment in image.predicted_segments:
            if segment["category_id"] in things and "score" not in segment:
                return (
                    "its JSON must give every thing segment a `score`; there is none for segment "
                    f"{segment['id']} of {image.predicted_file}"
                )
    return ""


def _folder(path: PathLike, name: str) -> pathlib.Path:
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise ValueError(f"`{name}` must be a folder of panoptic PNGs; {folder} is none.")
    return folder


def _predictions_json(folder: pathlib.Path, given: Optional[PathLike]) -> pathlib.Path:
    """The JSON of a folder of predictions."""
    if given is not None:
        return pathlib.Path(given)
    choices = [pathlib.Path(f"{folder}.json"), folder / "panoptic.json"]
    for path in choices:
        if path.is_file():
            return path
    raise ValueError(
        f"`predictions_json` is needed: there is neither {choices[0]} nor {choices[1]}."
    )


def _read_json(path: pathlib.Path) -> Dict[str, Any]:
    """The object of a COCO panoptic JSON; ValueError where it is none."""
    content = load_json(path, kind="COCO panoptic JSON")
    if not isinstance(content, dict) or "annotations" not in content:
        raise ValueError(f"COCO panoptic JSON {path} must be an object with `annotations`.")
    return content


def _png_path(folder: pathlib.Path, annotation: Entry, path: pathlib.Path) -> str:
    """Path of the PNG of an annotation in the JSON `path`."""
    what = f"`file_name` of an annotation in {path}"
    return str(path_inside(folder, annotation["file_name"], what=what))


def _read_categories(content: Entry, path: pathlib.Path) -> DatasetInfo:
    """The classes of a ground truth, by ascending category id."""
    categories = content.get("categories")
    if not categories:
        raise ValueError(f"COCO panoptic JSON {path} must have `categories`; there are none.")
    check_entries(categories, _CATEGORY_KEYS, path, "`categories`")
    categories = sorted(categories, key=lambda entry: entry["id"])
    ids = tuple(entry["id"] for entry in categories)
    if len(set(ids)) < len(ids):
        raise ValueError(f"{path}: ids of `categories` must be distinct; received {list(ids)}.")
    return DatasetInfo(
        name=path.name,
        num_classes=max(ids) + 1,
        ignore_label=min(-1, ids[0] - 1),
        label_divisor=2,  # never used: segments come with their classes
        class_ids=ids,
        names=tuple(str(entry.get("name", f"category {entry['id']}")) for entry in categories),
        colors=((0, 0, 0),) * len(ids),
        is_thing=tuple(bool(entry["isthing"]) for entry in categories),
        original_ids=ids,
    )


def _annotations(
    content: Entry, path: pathlib.Path, info: DatasetInfo
) -> Dict[Union[int, str], Entry]:
    """The annotations by image id, checked."""
    check_entries(content["annotations"], _ANNOTATION_KEYS, path, "`annotations`")
    found: Dict[Union[int, str], Entry] = {}
    for annotation in content["annotations"]:
        if annotation["image_id"] in found:
            raise ValueError(f"{path} has two annotations of image {annotation['image_id']!r}.")
        found[annotation["image_id"]] = annotation
        place = f"`segments_info` of {annotation['file_name']}"
        check_entries(annotation["segments_info"], _SEGMENT_KEYS, path, place)
        _check_segments(annotation["segments_info"], set(info.class_ids), f"{path}: {place}")
    return found


def _check_segments(segments: Sequence[Entry], categories: Set[int], place: str) -> None:
    """Raises ValueError at the first segment that contradicts the categories or another one."""
    seen = set()
    for segment in segments:
        segment_id, category = segment["id"], segment["category_id"]
        if category not in categories:
            raise ValueError(
                f"{place} may have the categories of the ground truth, {sorted(categories)}; "
                f"segment {segment_id} has {category}."
            )
        if not 0 <= segment_id < _LARGEST_ID:
            raise ValueError(
                f"{place} may have ids in 0..{_LARGEST_ID - 1}; received {segment_id}."
            )
        if segment_id in seen:
            raise ValueError(f"{place} lists segment {segment_id} twice.")
        seen.add(segment_id)
        for key in ("area", "score"):
            value = segment.get(key, 0)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(
                    f"{place}: the `{key}` of segment {segment_id} must be a finite number; "
                    f"received {value!r}."
                )
