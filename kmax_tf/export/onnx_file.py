"""ONNX: the format of many other runtimes, by way of tf2onnx."""

from __future__ import annotations

import importlib.util
import logging
import os
import pathlib
from typing import Any, Dict, Union

import numpy as np
import tensorflow as tf

from kmax_tf.export.onnx_operations import HANDLERS, OPERATOR_SET
from kmax_tf.export.outputs import RunFile

_PACKAGES = ("tf2onnx", "onnxruntime")


def require_onnx() -> None:
    """Raises ValueError where the packages of the extra `onnx` are missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"`--format=onnx` needs {' and '.join(missing)}: "
            "`pip install -c constraints.txt -e .[onnx]`, on Python 3.10 or newer."
        )


def write_onnx(traced: Any, path: pathlib.Path, *, half_weights: bool = False) -> None:
    """Writes a traced function.

    Args:
      traced: concrete function of one float32 tensor with a static shape, returns named outputs.
      path: of the file.
      half_weights: not offered.

    Raises:
      ValueError: half weights, or an operation has no counterpart.
    """
    if half_weights:
        raise ValueError("`half_weights` goes with tflite only; received onnx.")
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # It prints a traceback before it raises what it caught.
    try:
        content = _convert(traced)
    except Exception as error:  # Whatever a handler of an operation raises.
        raise ValueError(
            f"`--format=onnx` cannot hold this network: {_first_line(error)} Export it as "
            "saved_model or tflite."
        ) from error
    finally:
        logger.setLevel(level)
    path.write_bytes(content)


def load_onnx(path: Union[str, os.PathLike]) -> RunFile:
    """Loads a file that `write_onnx` wrote.

    Raises:
      ValueError: ONNX Runtime does not take it.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's classes are private.
        raise ValueError(f"ONNX Runtime cannot load {path}: {_first_line(error)}") from error
    names = [output.name for output in session.get_outputs()]

    def run(image: np.ndarray) -> Dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {"image": image})))

    return run


def _convert(traced: Any) -> bytes:
    from onnx import defs
    from tf2onnx import optimizer, tf_loader, tfonnx

    names = list(traced.structured_outputs)
    inputs = [traced.inputs[0].name]
    outputs = [traced.structured_outputs[name].name for name in names]
    frozen = tf_loader.from_function(traced, inputs, outputs)
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=OPERATOR_SET,
            custom_op_handlers=HANDLERS,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=dict(zip(inputs + outputs, ["image", *names])),
        )
    # Without the search for orders of einsum, which takes longer than all the rest.
    passes = {
        "transposes": optimizer.TransposeOptimizer,
        "constants": optimizer.ConstFoldOptimizer,
        "duplicates": optimizer.MergeDuplicatedNodesOptimizer,
        "identities": optimizer.IdentityOptimizer,
        "pairs": optimizer.BackToBackOptimizer,
    }
    optimized = optimizer.optimize_graph(converted, catch_errors=False, optimizers=passes)
    model = optimized.make_model("kmax")
    unknown = sorted({node.op_type for node in model.graph.node if not defs.has(node.op_type)})
    if unknown:
        raise ValueError(f"ONNX has no counterpart of {', '.join(unknown)}")
    return model.SerializeToString()


def _first_line(error: Exception) -> str:
    return f"{str(error).strip().splitlines()[0].rstrip('.')}."
