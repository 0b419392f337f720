"""SavedModels that `kmax export` wrote, loaded, or named where they are damaged."""

from __future__ import annotations

import os
from typing import Any, Union

import tensorflow as tf

SIGNATURES = ("serving_default", "image_tensor")


def load_saved_model(folder: Union[str, os.PathLike]) -> Any:
    """Loads a SavedModel.

    Args:
      folder: of the version.

    Returns:
      As `tf.saved_model.load`; keep it while a signature is used, which alone does not hold the
      variables.

    Raises:
      ValueError: the folder is incomplete or damaged, or it is another SavedModel than those that
        `kmax export` writes.
    """
    path = os.fspath(folder)
    # The variables' own index and checksums tell damage; the classes are what TensorFlow makes of
    # it.
    try:
        loaded = tf.saved_model.load(path)
    except (tf.errors.OpError, OSError, LookupError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"SavedModel {path} is incomplete or damaged ({type(error).__name__}); export it again."
        ) from error
    missing = [name for name in SIGNATURES if name not in loaded.signatures]
    if missing:
        raise ValueError(
            f"SavedModel {path} must have the signatures {' and '.join(SIGNATURES)}, which `kmax "
            f"export` writes; it lacks {' and '.join(missing)}."
        )
    return loaded
