"""Reads JSON that may be anything: too long, too deep, or no JSON at all."""

from __future__ import annotations

import json
import os
from typing import Any, Union

from kmax_tf.bounded_files import read_bounded

MAX_ANNOTATION_BYTES = 4 * 2**30
"""Of the annotations of a data set; those of the largest public ones have about 1 GB."""

MAX_DESCRIPTION_BYTES = 16 * 2**20
"""Of what lists classes; that of COCO has 12 kB."""


class JsonError(ValueError):
    """Text that is no JSON, or too deep; the message is a clause."""


def read_json(path: Union[str, os.PathLike], most_bytes: int) -> Any:
    """Parses a JSON file.

    Args:
      path: the file, UTF-8 with or without a mark at its beginning.
      most_bytes: the most it may have.

    Raises:
      OSError: no such file, or an unreadable one.
      ValueError: larger than that, or no JSON; the message is a clause.
    """
    return parse_json(read_bounded(path, most_bytes))


def parse_json(content: bytes) -> Any:
    """Parses JSON in UTF-8.

    Raises:
      JsonError: no JSON, or one that is nested deeper than Python can parse.
    """
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise JsonError("it is nested too deeply") from None
    except ValueError as error:
        raise JsonError(f"it is not valid JSON: {error}") from None
