"""Which images an evaluation stopped at because the model's logits are not finite."""

from __future__ import annotations

import contextlib
from typing import Iterator

from kmax_tf.finite import NonFinitePredictionError
from protos import data_pb2
from trainer.data_errors import name_images


@contextlib.contextmanager
def naming_images_of(options: data_pb2.DatasetOptions) -> Iterator[None]:
    """Adds the files of the images to the error.

    Args:
      options: the data that is evaluated inside.

    Raises:
      NonFinitePredictionError: with the names.
    """
    try:
        yield
    except NonFinitePredictionError as error:
        names = name_images(error.images, options)
        raise NonFinitePredictionError(f"{error} {names}", error.images) from None
