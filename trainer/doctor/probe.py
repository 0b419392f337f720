"""Imports what a training imports and tries what it needs, in a process of its own.

`python -m trainer.doctor.probe` prints one JSON object as its last line. A library that is broken
may raise anything, hang, or end the process: `run_probe` survives all of it.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any, Dict

import kmax_tf  # noqa: F401  chooses Keras, as in every command

MODULES = (
    "tensorflow",
    *(["tensorflow_addons"] if sys.version_info < (3, 12) else []),
    "orbit",
    "protos.experiment_pb2",
    "scipy",
    "PIL",
    "pycocotools.mask",
    "tqdm",
)
TIMEOUT_SECONDS = 300


def run_probe() -> Dict[str, Any]:
    """What `probe` found in another process.

    Returns:
      As `probe`; or `fault`: one sentence about how the process ended instead.
    """
    command = [sys.executable, "-m", "trainer.doctor.probe"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return {"fault": f"importing TensorFlow took more than {TIMEOUT_SECONDS} s"}
    last = (finished.stdout.strip().splitlines() or [""])[-1]
    try:
        return json.loads(last)
    except ValueError:
        reason = (finished.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return {"fault": f"importing TensorFlow ended with code {finished.returncode}: {reason}"}


def probe() -> Dict[str, Any]:
    """Imports, and what TensorFlow says about itself.

    Returns:
      `errors`: module -> message of what cannot be imported; and, where TensorFlow can:
      `version`, `file`, `keras` (the module of Keras' layers), `gpus` (names), `onednn`, and
      `gradient`: message of the gradient of a dilated convolution on the CPU, empty if it works.
    """
    errors = {}
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # Whatever a broken library raises is the answer.
            errors[name] = _one_line(error)
    found: Dict[str, Any] = {"errors": errors}
    if "tensorflow" not in errors:
        try:
            found.update(_describe_tensorflow())
        except Exception as error:  # The same: another module of that name, half an installation.
            errors["tensorflow"] = _one_line(error)
    return found


def _describe_tensorflow() -> Dict[str, Any]:
    import tensorflow as tf
    from tensorflow.python.util import _pywrap_util_port

    try:
        keras = tf.keras.layers.Layer.__module__
    except ImportError as error:
        keras = _one_line(error)
    return {
        "version": tf.__version__,
        "file": tf.__file__,
        "keras": keras,
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "onednn": bool(_pywrap_util_port.IsMklEnabled()),
        "gradient": _try_gradient(tf),
    }


def _try_gradient(tf: Any) -> str:
    """Atrous convolutions are part of most models; not every build has their gradient on CPUs."""
    kernel = tf.Variable(tf.ones([3, 3, 1, 1]))
    try:
        with tf.device("CPU:0"), tf.GradientTape() as tape:
            result = tf.nn.conv2d(tf.ones([1, 8, 8, 1]), kernel, 1, "SAME", dilations=2)
        tape.gradient(result, kernel)
    except tf.errors.OpError as error:
        return _one_line(error)
    return ""


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


if __name__ == "__main__":
    print(json.dumps(probe()))
