"""Images of a command: names of their results, and what is printed of each."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Dict, List, Sequence, Tuple

if TYPE_CHECKING:
    from kmax_tf.results.panoptic_result import PanopticResult


def unique_names(paths: Sequence[pathlib.Path]) -> List[Tuple[str, pathlib.Path]]:
    """Names for the results: the file's stem, numbered where it occurs again."""
    named: Dict[str, pathlib.Path] = {}
    for path in paths:
        name, number = path.stem, 1
        while name in named:
            number += 1
            name = f"{path.stem}_{number}"
        named[name] = path
    return list(named.items())


def describe_result(result: PanopticResult) -> str:
    """Size, number of segments, and the table of segments."""
    from kmax_tf.results.segments import format_segments

    height, width = result.panoptic.shape
    table = format_segments(result.segments, result.panoptic.size)
    return f"{width} x {height}, {len(result.segments)} segments\n{table}"
