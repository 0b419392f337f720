"""From a COCO panoptic annotation (segment ids, list of segments) to a panoptic map."""

from __future__ import annotations

import collections
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from kmax_tf import labels
from kmax_tf.data.converters.source_error import SourceError


class Segment(NamedTuple):
    """One segment of an annotation.

    Attributes:
      id: its value in the PNG.
      class_id: contiguous class id, or the ignore label.
      is_thing: of its class.
      is_crowd: whether it is a region of objects not told apart.
      area: its stated number of pixels, None if not stated.
    """

    id: int
    class_id: int
    is_thing: bool
    is_crowd: bool
    area: Optional[int]


def make_panoptic_map(
    segment_ids: np.ndarray,
    segments: Sequence[Segment],
    *,
    ignore_label: int,
    label_divisor: int,
    crowd_as_void: bool,
    source: str,
) -> Tuple[np.ndarray, Dict[str, int]]:
    """Replaces segment ids by `class * label_divisor + instance`.

    Instances are numbered from 1 per class, in the order of the list; stuff and crowd regions have
    instance 0; pixels of no segment are void. A crowd flag on a stuff segment is an error.

    Args:
      segment_ids: int32 [height, width].
      segments: of this image.
      ignore_label: class id of void.
      label_divisor: more than the number of instances of any class.
      crowd_as_void: whether crowd regions become void, as deeplab2 does.
      source: name of the annotation, for messages.

    Returns:
      int32 [height, width] and counts of what was dropped, by reason.

    Raises:
      SourceError: contradictions in the list, a stated area that is not the number of pixels, or
        too many instances for `label_divisor`.
    """
    values = _segment_values(
        segments,
        ignore_label=ignore_label,
        label_divisor=label_divisor,
        crowd_as_void=crowd_as_void,
        source=source,
    )
    # Two steps instead of a table over 2**24 ids: rank of each pixel among the known ids, then
    # its value; the last column stands for pixels of no segment.
    void = ignore_label * label_divisor
    ids = np.array([segment.id for segment in segments], np.int64)
    order = np.argsort(ids)
    ordered = ids[order]
    rank = np.searchsorted(ordered, segment_ids)
    known = np.append(ordered, -1)[rank] == segment_ids
    rank = np.where(known, rank, len(ids))
    table = np.append(np.asarray(values, np.int64)[order], void).astype(np.int32)
    areas = np.bincount(rank.ravel(), minlength=len(ids) + 1)
    dropped = _check_areas([segments[index] for index in order], areas, ignore_label, source)
    stray = np.unique(segment_ids[~known])
    dropped["segment id that is not in the list"] = int(np.count_nonzero(stray))  # 0 is void
    return table[rank], {reason: count for reason, count in dropped.items() if count}


def _check_areas(
    segments: Sequence[Segment], areas: np.ndarray, ignore_label: int, source: str
) -> Dict[str, int]:
    """Compares stated with found areas; counts segments that leave no label, by reason."""
    empty = void = 0
    for segment, area in zip(segments, areas.tolist()):
        if segment.area is not None and segment.area != area:
            raise SourceError(
                f"Annotation {source}: segment {segment.id} states an area of {segment.area} "
                f"pixels, but the PNG has {area} of that id.",
                "stated area that is not the number of pixels",
            )
        empty += area == 0
        void += area > 0 and segment.class_id == ignore_label
    return {"segment without pixels": empty, "segment of class void": void}


def _segment_values(
    segments: Sequence[Segment],
    *,
    ignore_label: int,
    label_divisor: int,
    crowd_as_void: bool,
    source: str,
) -> list:
    """Panoptic value of each segment."""
    values = []
    instances: collections.Counter = collections.Counter()
    seen = set()
    for segment in segments:
        if segment.id in seen:
            raise SourceError(
                f"Annotation {source}: segment id {segment.id} is listed twice.",
                "segment id listed twice",
            )
        seen.add(segment.id)
        class_id, instance = segment.class_id, 0
        if segment.is_crowd and not segment.is_thing and class_id != ignore_label:
            raise SourceError(
                f"Annotation {source}: segment {segment.id} has iscrowd=1, but its class is stuff; "
                "only thing classes can have crowd regions.",
                "crowd flag on stuff",
            )
        if segment.is_crowd and crowd_as_void:
            class_id = ignore_label
        elif segment.is_thing and not segment.is_crowd:
            instances[class_id] += 1
            instance = instances[class_id]
            if instance >= label_divisor:
                raise SourceError(
                    f"Annotation {source}: class {class_id} has {instance} instances or more, but "
                    f"`label_divisor` {label_divisor} leaves room for {label_divisor - 1}.",
                    "more instances of a class than the label divisor has room for",
                )
        values.append(labels.panoptic_id(class_id, instance, label_divisor))
    return values
