"""Conversions of single operations to ONNX, where those of tf2onnx do not serve.

A handler gets the graph that is converted, a node in it, the node's name and nothing else, and puts
nodes of ONNX in the node's place.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np

OPERATOR_SET = 17
"""Of ONNX: 16 is the first one whose ScatterElements adds, 17 runs from ONNX Runtime 1.12 on."""

_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def _resize_bilinear(graph: Any, node: Any, name: str, _: Any) -> None:
    """By the size of the result: that of a factor such as 5/3, in float32, may be a pixel less."""
    if not node.get_attr_value("align_corners"):
        raise ValueError("ResizeBilinear is converted with aligned corners only.")
    batch, height, width, channels = _static_shape(graph, node)
    size = _constant(graph, name, "size", [batch, channels, height, width])
    first = graph.make_node("Transpose", [node.input[0]], {"perm": _TO_CHANNELS_FIRST}).output[0]
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    resized = graph.make_node("Resize", [first, "", "", size], attributes).output[0]
    _replace(graph, node, "Transpose", [resized], {"perm": _TO_CHANNELS_LAST})


def _sum_segments(graph: Any, node: Any, name: str, _: Any) -> None:
    """By adding up in place: tf2onnx makes a table of all segments by all their elements."""
    data, segment, count = node.input
    flat = _constant(graph, name, "flat", [-1])
    zero = graph.make_const(f"{name}_zero", np.zeros([1], np.int32)).output[0]
    wide = graph.make_node("Cast", [count], {"to": _INT64}).output[0]
    size = graph.make_node("Reshape", [wide, flat]).output[0]
    empty = graph.make_node("Expand", [zero, size]).output[0]
    inputs = [graph.make_node("Reshape", [each, flat]).output[0] for each in (segment, data)]
    _replace(graph, node, "ScatterElements", [empty, *inputs], {"axis": 0, "reduction": "add"})


def _one_hot(graph: Any, node: Any, name: str, _: Any) -> None:
    """By comparing: ONNX Runtime has no OneHot of int32."""
    _, depth, on_value, off_value = node.inputs
    values = (on_value.get_tensor_value(), off_value.get_tensor_value())
    if values != (1, 0) or node.get_attr_value("axis", -1) != -1:
        raise ValueError("OneHot is converted with values 1 and 0 on the last axis only.")
    places = np.arange(depth.get_tensor_value())
    last = _constant(graph, name, "last", [-1])
    # In int64 whatever the indices are, so that one constant serves.
    wide = graph.make_node("Cast", [node.input[0]], {"to": _INT64}).output[0]
    column = graph.make_node("Unsqueeze", [wide, last]).output[0]
    equal = graph.make_node("Equal", [column, _constant(graph, name, "places", places)]).output[0]
    _replace(graph, node, "Cast", [equal], {"to": graph.get_dtype(node.output[0])})


def _add_all(graph: Any, node: Any, name: str, _: Any) -> None:
    """By adding two at a time: ONNX's Sum takes no int32."""
    *others, last = node.input
    total = others[0]
    for other in others[1:]:
        total = graph.make_node("Add", [total, other]).output[0]
    _replace(graph, node, "Add", [total, last], {})


HANDLERS: Dict[str, Tuple[Callable[..., None], List[Any]]] = {
    "AddN": (_add_all, []),
    "OneHot": (_one_hot, []),
    "ResizeBilinear": (_resize_bilinear, []),
    "UnsortedSegmentSum": (_sum_segments, []),
}
"""Operation of TensorFlow -> handler, as tf2onnx takes them."""

_INT64 = 7  # onnx.TensorProto.INT64; this module is read where onnx is not installed, too.


def _constant(graph: Any, name: str, suffix: str, values: Any) -> str:
    return graph.make_const(f"{name}_{suffix}", np.asarray(values, np.int64)).output[0]


def _static_shape(graph: Any, node: Any) -> List[int]:
    shape = graph.get_shape(node.output[0])
    if shape is None or -1 in shape:
        raise ValueError(f"{node.type} is converted with a static shape only; received {shape}.")
    return shape


def _replace(
    graph: Any, node: Any, operation: str, inputs: List[str], attributes: Dict[str, Any]
) -> None:
    """Puts an operation in the place of `node`, under its name and with its outputs."""
    outputs = list(node.output)
    shapes = [graph.get_shape(output) for output in outputs]
    types = [graph.get_dtype(output) for output in outputs]
    graph.remove_node(node.name)
    graph.make_node(
        operation,
        inputs,
        attributes,
        name=node.name,
        outputs=outputs,
        shapes=shapes,
        dtypes=types,
    )
