"""The network as one file for runtimes without TensorFlow: one image, one size, no JPEG."""

from __future__ import annotations

import os
import pathlib
from typing import Callable, Dict, NamedTuple, Sequence, Union

import tensorflow as tf

from kmax_tf.export.onnx_file import load_onnx, require_onnx, write_onnx
from kmax_tf.export.onnx_operations import OPERATOR_SET
from kmax_tf.export.outputs import RunFile, ServedNetwork
from kmax_tf.export.tflite import load_tflite, write_tflite
from kmax_tf.tracing import functions_inlined


class NetworkFormat(NamedTuple):
    """A format of such files.

    Attributes:
      title: for people.
      operators: which ones it uses.
      file_name: in the version folder.
      write: (traced network, path, half_weights=...) -> None.
      load: path -> the network, run by the format's own runtime.
      require: raises ValueError where a package is missing.
    """

    title: str
    operators: str
    file_name: str
    write: Callable[..., None]
    load: Callable[[Union[str, os.PathLike]], RunFile]
    require: Callable[[], None]


FORMATS: Dict[str, NetworkFormat] = {
    "onnx": NetworkFormat(
        title="ONNX",
        operators=f"operator set {OPERATOR_SET}",
        file_name="model.onnx",
        write=write_onnx,
        load=load_onnx,
        require=require_onnx,
    ),
    "tflite": NetworkFormat(
        title="TensorFlow Lite",
        operators="builtin operators only",
        file_name="model.tflite",
        write=write_tflite,
        load=load_tflite,
        require=lambda: None,
    ),
}
"""What `--format` accepts beside saved_model."""


def write_network_file(
    file_format: str,
    folder: Union[str, os.PathLike],
    *,
    network: ServedNetwork,
    input_size: Sequence[int],
    half_weights: bool,
) -> None:
    """Writes the network for one image: `image` float32 [1, h, w, 3] -> its named outputs.

    Args:
      file_format: a key of `FORMATS`.
      folder: gets the file.
      network: see `ServedNetwork`.
      input_size: h and w.
      half_weights: whether weights are stored as float16.

    Raises:
      ValueError: the format has no counterpart for an operation, or stores no half weights.
    """
    chosen = FORMATS[file_format]
    spec = tf.TensorSpec([1, *input_size, 3], tf.float32, name="image")
    function = tf.function(network, input_signature=[spec], autograph=False)
    with functions_inlined():
        traced = function.get_concrete_function()
    chosen.write(traced, pathlib.Path(folder, chosen.file_name), half_weights=half_weights)


def load_network_file(file_format: str, folder: Union[str, os.PathLike]) -> RunFile:
    """Loads what `write_network_file` wrote, for the CPU.

    Raises:
      ValueError: the runtime is not installed, or does not take the file.
    """
    FORMATS[file_format].require()
    return FORMATS[file_format].load(pathlib.Path(folder, FORMATS[file_format].file_name))
