"""Images of a command: names of their results, and what is printed of each."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Dict, List, Sequence, Tuple, Union

if TYPE_CHECKING:
    from kmax_tf.results.panoptic_result import PanopticResult


def unique_names(paths: Sequence[pathlib.Path]) -> List[Tuple[str, pathlib.Path]]:
    """Names for the results: the file's stem, numbered where it, or its image id, occurs again."""
    from kmax_tf.results.panoptic_result import image_id_of

    named: Dict[Union[int, str], Tuple[str, pathlib.Path]] = {}
    for path in paths:
        name, number = path.stem, 1
        while image_id_of(name) in named:
            number += 1
            name = f"{path.stem}_{number}"
        named[image_id_of(name)] = (name, path)
    return list(named.values())


def describe_file(path: pathlib.Path, name: str) -> str:
    """The path, and the name of its results where that is not the file's."""
    return str(path) if name == path.stem else f"{path} (as {name})"


def describe_result(result: PanopticResult) -> str:
    """Size, number of segments, and the table of segments."""
    from kmax_tf.results.segments import format_segments

    height, width = result.panoptic.shape
    table = format_segments(result.segments, result.panoptic.size)
    return f"{width} x {height}, {len(result.segments)} segments\n{table}"
