"""kMaX-DeepLab (k-means Mask Transformer) for TensorFlow and Keras.

Importing this package selects Keras 2 (`tf.keras` of TensorFlow 2.15, `tf_keras` beside newer
TensorFlow), so import it before anything that uses `tf.keras`. The public names load on first
use, which keeps `import kmax_tf` and the command line quick.
"""

from __future__ import annotations

import importlib
import os
import sys

if sys.version_info >= (3, 12):  # TensorFlow 2.15, on older Pythons, has Keras 2 built in.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_PUBLIC = {
    "load_config": "kmax_tf.build.config",
    "build_model": "kmax_tf.build.model",
    "build_loss": "kmax_tf.build.losses",
    "build_dataset": "kmax_tf.build.data",
    "build_post_processor": "kmax_tf.build.post_processing",
    "available": "kmax_tf.build.available",
    "load_checkpoint": "kmax_tf.checkpoints.loading",
    "load_encoder_weights": "kmax_tf.checkpoints.loading",
    "Predictor": "kmax_tf.predictor",
}
__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def _refuse_keras_3() -> None:
    """Raises when the program has already settled on Keras 3, which these layers cannot use."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or "keras" not in vars(tensorflow):
        return
    if not tensorflow.keras.layers.Layer.__module__.startswith("keras.src.layers"):
        return
    raise ImportError(
        "kmax_tf needs Keras 2, but TensorFlow was already imported with Keras 3 in this program: "
        "put `import kmax_tf` before the first use of `tf.keras`, or set TF_USE_LEGACY_KERAS=1."
    )


_refuse_keras_3()


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kmax_tf' has no attribute {name!r}; it offers {__all__}.")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
