"""Scores a finished COCO panoptic result, of any system, against its ground truth.

The rules are those of the official evaluation code: the PNGs decide which pixels a segment has, the
JSON which segments there are; id 0 is void; pixels of a ground-truth id that the JSON does not list
belong to no segment, and are not void either; the area of a ground-truth segment is the stated one.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Union

import numpy as np

from evaluation.coco_overlaps import PixelCounts, measure_all
from evaluation.evaluator import format_table
from evaluation.panoptic_quality import PanopticQuality, SegmentOverlaps
from kmax_tf.data.converters.coco_json import check_entries, load_json
from kmax_tf.structures import DatasetInfo

PathLike = Union[str, "os.PathLike[str]"]
Advance = Callable[[int], None]
Entry = Mapping[str, Any]

_ANNOTATION_KEYS = {"image_id": (int, str), "file_name": (str,), "segments_info": (list,)}
_SEGMENT_KEYS = {"id": (int,), "category_id": (int,)}
_CATEGORY_KEYS = {"id": (int,), "isthing": (int,)}
_LARGEST_ID = 2**24
_IN_GRAPH_ROW = "All, in-graph variant"


class ImageFiles(NamedTuple):
    """What is known of one image before its PNGs are read.

    Attributes:
      true_file: path of the PNG of the ground truth.
      true_segments: its `segments_info`.
      predicted_file: path of the PNG of the prediction.
      predicted_segments: its `segments_info`.
    """

    true_file: str
    true_segments: Sequence[Entry]
    predicted_file: str
    predicted_segments: Sequence[Entry]


class FinishedPredictions(NamedTuple):
    """A result that can be scored.

    Attributes:
      info: classes of the ground truth; class ids are its category ids.
      images: one per annotation of the ground truth.
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
      ValueError: a file or folder is missing, an entry lacks what it needs, a category is unknown,
        or an image of the ground truth has no prediction.
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
    for image_id, annotation in true_annotations.items():
        if image_id not in predicted_annotations:
            raise ValueError(
                f"{predicted_path} has no prediction for image {image_id!r} "
                f"({annotation['file_name']}) of {true_path}."
            )
        predicted = predicted_annotations[image_id]
        images.append(
            ImageFiles(
                true_file=str(true_folder / annotation["file_name"]),
                true_segments=annotation["segments_info"],
                predicted_file=str(predicted_folder / predicted["file_name"]),
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
    scorer = SegmentScorer(finished.info)
    files = [(image.true_file, image.predicted_file) for image in finished.images]
    with contextlib.closing(measure_all(files, processes=processes)) as measured:
        for image, counts in zip(finished.images, measured):
            scorer.update(image, counts)
            advance(1)
    return Score(scorer.result(), scorer.table(len(files)))


class SegmentScorer:
    """Sums over images whose segments are listed in JSONs.

    Args:
      info: classes; class ids are the category ids of the JSONs.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.panoptic_quality = PanopticQuality(info)
        self._position = {class_id: index for index, class_id in enumerate(info.class_ids)}
        # Per class, over pixels that are not void: in the ground truth, predicted, both.
        self._true, self._predicted, self._both = np.zeros((3, len(info.class_ids)), np.int64)
        self._other_areas: List[str] = []
        self._num_other_areas = 0

    def update(self, image: ImageFiles, counts: PixelCounts) -> None:
        """Adds one image.

        Args:
          image: its segments; the files are only named in messages.
          counts: of its two PNGs.

        Raises:
          ValueError: the predicted PNG and its JSON do not have the same segments.
        """
        _check_predicted_ids(image, counts)
        pixels = _pair_table(image, counts)
        num_true, num_predicted = len(image.true_segments), len(image.predicted_segments)
        intersections = pixels[:num_true, :num_predicted]
        true_class = self._classes(image.true_segments)
        predicted_class = self._classes(image.predicted_segments)
        overlaps = SegmentOverlaps(
            true_ids=_ids(image.true_segments),
            true_areas=self._true_areas(image, pixels[:num_true].sum(axis=1)),
            predicted_ids=_ids(image.predicted_segments),
            predicted_areas=pixels[:, :num_predicted].sum(axis=0),
            intersections=intersections,
            on_void=pixels[num_true, :num_predicted],
        )
        crowd = [segment.get("iscrowd", 0) == 1 for segment in image.true_segments]
        self.panoptic_quality.update_segments(
            overlaps,
            true_class=true_class,
            is_crowd=np.array(crowd, bool),
            predicted_class=predicted_class,
        )
        np.add.at(self._true, true_class, pixels[:num_true].sum(axis=1))
        np.add.at(self._predicted, predicted_class, intersections.sum(axis=0))
        rows, columns = np.nonzero(true_class[:, np.newaxis] == predicted_class)
        np.add.at(self._both, true_class[rows], intersections[rows, columns])

    def result(self) -> Dict[str, Any]:
        """All metrics in percent, with the keys of `Evaluator.result` that can be known here."""
        union = self._true + self._predicted - self._both
        ious = [
            100.0 * float(both) / float(either) if either else None
            for both, either in zip(self._both, union)
        ]
        occurring = [iou for iou in ious if iou is not None]
        result: Dict[str, Any] = dict(self.panoptic_quality.result())
        if occurring:
            result["miou"] = float(np.mean(occurring))
        rows = zip(self.panoptic_quality.per_class(), ious)
        result["per_class"] = [{**row, "iou": iou} for row, iou in rows]
        return result

    def table(self, num_images: int) -> str:
        """The metrics as a table for a terminal: a row per class, then the means."""
        # The in-graph variant is defined on records: nothing is known of it here.
        lines = format_table(self.result(), num_images).splitlines()
        lines = [line for line in lines if not line.startswith(_IN_GRAPH_ROW)]
        if self._num_other_areas:
            lines.append(
                f"Ground-truth segments whose stated area is not their number of pixels: "
                f"{self._num_other_areas} ({'; '.join(self._other_areas)}); the stated one counts, "
                "as in the official evaluation."
            )
        return "\n".join(lines)

    def _classes(self, segments: Sequence[Entry]) -> np.ndarray:
        return np.array([self._position[s["category_id"]] for s in segments], np.int64)

    def _true_areas(self, image: ImageFiles, found: np.ndarray) -> np.ndarray:
        """The stated areas, the found ones where none is stated."""
        areas = np.array([s.get("area", f) for s, f in zip(image.true_segments, found)], np.float64)
        for index in np.flatnonzero(areas != found):
            self._num_other_areas += 1
            if len(self._other_areas) < 3:
                segment_id = image.true_segments[index]["id"]
                self._other_areas.append(
                    f"{segment_id} in {image.true_file}: {areas[index]:g} instead of {found[index]}"
                )
        return areas


def _ids(segments: Sequence[Entry]) -> np.ndarray:
    return np.array([segment["id"] for segment in segments], np.int64)


def _check_predicted_ids(image: ImageFiles, counts: PixelCounts) -> None:
    """Raises ValueError where PNG and JSON of the prediction do not have the same segments."""
    found = set(counts.predicted_ids.tolist())
    listed = {segment["id"] for segment in image.predicted_segments}
    unlisted = sorted(found - listed - {0})
    if unlisted:
        raise ValueError(
            f"{image.predicted_file} has pixels of segment {unlisted[0]}, which `segments_info` "
            "of its JSON does not list."
        )
    empty = sorted(listed - found)
    if empty:
        raise ValueError(
            f"{image.predicted_file} has no pixels of segment {empty[0]}, which `segments_info` "
            "of its JSON lists."
        )


def _pair_table(image: ImageFiles, counts: PixelCounts) -> np.ndarray:
    """int64 [G + 2, P + 1] of pixels; rows G, G + 1 are void and no segment, column P is void."""
    num_true, num_predicted = len(image.true_segments), len(image.predicted_segments)
    row_of = {0: num_true}
    row_of.update((segment["id"], row) for row, segment in enumerate(image.true_segments))
    column_of = {segment["id"]: column for column, segment in enumerate(image.predicted_segments)}
    rows = [row_of.get(i, num_true + 1) for i in counts.true_ids.tolist()]
    columns = [column_of.get(i, num_predicted) for i in counts.predicted_ids.tolist()]
    table = np.zeros((num_true + 2, num_predicted + 1), np.int64)
    np.add.at(table, (rows, columns), counts.pixels)
    return table


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
        if not isinstance(segment.get("area", 0), (int, float)):
            raise ValueError(
                f"{place}: the `area` of segment {segment_id} must be a number; received "
                f"{segment['area']!r}."
            )
