"""Whether records tell crowd apart from void, which decides how the official PQ is to be read."""

from __future__ import annotations

import os
from typing import Sequence

import tensorflow as tf

from kmax_tf.data.records import list_files

DESCRIPTION_FILE = "dataset_info.json"
"""Our converters leave it beside the records; they keep crowd regions. Other records of the same
format hold crowd as void, unless made with a special option."""

NOTE = (
    "official, crowd counted as void, unless the records tell it apart (those of `kmax build-data` "
    "do)"
)


def crowd_note(file_patterns: Sequence[str]) -> str:
    """What to say of the official PQ of these records; empty = nothing.

    Args:
      file_patterns: globs of the record files.

    Raises:
      ValueError: a pattern matches no file.
    """
    folders = {os.path.dirname(path) for path in list_files(file_patterns)}
    described = [tf.io.gfile.exists(os.path.join(f, DESCRIPTION_FILE)) for f in folders]
    return "" if all(described) else NOTE
