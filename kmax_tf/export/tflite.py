"""TensorFlow Lite (LiteRT): the format of phones and small devices."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import warnings
from typing import Any, Dict, Iterator, Union

import numpy as np
import tensorflow as tf

from kmax_tf.export.outputs import RunFile


def write_tflite(traced: Any, path: pathlib.Path, *, half_weights: bool = False) -> None:
    """Writes a traced function with the builtin operators of TensorFlow Lite alone.

    Args:
      traced: concrete function of one float32 tensor with a static shape, returns named outputs.
      path: of the file.
      half_weights: whether constants are stored as float16; the computation stays float32.

    Raises:
      ValueError: an operation has no builtin counterpart.
    """
    holder = tf.Module(name="kmax")
    holder.weights = list(traced.variables)  # The converter reads them from here.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if half_weights:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        with _quiet():
            content = converter.convert()
    except Exception as error:  # The converter's own class is private.
        raise ValueError(
            "`--format=tflite` cannot hold this network, because TensorFlow Lite has no "
            f"{_missing(str(error))}: export it as saved_model or onnx."
        ) from error
    path.write_bytes(content)


def load_tflite(path: Union[str, os.PathLike]) -> RunFile:
    """Loads a file that `write_tflite` wrote.

    Raises:
      ValueError: the file is none.
    """
    with warnings.catch_warnings():
        # TensorFlow 2.20 announces that its interpreter moves to a package of its own.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        try:
            interpreter = tf.lite.Interpreter(os.fspath(path), num_threads=os.cpu_count())
        except ValueError as error:
            raise ValueError(f"{path} is no TensorFlow Lite file: {error}.") from error
    runner = interpreter.get_signature_runner()

    def run(image: np.ndarray) -> Dict[str, np.ndarray]:
        return runner(image=image)

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the converter's report, which calls constants "non-converted ops".

    It is written past Python to file descriptor 2; what fails is in the exception, too.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _missing(message: str) -> str:
    """What a converter's message of many lines says is missing."""
    # Operations that its library of TensorFlow kernels would run, and those that nothing runs.
    names = re.search(r"TF Select ops: (.*)", message) or re.search(r"'tf\.(\w+)' op", message)
    return names.group(1) if names else f"counterpart ({message.strip().splitlines()[0]})"
